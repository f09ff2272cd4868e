import { ERROR_CODES } from '../base/error-codes.ts'
import { DbError } from '../base/errors.ts'
import type { Hlc } from '../base/hlc.ts'
import type { Lsn } from '../base/lsn.ts'
import type { Receipt } from '../merkle/receipt.ts'
import type { AckFrame, ItemOutcome } from './frames.ts'

/** An assertion that is on the node's stable storage. */
export interface AckedAssertion {
  /** 32 bytes: BLAKE3 of the canonical claim. */
  readonly id: Uint8Array
  readonly lsn: Lsn
  readonly hlc: Hlc
  /** It was there before; LSN and HLC are those of the original. */
  readonly duplicate: boolean
}

export interface RefusedAssertion {
  /** Absent where the client itself refused it before it had one. */
  readonly id: Uint8Array | undefined
  /** `error.code` says why; `ERROR_CODES[error.code]` has its outcome class. */
  readonly error: DbError
}

export type AssertResult = ({ readonly ok: true } & AckedAssertion) | ({ readonly ok: false } & RefusedAssertion)

/** A node's signed statement about one batch (docs/formats/receipt.md). */
export interface BatchReceipt extends Receipt {
  /** 1: on the node's own stable storage. 2: on a replica's too. */
  readonly durability: number
  /** The ids that `batchRoot` is over, in order. */
  readonly ids: readonly Uint8Array[]
}

/** What became of one batch. */
export interface BatchAck {
  readonly requestId: bigint
  /** Position of the batch's first assertion in what its stream or call was given. */
  readonly offset: number
  /** One for each assertion, in the order given. */
  readonly results: readonly AssertResult[]
  /** How many are new, were there before, were refused. */
  readonly accepted: number
  readonly duplicates: number
  readonly refused: number
  /** Where one was asked for. Rejects where none came. */
  readonly receipt: Promise<BatchReceipt> | undefined
}

/** An assertion on its way: encoded, or refused by this client. */
export type LaneItem =
  | { readonly id: Uint8Array, readonly encoded: Uint8Array }
  | { readonly error: DbError }

const inconsistent = (what: string): DbError => new DbError('malformed_frame', `the server sent an ack ${what}`)

/** Outcomes by index, after a check that they can be true of a batch of `count`. @throws {DbError} `malformed_frame` */
function outcomesByIndex(ack: AckFrame, count: number): Map<number, ItemOutcome> {
  const byIndex = new Map<number, ItemOutcome>()
  for (const outcome of ack.outcomes) {
    if (outcome.index >= count || byIndex.has(outcome.index)) throw inconsistent('whose outcomes do not fit its batch')
    byIndex.set(outcome.index, outcome)
  }
  if (ack.accepted !== count - byIndex.size) throw inconsistent('whose counts do not add up')
  return byIndex
}

/** The refusal of a single assertion as an error. */
function refusalOf(outcome: ItemOutcome): DbError {
  const { title, action } = ERROR_CODES[outcome.code]
  return new DbError(outcome.code, `${title}. ${action}`, { index: outcome.index })
}

/**
 * The result of each item of a batch that the server took.
 * @throws {DbError} `malformed_frame` where the ack can not be one of this batch.
 */
export function resultsOf(items: readonly LaneItem[], ack: AckFrame): AssertResult[] {
  const sentCount = items.reduce((sum, item) => sum + ('error' in item ? 0 : 1), 0)
  const outcomes = outcomesByIndex(ack, sentCount)
  let index = 0
  let fresh = 0n
  return items.map((item): AssertResult => {
    if ('error' in item) return { ok: false, id: undefined, error: item.error }
    const outcome = outcomes.get(index++)
    if (outcome === undefined) {
      const result = { ok: true, id: item.id, lsn: Number(ack.firstLsn + fresh), hlc: ack.firstHlc + fresh, duplicate: false } as const
      fresh++
      return result
    }
    if (outcome.code === 'duplicate') {
      return { ok: true, id: item.id, lsn: Number(outcome.lsn), hlc: outcome.hlc, duplicate: true }
    }
    return { ok: false, id: item.id, error: refusalOf(outcome) }
  })
}

/** The result of each item of a batch that was refused as a whole, or never sent. */
export function refusedResults(items: readonly LaneItem[], error: DbError): AssertResult[] {
  return items.map((item) => ({
    ok: false, id: 'error' in item ? undefined : item.id, error: 'error' in item ? item.error : error,
  }))
}

export function batchAckOf(
  requestId: bigint, offset: number, results: readonly AssertResult[], receipt: Promise<BatchReceipt> | undefined,
): BatchAck {
  let accepted = 0
  let duplicates = 0
  for (const result of results) {
    if (!result.ok) continue
    if (result.duplicate) duplicates++
    else accepted++
  }
  return { requestId, offset, results, accepted, duplicates, refused: results.length - accepted - duplicates, receipt }
}
