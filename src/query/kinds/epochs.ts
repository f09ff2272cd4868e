import { toHex } from '../../base/bytes.ts'
import type { Hlc } from '../../base/hlc.ts'
import type { QueryRequest } from '../../fbs/stemedb/query-request.ts'
import { EPOCHS_PREFIX, type EpochRecord } from '../../record/records.ts'
import { listOf, recordJson, type RecordJson } from '../record-json.ts'
import { showEntry, type ShownRecord } from '../record-range.ts'
import { compareSaid, standingEpochs } from '../record-standing.ts'
import { asOfField, limitField } from '../request-fields.ts'
import type { KindDependencies } from './kind.ts'

/** Epoch records that one list is made of: declarations and withdrawals. */
export const EPOCHS_LISTED_READ_MAX = 2000

export interface EpochsDocument {
  /** The latest first. */
  readonly epochs: readonly EpochJson[]
  /** There are more than are listed, or than were looked at. */
  readonly truncated: boolean
}

export interface EpochJson extends RecordJson {
  readonly name: string
  readonly supersedes?: string
  readonly reason?: string
  /** Its agent has taken it back. */
  readonly withdrawn: boolean
  /** An epoch that is not withdrawn has taken its place. */
  readonly superseded: boolean
}

/** All epochs. @throws {DbError} `parameter_invalid`, and as reads do */
export function epochsDocument(request: QueryRequest, deps: KindDependencies): EpochsDocument {
  const records = deps.records(asOfField(request))
  const { said, isCut } = readEpochs(deps, records.asOfHlc)
  const standing = new Set(standingEpochs(said).map(({ id }) => toHex(id)))
  const declared = said.filter(({ record }) => !record.isWithdrawn).sort(compareSaid).reverse()
  const epochs = declared.map((epoch) =>
    epochJson(epoch, !standing.has(toHex(epoch.id)), records.isSuperseded(epoch.id)))
  const { shown, truncated } = listOf(epochs, limitField(request, deps.limitMax), deps.documentBytesMax)
  return { epochs: shown, truncated: truncated || isCut }
}

function epochJson(epoch: ShownRecord<EpochRecord>, withdrawn: boolean, superseded: boolean): EpochJson {
  const { note: _, ...shown } = recordJson(epoch)
  const { name, supersedes, reason } = epoch.record
  return { ...shown, name, ...supersedes !== undefined && { supersedes: toHex(supersedes) }, ...reason !== undefined && { reason }, withdrawn, superseded }
}

function readEpochs({ source, reader }: KindDependencies, asOfHlc: Hlc | undefined): { said: ShownRecord<EpochRecord>[], isCut: boolean } {
  const cursor = source.entries({ subject: new TextEncoder().encode(EPOCHS_PREFIX), subjectIsPrefix: true, predicate: undefined, asOfHlc })
  try {
    const said: ShownRecord<EpochRecord>[] = []
    let read = 0
    for (let entry = cursor.next(); entry !== undefined; entry = cursor.next()) {
      if (read++ === EPOCHS_LISTED_READ_MAX) return { said, isCut: true }
      const shown = showEntry(reader, entry)
      if (shown?.record.kind === 'epoch') said.push(shown as ShownRecord<EpochRecord>)
    }
    return { said, isCut: false }
  } finally {
    cursor.close()
  }
}
