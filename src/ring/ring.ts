import { assert } from '../base/assert.ts'
import { Bell } from './bell.ts'
import {
  FRAME_HEADER_BYTES, FRAME_SHARE_MAX, RING_DATA_OFFSET, RING_HEAD_OFFSET, RING_SKIP, RING_SPACE_BELL_OFFSET,
  RING_TAIL_OFFSET, frameSpan,
} from './ring.layout.ts'

/** Shared memory for a ring with `dataBytes` (a power of two, 4 KiB to 1 GiB) of room. */
export function createRing(dataBytes: number): SharedArrayBuffer {
  assert(Number.isInteger(Math.log2(dataBytes)) && dataBytes >= 4096 && dataBytes <= 2 ** 30,
    () => `ring of ${dataBytes} bytes`)
  return new SharedArrayBuffer(RING_DATA_OFFSET + dataBytes)
}

class RingSide {
  /** The data; payload offsets of both sides index it. */
  readonly bytes: Uint8Array
  readonly view: DataView
  readonly dataBytes: number
  protected readonly head: Int32Array
  protected readonly tail: Int32Array
  /** Rung by the consumer where it made room. */
  readonly space: Bell

  constructor(buffer: SharedArrayBuffer) {
    this.dataBytes = buffer.byteLength - RING_DATA_OFFSET
    this.bytes = new Uint8Array(buffer, RING_DATA_OFFSET, this.dataBytes)
    this.view = new DataView(buffer, RING_DATA_OFFSET, this.dataBytes)
    this.head = new Int32Array(buffer, RING_HEAD_OFFSET, 1)
    this.tail = new Int32Array(buffer, RING_TAIL_OFFSET, 1)
    this.space = new Bell(buffer, RING_SPACE_BELL_OFFSET)
  }

  /** Bytes in use. */
  usedBytes(): number {
    return (Atomics.load(this.tail, 0) - Atomics.load(this.head, 0)) >>> 0
  }

  /** Part of the ring in use, 0..1. */
  fill(): number {
    return this.usedBytes() / this.dataBytes
  }
}

/** The producer's side. One thread only. */
export class RingWriter extends RingSide {
  readonly #bell: Bell
  #tail: number
  #headSeen: number
  #reservedTail = 0

  /** @param bell rung after each publish: the consumer's. */
  constructor(buffer: SharedArrayBuffer, bell: Bell) {
    super(buffer)
    this.#bell = bell
    this.#tail = Atomics.load(this.tail, 0) >>> 0
    this.#headSeen = Atomics.load(this.head, 0) >>> 0
  }

  /** Largest payload that this ring takes. */
  get payloadBytesMax(): number {
    return this.dataBytes / FRAME_SHARE_MAX - FRAME_HEADER_BYTES
  }

  /**
   * Finds room for a payload. Returns its offset in {@link bytes}, or -1 where the ring is full; nothing is visible to
   * the consumer before {@link publish}. A second reserve without a publish forgets the first.
   */
  reserve(payloadBytes: number): number {
    assert(payloadBytes <= this.payloadBytesMax, () => `a frame of ${payloadBytes} bytes in a ring of ${this.dataBytes}`)
    const span = frameSpan(payloadBytes)
    const start = this.#tail & (this.dataBytes - 1)
    const skip = this.#skipFor(span)
    if (!this.#hasRoom(skip + span)) return -1
    if (skip > 0) this.view.setUint32(start, RING_SKIP, true)
    const at = skip > 0 ? 0 : start
    this.view.setUint32(at, payloadBytes, true)
    this.#reservedTail = (this.#tail + skip + span) >>> 0
    return at + FRAME_HEADER_BYTES
  }

  /** Whether a payload of so many bytes would find room, wherever the end of the data lies. */
  hasRoom(payloadBytes: number): boolean {
    const span = frameSpan(payloadBytes)
    return this.#hasRoom(this.#skipFor(span) + span)
  }

  /** Makes the reserved frame visible and rings the consumer's bell. */
  publish(): void {
    this.publishQuietly()
    this.#bell.ring()
  }

  /** Makes the reserved frame visible; the caller rings {@link wake} after the last of several. */
  publishQuietly(): void {
    this.#tail = this.#reservedTail
    Atomics.store(this.tail, 0, this.#tail | 0)
  }

  wake(): void {
    this.#bell.ring()
  }

  /** Reserve, copy, publish. False where the ring is full. */
  write(payload: Uint8Array): boolean {
    const at = this.reserve(payload.length)
    if (at < 0) return false
    this.bytes.set(payload, at)
    this.publish()
    return true
  }

  /** Sleeps until the consumer made room, or `timeoutMs` passed. Not for a thread with an event loop. */
  waitForSpace(payloadBytes: number, timeoutMs: number): void {
    const prepared = this.space.prepare()
    if (this.hasRoom(payloadBytes)) return
    this.space.wait(prepared, timeoutMs)
  }

  /** Bytes left unused before the end of the data, where a frame of this span would cross it. */
  #skipFor(span: number): number {
    const toEnd = this.dataBytes - (this.#tail & (this.dataBytes - 1))
    return span > toEnd ? toEnd : 0
  }

  #hasRoom(span: number): boolean {
    if (((this.#tail - this.#headSeen) >>> 0) + span <= this.dataBytes) return true
    this.#headSeen = Atomics.load(this.head, 0) >>> 0
    return ((this.#tail - this.#headSeen) >>> 0) + span <= this.dataBytes
  }
}

/** The consumer's side. One thread only. */
export class RingReader extends RingSide {
  #head: number
  #tailSeen: number
  #next = 0
  #payloadOffset = 0
  #payloadBytes = 0

  constructor(buffer: SharedArrayBuffer) {
    super(buffer)
    this.#head = Atomics.load(this.head, 0) >>> 0
    this.#tailSeen = this.#head
  }

  /** Offset in {@link bytes} of the frame that {@link peek} found. */
  get payloadOffset(): number {
    return this.#payloadOffset
  }

  get payloadBytes(): number {
    return this.#payloadBytes
  }

  /** Finds the next frame; false where there is none. The frame stays until {@link release}. */
  peek(): boolean {
    for (;;) {
      if (this.#head === this.#tailSeen) {
        this.#tailSeen = Atomics.load(this.tail, 0) >>> 0
        if (this.#head === this.#tailSeen) return false
      }
      const start = this.#head & (this.dataBytes - 1)
      const payloadBytes = this.view.getUint32(start, true)
      if (payloadBytes === RING_SKIP) {
        this.#head = (this.#head + this.dataBytes - start) >>> 0
        continue
      }
      this.#payloadOffset = start + FRAME_HEADER_BYTES
      this.#payloadBytes = payloadBytes
      this.#next = (this.#head + frameSpan(payloadBytes)) >>> 0
      return true
    }
  }

  /** The found frame's bytes, in place: valid until {@link release}. */
  frame(): Uint8Array {
    return this.bytes.subarray(this.#payloadOffset, this.#payloadOffset + this.#payloadBytes)
  }

  /** Gives the found frame's room back to the producer. */
  release(): void {
    this.#head = this.#next
    Atomics.store(this.head, 0, this.#head | 0)
    this.space.ring()
  }
}
