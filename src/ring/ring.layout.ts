import { assert } from '../base/assert.ts'

/**
 * A ring in shared memory (docs/formats/ring.md): one producer, one consumer, frames of any length. Head and tail are
 * u32 byte counters that wrap; each is written by one side only and stands on a cache line of its own.
 */
export const RING_HEAD_OFFSET = 0
export const RING_TAIL_OFFSET = 64
/** Rung by the consumer where it made room. */
export const RING_SPACE_BELL_OFFSET = 128
export const RING_DATA_OFFSET = 192

/** Before each frame: u32 payload bytes, or {@link RING_SKIP}; then four bytes unused, so that payloads stay 8-aligned. */
export const FRAME_HEADER_BYTES = 8
/** Stands where a frame would have crossed the end: the next one begins at the start of the data. */
export const RING_SKIP = 0xffff_ffff

/** Bytes that a payload takes in the ring. */
export const frameSpan = (payloadBytes: number): number => FRAME_HEADER_BYTES + ((payloadBytes + 7) & ~7)

/** A frame may take at most this part of the data, so that a skip can never make it impossible. */
export const FRAME_SHARE_MAX = 2

assert(RING_TAIL_OFFSET - RING_HEAD_OFFSET >= 64, 'head and tail share a cache line')
assert(RING_DATA_OFFSET % 8 === 0, 'payloads must be 8-aligned')
