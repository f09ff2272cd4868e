import { bytesEqual, concatBytes, fromHex, toHex } from '../../base/bytes.ts'
import { DbError } from '../../base/errors.ts'
import type { Hlc } from '../../base/hlc.ts'
import type { QueryRequest } from '../../fbs/stemedb/query-request.ts'
import { agentToDidKey } from '../../record/agent-key.ts'
import { SOURCE_CLASSES } from '../../record/assertion.ts'
import { HASH_BYTES, SOURCE_PIECES_MAX } from '../../record/limits.ts'
import {
  SOURCES_PREFIX, SOURCE_PREDICATE, contentOfPieces, contentSubject, piecePredicate, sourceSubject, type ContentRecord, type SourceRecord,
} from '../../record/records.ts'
import type { EntryCursor } from '../candidate-source.ts'
import { recordJson, type RecordJson } from '../record-json.ts'
import { readShown, type ShownRecord } from '../record-range.ts'
import { compareSaid, lastOfEach } from '../record-standing.ts'
import { asOfField, idField, limitField, refuseParameter } from '../request-fields.ts'
import type { KindDependencies } from './kind.ts'

/** Registrations of one source that are looked at, the newest. */
export const REGISTRATIONS_READ_MAX = 64
/** Versions of one piece of content that are looked at, the newest. With all pieces: 34 MiB. */
export const PIECE_VERSIONS_READ_MAX = 32
/** Sources that one page looks at, withdrawn ones among them; then it ends early, with a cursor. */
export const SOURCES_STEPPED_MAX = 10_000
/** Of a document, what is no registration and no content. */
const FRAME_BYTES = 8 * 1024
/** Above all keys of a subject and below those of any other that it begins: its own go on with a zero, and no text has a one. */
const BEHIND_SUBJECT = Uint8Array.of(1)

export interface RegistrationJson extends RecordJson {
  readonly title: string
  readonly uri?: string
  readonly source_class: string
}

export interface SourceJson {
  /** BLAKE3-256 of the content; `source_hash` of what cites it. */
  readonly hash: string
  /** One an agent, the latest first. */
  readonly registrations: readonly RegistrationJson[]
  /** There are more, or older ones of its content, which were not looked at. */
  readonly truncated: boolean
}

export interface SourceDocument extends SourceJson {
  /** Text whose hash has been checked. Absent where it was not asked for; null where none is stored, or where it is too long for a reply. */
  readonly content?: string | null
  /** Who has stored it. */
  readonly content_agent?: string
  readonly content_too_long?: boolean
}

export interface SourcesDocument {
  /** In the order of their hashes, without content. */
  readonly sources: readonly SourceJson[]
  /** Names the next page. Absent on the last one. */
  readonly cursor?: string
}

const utf8 = new TextEncoder()

/**
 * One source by its hash, or a page of all.
 * @throws {DbError} `not_found` for a source that nobody has registered, `parameter_invalid`, and as reads do
 */
export function sourceDocument(request: QueryRequest, deps: KindDependencies): SourceDocument | SourcesDocument {
  return request.id() === null ? pageOf(request, deps) : oneSource(request, deps)
}

// ---- one ----

function oneSource(request: QueryRequest, deps: KindDependencies): SourceDocument {
  const hash = idField(request)
  const asOfHlc = asOfField(request)
  const source = sourceJson(deps, hash, asOfHlc)
  if (source === undefined) throw new DbError('not_found', 'nobody has registered a source with this hash')
  if (!request.withContent()) return source
  const { found, isCut } = contentOf(deps, hash, asOfHlc)
  if (found === undefined) return { ...source, truncated: source.truncated || isCut, content: null }
  const { content, agent } = found
  const bytesLeft = deps.documentBytesMax - FRAME_BYTES - jsonBytes(source)
  return jsonBytes(content) > bytesLeft ? { ...source, content: null, content_too_long: true } : { ...source, content, content_agent: agentToDidKey(agent) }
}

const jsonBytes = (value: unknown): number => Buffer.byteLength(JSON.stringify(value))

