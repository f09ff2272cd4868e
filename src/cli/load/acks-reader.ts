import { DbError } from '../../base/errors.ts'

/** One ack, valid until the next one is read. */
export interface FastAck {
  /** Below 2^53: the generator numbers its frames. */
  requestId: number
  firstLsn: number
  accepted: number
  refused: number
  retryAfterMs: number
  outcomeCount: number
  /** Offset of the first outcome in the frame. */
  outcomesAt: number
}

const SACK = 0x4b434153
const SWEL = 0x4c455753
const OUTCOME_BYTES = 24
const OUTCOME_INDEX = 16
const OUTCOME_CODE = 20

export const isAcks = (view: DataView): boolean => view.byteLength >= 8 && view.getUint32(4, true) === SACK
export const isWelcome = (view: DataView): boolean => view.byteLength >= 8 && view.getUint32(4, true) === SWEL

const u64 = (view: DataView, at: number): number => view.getUint32(at, true) + view.getUint32(at + 4, true) * 0x1_0000_0000

const current: FastAck = { requestId: 0, firstLsn: 0, accepted: 0, refused: 0, retryAfterMs: 0, outcomeCount: 0, outcomesAt: 0 }

/**
 * Reads an "SACK" frame without the verifier, which would cost more than the rest of the generator's work for an ack. DataView
 * checks every read, and loops are bounded by counts that are checked against the frame's size: a hostile frame
 * gives wrong numbers or an error, nothing else.
 * @returns bytes of credit given back
 * @throws {DbError} `malformed_frame`
 */
export function readAcks(view: DataView, each: (ack: FastAck) => void): number {
  try {
    const table = view.getUint32(0, true)
    const vtable = table - view.getInt32(table, true)
    const fields = view.getUint16(vtable, true)
    const vectorField = fields > 4 ? view.getUint16(vtable + 4, true) : 0
    const creditField = fields > 6 ? view.getUint16(vtable + 6, true) : 0
    if (vectorField === 0) throw new RangeError('no acks')
    let at = table + vectorField
    at += view.getUint32(at, true)
    const count = view.getUint32(at, true)
    if (count * 4 > view.byteLength - at) throw new RangeError('count')
    for (let i = 0; i < count; i++) {
      at += 4
      readAck(view, at + view.getUint32(at, true))
      each(current)
    }
    return creditField === 0 ? 0 : view.getUint32(table + creditField, true)
  } catch (error) {
    if (error instanceof RangeError) throw new DbError('malformed_frame', `the server sent acks that can not be read (${error.message})`)
    throw error
  }
}

function readAck(view: DataView, table: number): void {
  const vtable = table - view.getInt32(table, true)
  const fields = view.getUint16(vtable, true)
  const field = (slot: number): number => {
    const entry = 4 + 2 * slot
    const offset = entry < fields ? view.getUint16(vtable + entry, true) : 0
    return offset === 0 ? -1 : table + offset
  }
  const requestId = field(0)
  const firstLsn = field(1)
  const accepted = field(3)
  const refused = field(4)
  const retryAfter = field(6)
  const outcomes = field(7)
  current.requestId = requestId < 0 ? 0 : u64(view, requestId)
  current.firstLsn = firstLsn < 0 ? 0 : u64(view, firstLsn)
  current.accepted = accepted < 0 ? 0 : view.getUint32(accepted, true)
  current.refused = refused < 0 ? 0 : view.getUint16(refused, true)
  current.retryAfterMs = retryAfter < 0 ? 0 : view.getUint32(retryAfter, true)
  current.outcomeCount = 0
  if (outcomes < 0) return
  const at = outcomes + view.getUint32(outcomes, true)
  current.outcomeCount = view.getUint32(at, true)
  current.outcomesAt = at + 4
  if (current.outcomeCount * OUTCOME_BYTES > view.byteLength - at - 4) throw new RangeError('outcomes')
}

export function outcomeIndex(view: DataView, ack: FastAck, k: number): number {
  return view.getUint32(ack.outcomesAt + k * OUTCOME_BYTES + OUTCOME_INDEX, true)
}

export function outcomeCode(view: DataView, ack: FastAck, k: number): number {
  return view.getUint16(ack.outcomesAt + k * OUTCOME_BYTES + OUTCOME_CODE, true)
}
