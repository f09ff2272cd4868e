import { toHex } from '../base/bytes.ts'
import { agentToDidKey } from '../record/agent-key.ts'
import type { StemeRecord } from '../record/records.ts'
import type { ShownRecord } from './record-range.ts'

/** What every record is shown with. */
export interface RecordJson {
  readonly id: string
  readonly lsn: number
  /** Decimal: an HLC does not fit into a double. */
  readonly hlc: string
  /** `did:key:z6Mk...` */
  readonly agent: string
  /** Unix milliseconds. */
  readonly asserted_at: number
  readonly note?: string
}

export function recordJson({ id, hlc, stored, assertion: { agent, assertedAtMs, note } }: ShownRecord<StemeRecord>): RecordJson {
  return {
    id: toHex(id), lsn: stored.lsn, hlc: String(hlc), agent: agentToDidKey(agent), asserted_at: assertedAtMs, ...note !== undefined && { note },
  }
}

/** What of a document is no record: names, sums, cursor. */
const FRAME_BYTES = 8 * 1024

/** The first `limit` records as JSON, as many as fit into a document; `truncated` where that is not all. */
export function listOf<T>(items: readonly T[], limit: number, documentBytesMax: number): { readonly shown: readonly T[], readonly truncated: boolean } {
  const shown: T[] = []
  let bytesLeft = documentBytesMax - FRAME_BYTES
  for (const item of items) {
    bytesLeft -= Buffer.byteLength(JSON.stringify(item)) + 1
    if (shown.length === limit || (bytesLeft < 0 && shown.length > 0)) return { shown, truncated: true }
    shown.push(item)
  }
  return { shown, truncated: false }
}
