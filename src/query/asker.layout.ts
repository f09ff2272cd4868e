/**
 * Before every frame in the rings between the front and the lens threads: who asked, so that an answer finds its way without a
 * table of what is under way, and a client's request ids stay its own.
 *
 * | offset | bytes | type | field |
 * | --- | --- | --- | --- |
 * | 0 | 4 | u32 | slot of the asker in the front's table; {@link ASKER_HTTP} for the HTTP endpoint |
 * | 4 | 4 | u32 | its generation |
 * | 8 | 4 | u32 | queries: that are asked, or that this answers |
 * | 12 | 4 | | unused |
 * | 16 | 8 | f64 | when the question came, on the monotonic clock in milliseconds |
 * | 24 | | | the frame: QueryRequest or Queries; QueryReply or Replies |
 */
import { assert } from '../base/assert.ts'

export const ASKER_SLOT_OFFSET = 0
export const ASKER_GENERATION_OFFSET = ASKER_SLOT_OFFSET + 4
export const ASKER_QUERIES_OFFSET = ASKER_GENERATION_OFFSET + 4
export const ASKER_RECEIVED_MONO_MS_OFFSET = ASKER_QUERIES_OFFSET + 8
export const ASKER_FRAME_OFFSET = ASKER_RECEIVED_MONO_MS_OFFSET + 8

/** Its replies come one a frame, and are told apart by their request id. */
export const ASKER_HTTP = 0xffff_ffff

assert(ASKER_FRAME_OFFSET % 8 === 0, 'frames are 8-aligned')