/** Undefined where no registration stands. */
function sourceJson(deps: KindDependencies, hash: Uint8Array, asOfHlc: Hlc | undefined): SourceJson | undefined {
  const { said, isCut } = readShown(deps, { kind: 'source', subject: sourceSubject(hash), predicate: SOURCE_PREDICATE, asOfHlc, max: REGISTRATIONS_READ_MAX })
  const standing = lastOfEach<SourceRecord, ShownRecord<SourceRecord>>(said).reverse()
  return standing.length === 0 ? undefined : { hash: toHex(hash), registrations: standing.map(registrationJson), truncated: isCut }
}

function registrationJson(registration: ShownRecord<SourceRecord>): RegistrationJson {
  const { record, assertion: { sourceUri, sourceClass } } = registration
  return { ...recordJson(registration), title: record.title, ...sourceUri !== undefined && { uri: sourceUri }, source_class: SOURCE_CLASSES[sourceClass] }
}

/** What was found of a content. Where it was not, older versions of its pieces that were not looked at may be what is missing. */
interface FoundContent {
  readonly found?: { readonly content: string, readonly agent: Uint8Array }
  readonly isCut: boolean
}

/** The pieces of one agent that come to the hash; of several such agents, of the one that was last. */
function contentOf(deps: KindDependencies, hash: Uint8Array, asOfHlc: Hlc | undefined): FoundContent {
  const pieces: ReadonlyMap<string, ShownRecord<ContentRecord>>[] = []
  let areCut = false
  for (let index = 0; index < SOURCE_PIECES_MAX; index++) {
    const { said, isCut } = readShown(deps, { kind: 'content', subject: contentSubject(hash), predicate: piecePredicate(index), asOfHlc, max: PIECE_VERSIONS_READ_MAX })
    areCut ||= isCut
    const standing = lastOfEach<ContentRecord, ShownRecord<ContentRecord>>(said)
    if (standing.length === 0) break
    pieces.push(new Map(standing.map((piece) => [toHex(piece.agent), piece])))
  }
  const agents = [...pieces[0]?.values() ?? []].sort(compareSaid).reverse()
  for (const { agent } of agents) {
    const texts: string[] = []
    for (const byAgent of pieces) {
      const piece = byAgent.get(toHex(agent))
      if (piece === undefined) break
      texts.push(piece.record.text)
    }
    const content = contentOfPieces(hash, texts)
    if (content !== undefined) return { found: { content, agent }, isCut: areCut }
  }
  return { isCut: areCut }
}

// ---- all ----

function pageOf(request: QueryRequest, deps: KindDependencies): SourcesDocument {
  const asOfHlc = asOfField(request)
  const limit = limitField(request, deps.limitMax)
  const after = request.cursorArray()
  if (after !== null && after.length !== HASH_BYTES) refuseParameter('cursor', 'is none of this list')
  const cursor = deps.source.entries({ subject: utf8.encode(SOURCES_PREFIX), subjectIsPrefix: true, predicate: undefined, asOfHlc })
  try {
    const sources: SourceJson[] = []
    let bytesLeft = deps.documentBytesMax - FRAME_BYTES
    let behind: Uint8Array | undefined = after?.slice()
    for (let steps = 0; ; steps++) {
      const hash = nextHash(cursor, behind)
      if (hash === undefined) return { sources }
      const source = sourceJson(deps, hash, asOfHlc)
      bytesLeft -= source === undefined ? 0 : jsonBytes(source) + 1
      if (sources.length === limit || steps === SOURCES_STEPPED_MAX || (bytesLeft < 0 && sources.length > 0)) return { sources, cursor: toHex(behind!) }
      if (source !== undefined) sources.push(source)
      behind = hash
    }
  } finally {
    cursor.close()
  }
}

/** The next source behind one. What an older node has taken and is none is stepped over. */
function nextHash(cursor: EntryCursor, behind: Uint8Array | undefined): Uint8Array | undefined {
  if (behind !== undefined) cursor.seek(concatBytes(utf8.encode(sourceSubject(behind)), BEHIND_SUBJECT))
  for (let entry = cursor.next(); entry !== undefined; entry = cursor.next()) {
    const hash = fromHex(Buffer.from(entry.subject.subarray(SOURCES_PREFIX.length)).toString('latin1'), HASH_BYTES)
    if (hash !== undefined && bytesEqual(utf8.encode(sourceSubject(hash)), entry.subject)) return hash
    cursor.skipPair()
  }
  return undefined
}
