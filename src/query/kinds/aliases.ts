import type { QueryRequest } from '../../fbs/stemedb/query-request.ts'
import { ALIAS_PREDICATE, NOT_ALIASABLE, aliasSubject, isAliasable, type AliasRecord } from '../../record/records.ts'
import { listOf, recordJson, type RecordJson } from '../record-json.ts'
import { ALIAS_RECORDS_READ_MAX } from '../record-reader.ts'
import { readShown, type ShownRecord } from '../record-range.ts'
import { standingAliases } from '../record-standing.ts'
import { asOfField, limitField, refuseParameter, subjectField } from '../request-fields.ts'
import type { KindDependencies } from './kind.ts'

export interface AliasesDocument {
  readonly subject: string
  /** All that are the same thing, over any number of steps, without the subject itself. */
  readonly aliases: readonly string[]
  /** What is said of the subject itself, by whom; the latest first. */
  readonly direct: readonly (RecordJson & { readonly alias: string })[]
  readonly truncated: boolean
}

const decoder = new TextDecoder('utf-8', { fatal: true })

/** Other names of a subject. @throws {DbError} `parameter_invalid`, and as reads do */
export function aliasesDocument(request: QueryRequest, deps: KindDependencies): AliasesDocument {
  const subject = subjectText(subjectField(request) ?? refuseParameter('subject', 'is missing'))
  if (!isAliasable(subject)) refuseParameter('subject', NOT_ALIASABLE)
  const records = deps.records(asOfField(request))
  const [, ...aliases] = records.aliasesOf(subject)
  const { said, isCut } = readShown(deps, {
    kind: 'alias', subject: aliasSubject(subject), predicate: ALIAS_PREDICATE, asOfHlc: records.asOfHlc, max: ALIAS_RECORDS_READ_MAX,
  })
  const direct = standingAliases<ShownRecord<AliasRecord>>(said).reverse().map((one) => ({ ...recordJson(one), alias: one.record.alias }))
  // The closure has ALIASES_MAX subjects at most, of 1 KiB each; a document is never so short.
  const bytes = Buffer.byteLength(JSON.stringify(aliases))
  const { shown, truncated } = listOf(direct, limitField(request, deps.limitMax), deps.documentBytesMax - bytes)
  return { subject, aliases, direct: shown, truncated: truncated || isCut || records.isCut === true }
}

function subjectText(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes)
  } catch {
    return refuseParameter('subject', 'is not UTF-8')
  }
}
