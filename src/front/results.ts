import { toHex } from '../base/bytes.ts'
import { ERROR_CODES, errorNameOf, type ErrorName } from '../base/error-codes.ts'
import { DbError } from '../base/errors.ts'
import type { AckView } from '../commit/ack.layout.ts'

const DUPLICATE = ERROR_CODES.duplicate.number

/** What became of one assertion, as HTTP says it. */
export type ItemResult = StoredResult | RefusedResult

export interface StoredResult {
  index: number
  /** 64 hex digits. */
  id: string
  status: 'created' | 'duplicate'
  lsn: number
  /** Decimal: an HLC does not fit into a double. */
  hlc: string
}

export interface RefusedResult {
  index: number
  id?: string
  status: 'refused'
  code: ErrorName
  title: string
  detail: string
  retryable: boolean
  pointer?: string
}

export function refusedResult(index: number, error: DbError, id?: Uint8Array): RefusedResult {
  const { title, retryable } = ERROR_CODES[error.code]
  const { pointer } = error.details
  return {
    index,
    ...(id === undefined ? {} : { id: toHex(id) }),
    status: 'refused',
    code: error.code,
    title,
    detail: error.message,
    retryable,
    ...(typeof pointer === 'string' ? { pointer } : {}),
  }
}

/** The error of a whole batch that some stage refused, or undefined. */
export function refusalOfAck(ack: AckView): DbError | undefined {
  return ack.refused === 0 ? undefined : errorOfCode(ack.refused, ack.retryAfterMs)
}

export function errorOfCode(number: number, retryAfterMs = 0): DbError {
  const code = errorNameOf(number)
  return new DbError(code, ERROR_CODES[code].action, retryAfterMs > 0 ? { retryAfterMs } : {})
}

/**
 * The results of a batch that was taken: `ids` in the order of the batch, and where each stood in the request.
 * The k-th new assertion has the k-th stamp from the first on; outcomes say which ones are not new.
 */
export function resultsOfAck(ack: AckView, ids: readonly Uint8Array[], indexes: readonly number[]): ItemResult[] {
  let lsn = ack.firstLsn
  let hlc = ack.firstHlc
  let next = 0
  const results: ItemResult[] = []
  for (let i = 0; i < ids.length; i++) {
    const index = indexes[i]!
    const id = ids[i]!
    if (next >= ack.outcomeCount || ack.outcomeIndex(next) !== i) {
      results.push({ index, id: toHex(id), status: 'created', lsn: Number(lsn++), hlc: String(hlc++) })
      continue
    }
    const code = ack.outcomeCode(next)
    results.push(code === DUPLICATE
      ? { index, id: toHex(id), status: 'duplicate', lsn: Number(ack.outcomeLsn(next)), hlc: String(ack.outcomeHlc(next)) }
      : refusedResult(index, errorOfCode(code), id))
    next++
  }
  return results
}

export interface Counts {
  created: number
  duplicate: number
  refused: number
}

export function countsOf(results: readonly ItemResult[]): Counts {
  const counts: Counts = { created: 0, duplicate: 0, refused: 0 }
  for (const { status } of results) counts[status]++
  return counts
}
