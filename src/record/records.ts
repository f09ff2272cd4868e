/**
 * Records beside assertions: votes, epochs, trust outcomes, aliases, sources and their content. Each is an assertion under the
 * reserved scheme `steme://` and of one of the shapes of docs/formats/records.md; this is the only place that knows them.
 */
import { fromHex, toHex } from '../base/bytes.ts'
import { DbError } from '../base/errors.ts'
import { TAKEN_BACK, type Assertion, type Lifecycle, type SourceClass } from './assertion.ts'
import { blake3 } from './blake3.ts'
import {
  ALIASED_BYTES_MAX, EPOCH_NAME_BYTES_MAX, HASH_BYTES, SOURCE_CONTENT_BYTES_MAX, SOURCE_PIECES_MAX, SOURCE_PIECE_BYTES_MAX,
  SOURCE_TITLE_BYTES_MAX,
} from './limits.ts'
import { checkSubjectPath } from './text.ts'

/** Every subject that begins so is that of a record, and an assertion about it that is none is refused. */
export const RECORD_SCHEME = 'steme://'

const ASSERTION = `${RECORD_SCHEME}assertion/`
const EPOCHS = `${RECORD_SCHEME}epochs`
const AGENT = `${RECORD_SCHEME}agent/`
const ALIAS_PATH = `${RECORD_SCHEME}alias/path/`
const ALIAS_URI = `${RECORD_SCHEME}alias/uri/`
const SOURCE = `${RECORD_SCHEME}source/`
const CONTENT = `${RECORD_SCHEME}content/`

export const VOTE_PREDICATE = 'vote'
export const EPOCH_PREDICATE = 'epoch'
export const OUTCOME_PREDICATE = 'outcome'
export const ALIAS_PREDICATE = 'alias'
export const SOURCE_PREDICATE = 'registered'
const PIECE = 'piece/'
const PIECE_DIGITS = 4

/** What all epochs' subjects begin with, and those of all registered sources. */
export const EPOCHS_PREFIX = EPOCHS
export const SOURCES_PREFIX = SOURCE

/** What a record says, beside who says it and when. */
export type StemeRecord = VoteRecord | EpochRecord | OutcomeRecord | AliasRecord | SourceRecord | ContentRecord
export type RecordKind = StemeRecord['kind']
export const RECORD_KINDS: readonly RecordKind[] = Object.freeze(['vote', 'epoch', 'outcome', 'alias', 'source', 'content'] as const)

interface Withdrawable {
  /** By its lifecycle (deprecated, rejected, retracted): it takes back what its agent said before of the same. */
  readonly isWithdrawn: boolean
}
export interface VoteRecord extends Withdrawable {
  readonly kind: 'vote'
  /** Id of the assertion that the vote is on. */
  readonly assertion: Uint8Array
  /** -1..1: above 0 agrees, below disagrees, 0 takes a vote back. */
  readonly weight: number
}
export interface EpochRecord extends Withdrawable {
  readonly kind: 'epoch'
  readonly name: string
  /** The epoch whose place it takes. */
  readonly supersedes: Uint8Array | undefined
  /** Of a withdrawal: the epoch that its agent takes back. */
  readonly withdraws: Uint8Array | undefined
  readonly reason: string | undefined
}
export interface OutcomeRecord extends Withdrawable {
  readonly kind: 'outcome'
  /** The agent that was right or wrong. */
  readonly subjectAgent: Uint8Array
  readonly accurate: boolean
  /** The assertion that it was right or wrong in. */
  readonly judged: Uint8Array | undefined
}
export interface AliasRecord extends Withdrawable {
  readonly kind: 'alias'
  readonly subject: string
  /** The other name of the same thing. */
  readonly alias: string
}
export interface SourceRecord extends Withdrawable {
  readonly kind: 'source'
  /** BLAKE3-256 of the content: the `sourceHash` of assertions that cite it. */
  readonly hash: Uint8Array
  readonly title: string
}
export interface ContentRecord extends Withdrawable {
  readonly kind: 'content'
  readonly hash: Uint8Array
  /** Place of this piece, from 0. */
  readonly index: number
  readonly text: string
}

/** What of an assertion makes it a record. */
export type RecordFields = Pick<Assertion, 'subject' | 'predicate' | 'object' | 'lifecycle' | 'sourceHash' | 'parent' | 'note'>

/** Whether a subject is reserved for records. */
export const isRecordSubject = (subject: string): boolean => subject.startsWith(RECORD_SCHEME)

/** The record that an assertion is, or undefined where it is none. The assertion keeps the rules of the model. */
export function recordOf(fields: RecordFields): StemeRecord | undefined {
  const parsed = parse(fields)
  return typeof parsed === 'string' ? undefined : parsed
}

/** Why an assertion can not be under `steme://`, or undefined where it can. */
export function recordProblem(fields: RecordFields): string | undefined {
  const parsed = parse(fields)
  return typeof parsed === 'string' ? parsed : undefined
}

/** @throws {DbError} `record_invalid` for an assertion under `steme://` that is no record; `pointer` is that of the assertion. */
export function checkRecord(fields: RecordFields, pointer = ''): void {
  if (!isRecordSubject(fields.subject)) return
  const fault = recordProblem(fields)
  if (fault !== undefined) throw new DbError('record_invalid', fault, { pointer })
}

// ---- parsers: the record, or why it is none ----

function parse(fields: RecordFields): StemeRecord | string {
  const { subject } = fields
  if (subject.startsWith(ASSERTION)) return parseVote(fields)
  if (subject === EPOCHS || subject.startsWith(`${EPOCHS}/`)) return parseEpoch(fields)
  if (subject.startsWith(AGENT)) return parseOutcome(fields)
  if (subject.startsWith(ALIAS_PATH) || subject.startsWith(ALIAS_URI)) return parseAlias(fields)
  if (subject.startsWith(SOURCE)) return parseSource(fields)
  if (subject.startsWith(CONTENT)) return parseContent(fields)
  return 'there are no records of such a subject'
}

const isWithdrawn = ({ lifecycle }: RecordFields): boolean => TAKEN_BACK.has(lifecycle)

/** The hash behind `prefix`, in lower case: the same thing must not have two subjects. */
function hashBehind(prefix: string, subject: string): Uint8Array | undefined {
  const hex = subject.slice(prefix.length)
  return hex === hex.toLowerCase() ? fromHex(hex, HASH_BYTES) : undefined
}

const needsHash = (what: string): string => `its subject must end in ${HASH_BYTES * 2} lower-case hex digits: ${what}`
const needsPredicate = (predicate: string): string => `its predicate must be "${predicate}"`

function parseVote(fields: RecordFields): VoteRecord | string {
  const { subject, predicate, object } = fields
  const assertion = hashBehind(ASSERTION, subject)
  if (assertion === undefined) return needsHash('the id of an assertion')
  if (predicate !== VOTE_PREDICATE) return needsPredicate(VOTE_PREDICATE)
  if (object.kind !== 'number' || !(Math.abs(object.value) <= 1)) return 'the object of a vote must be a number from -1 to 1'
  return { kind: 'vote', assertion, weight: object.value, isWithdrawn: isWithdrawn(fields) }
}

function parseEpoch(fields: RecordFields): EpochRecord | string {
  const { subject, predicate, object, parent, note } = fields
  const supersedes = subject === EPOCHS ? undefined : hashBehind(`${EPOCHS}/`, subject)
  if (subject !== EPOCHS && supersedes === undefined) return needsHash('the id of the epoch that it supersedes')
  if (predicate !== EPOCH_PREDICATE) return needsPredicate(EPOCH_PREDICATE)
  if (object.kind !== 'text' || object.value.trim() === '') return 'the object of an epoch must be its name'
  if (utf8Length(object.value) > EPOCH_NAME_BYTES_MAX) return `the name of an epoch has at most ${EPOCH_NAME_BYTES_MAX} bytes of UTF-8`
  const epoch = { kind: 'epoch', name: object.value, supersedes, reason: note } as const
  if (isWithdrawn(fields)) {
    return parent === undefined ? 'a withdrawal names the epoch that it takes back as its parent' : { ...epoch, withdraws: parent, isWithdrawn: true }
  }
  const isParentOfSubject = parent === undefined ? supersedes === undefined : supersedes !== undefined && toHex(parent) === toHex(supersedes)
  if (!isParentOfSubject) return 'the parent of an epoch must be the one that its subject ends in, and none where it supersedes none'
  if (supersedes !== undefined && (note ?? '').trim() === '') return 'an epoch that supersedes another one gives its reason as the note'
  return { ...epoch, withdraws: undefined, isWithdrawn: false }
}

function parseOutcome(fields: RecordFields): OutcomeRecord | string {
  const { subject, predicate, object, parent } = fields
  const subjectAgent = hashBehind(AGENT, subject)
  if (subjectAgent === undefined) return needsHash('an agent\'s key')
  if (predicate !== OUTCOME_PREDICATE) return needsPredicate(OUTCOME_PREDICATE)
  if (object.kind !== 'boolean') return 'the object of an outcome must be true (the agent was right) or false'
  return { kind: 'outcome', subjectAgent, accurate: object.value, judged: parent, isWithdrawn: isWithdrawn(fields) }
}

function parseAlias(fields: RecordFields): AliasRecord | string {
  const { subject, predicate, object } = fields
  const named = aliasedSubject(subject)
  if (named === undefined) return 'its subject must be steme://alias/path/ and a path, or steme://alias/uri/ and a scheme, a slash and the rest'
  if (predicate !== ALIAS_PREDICATE) return needsPredicate(ALIAS_PREDICATE)
  if (object.kind !== 'reference') return 'the object of an alias must be a reference to the other subject'
  const alias = object.value
  if (!isAliasable(alias)) return `its object ${NOT_ALIASABLE}`
  if (alias === named) return 'a subject is no alias of itself'
  return { kind: 'alias', subject: named, alias, isWithdrawn: isWithdrawn(fields) }
}

function parseSource(fields: RecordFields): SourceRecord | string {
  const { subject, predicate, object } = fields
  const hash = hashBehind(SOURCE, subject)
  if (hash === undefined) return needsHash('the hash of the content')
  if (predicate !== SOURCE_PREDICATE) return needsPredicate(SOURCE_PREDICATE)
  if (object.kind !== 'text') return 'the object of a source must be its title'
  if (utf8Length(object.value) > SOURCE_TITLE_BYTES_MAX) return `a title has at most ${SOURCE_TITLE_BYTES_MAX} bytes of UTF-8`
  return sourceHashFault(fields, hash) ?? { kind: 'source', hash, title: object.value, isWithdrawn: isWithdrawn(fields) }
}

function parseContent(fields: RecordFields): ContentRecord | string {
  const { subject, predicate, object } = fields
  const hash = hashBehind(CONTENT, subject)
  if (hash === undefined) return needsHash('the hash of the content')
  const index = pieceIndexOf(predicate)
  if (index === undefined) return `its predicate must be piece/0000 to ${piecePredicate(SOURCE_PIECES_MAX - 1)}`
  if (object.kind !== 'text' || object.value === '' || utf8Length(object.value) > SOURCE_PIECE_BYTES_MAX) {
    return `the object of a piece must be text of 1 to ${SOURCE_PIECE_BYTES_MAX} bytes of UTF-8`
  }
  return sourceHashFault(fields, hash) ?? { kind: 'content', hash, index, text: object.value, isWithdrawn: isWithdrawn(fields) }
}

function sourceHashFault({ sourceHash }: RecordFields, hash: Uint8Array): string | undefined {
  if (hash.every((byte) => byte === 0)) return 'the hash of all zeros stands for no source'
  return toHex(sourceHash) === toHex(hash) ? undefined : 'its source hash must be the one in its subject'
}

// ---- subjects ----

const encoder = new TextEncoder()
/** A scheme (RFC 3986, 3.1), as the rules of subjects take it for one. */
const SCHEME = /^[A-Za-z][A-Za-z0-9+.-]*$/

function utf8Length(text: string): number {
  return encoder.encode(text).length
}

export const voteSubject = (assertion: Uint8Array): string => ASSERTION + toHex(assertion)
/** @param supersedes undefined for epochs that take nobody's place */
export const epochSubject = (supersedes: Uint8Array | undefined): string => (supersedes === undefined ? EPOCHS : `${EPOCHS}/${toHex(supersedes)}`)
export const outcomeSubject = (agent: Uint8Array): string => AGENT + toHex(agent)
export const sourceSubject = (hash: Uint8Array): string => SOURCE + toHex(hash)
export const contentSubject = (hash: Uint8Array): string => CONTENT + toHex(hash)
export const piecePredicate = (index: number): string => PIECE + String(index).padStart(PIECE_DIGITS, '0')

function pieceIndexOf(predicate: string): number | undefined {
  const index = Number(predicate.slice(PIECE.length))
  return index >= 0 && index < SOURCE_PIECES_MAX && predicate === piecePredicate(index) ? index : undefined
}

/** Whether a subject can have aliases: not too long, well-formed, no record's. */
export function isAliasable(subject: string): boolean {
  const bytes = encoder.encode(subject)
  if (bytes.length === 0 || bytes.length > ALIASED_BYTES_MAX || isRecordSubject(subject)) return false
  return checkSubjectPath(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length) === 0
}

/** What is to be said of one that {@link isAliasable} is not. */
export const NOT_ALIASABLE = `must be a subject (no slash at its end, no empty part) of at most ${ALIASED_BYTES_MAX} bytes of UTF-8, and none of a record (${RECORD_SCHEME})`

/**
 * Where the aliases of a subject stand. A path stands there as it is; of `scheme://rest`, two slashes of which no subject
 * can have in its middle, the scheme becomes a segment.
 */
export function aliasSubject(subject: string): string {
  const [scheme, rest] = subject.split('://', 2)
  return rest !== undefined && SCHEME.test(scheme!) ? `${ALIAS_URI}${scheme}/${subject.slice(scheme!.length + 3)}` : ALIAS_PATH + subject
}

/** The inverse of {@link aliasSubject}; undefined where it is of none that can have aliases. */
function aliasedSubject(subject: string): string | undefined {
  if (subject.startsWith(ALIAS_PATH)) {
    const path = subject.slice(ALIAS_PATH.length)
    return path.includes('//') || !isAliasable(path) ? undefined : path
  }
  const uri = subject.slice(ALIAS_URI.length)
  const slash = uri.indexOf('/')
  if (slash < 0 || !SCHEME.test(uri.slice(0, slash))) return undefined
  const named = `${uri.slice(0, slash)}://${uri.slice(slash + 1)}`
  return isAliasable(named) ? named : undefined
}

// ---- builders ----

/** A record as a draft of an assertion: agent, time and what else the caller wants come on top. */
export interface RecordDraft extends RecordFields {
  readonly confidence: number
  readonly sourceClass?: SourceClass
  readonly sourceUri?: string
}

const NO_SOURCE = new Uint8Array(HASH_BYTES)

function draft(fields: Partial<RecordDraft> & Pick<RecordDraft, 'subject' | 'predicate' | 'object'>): RecordDraft {
  const whole: RecordDraft = { confidence: 1, lifecycle: 'approved', sourceHash: NO_SOURCE, ...fields }
  checkRecord(whole)
  return whole
}

function hashed(bytes: Uint8Array, what: string): Uint8Array {
  if (bytes.length !== HASH_BYTES) throw new DbError('record_invalid', `${what} must have ${HASH_BYTES} bytes, not ${bytes.length}`)
  return bytes
}

const lifecycleFor = (withdrawn: boolean): Lifecycle => (withdrawn ? 'retracted' : 'approved')
const withNote = (note: string | undefined): { note?: string } => (note === undefined ? {} : { note })

/**
 * A vote on an assertion. Of one agent's votes on it, the last one counts.
 * @param weight -1..1: above 0 agrees, below disagrees, 0 takes the vote back.
 * @throws {DbError} `record_invalid`; so do all builders
 */
export function voteDraft(assertion: Uint8Array, weight: number, note?: string): RecordDraft {
  const object = { kind: 'number', value: weight + 0 } as const
  return draft({ subject: voteSubject(hashed(assertion, 'an id')), predicate: VOTE_PREDICATE, object, ...withNote(note) })
}

export interface EpochInput {
  readonly name: string
  /** Id of the epoch whose place it takes; then there must be a reason. */
  readonly supersedes?: Uint8Array | undefined
  readonly reason?: string | undefined
}

/** A paradigm. The id of the assertion is the epoch's own, for the `epoch` of what belongs to it. */
export function epochDraft({ name, supersedes, reason }: EpochInput): RecordDraft {
  const parent = supersedes === undefined ? {} : { parent: hashed(supersedes, 'an epoch') }
  return draft({ subject: epochSubject(supersedes), predicate: EPOCH_PREDICATE, object: { kind: 'text', value: name }, ...parent, ...withNote(reason) })
}

/** Takes back an epoch that the same agent has declared, as it was given, and so what it has superseded is so no longer. */
export function epochWithdrawalDraft(epoch: Uint8Array, { name, supersedes, reason }: EpochInput): RecordDraft {
  return draft({
    subject: epochSubject(supersedes), predicate: EPOCH_PREDICATE, object: { kind: 'text', value: name }, lifecycle: 'retracted',
    parent: hashed(epoch, 'an epoch'), ...withNote(reason),
  })
}

export interface OutcomeInput {
  /** Who was right or wrong. */
  readonly agent: Uint8Array
  readonly accurate: boolean
  /** The assertion in question. Of one reporter's outcomes of it, the last one counts. */
  readonly judged?: Uint8Array | undefined
  readonly note?: string | undefined
  /** Takes back what the same reporter has said of the same. */
  readonly isWithdrawn?: boolean | undefined
}

export function outcomeDraft({ agent, accurate, judged, note, isWithdrawn: withdrawn = false }: OutcomeInput): RecordDraft {
  const parent = judged === undefined ? {} : { parent: hashed(judged, 'an id') }
  return draft({
    subject: outcomeSubject(hashed(agent, 'an agent')), predicate: OUTCOME_PREDICATE, object: { kind: 'boolean', value: accurate },
    lifecycle: lifecycleFor(withdrawn), ...parent, ...withNote(note),
  })
}

/**
 * That two subjects name the same thing: two assertions, one for each direction.
 * @param withdrawn takes back what the agent has said so before.
 */
export function aliasDrafts(subject: string, alias: string, withdrawn = false, note?: string): [RecordDraft, RecordDraft] {
  for (const [name, given] of [['subject', subject], ['alias', alias]] as const) {
    // Said of what the caller has given: the subjects of the records that come of it are nothing that it knows of.
    if (!isAliasable(given)) throw new DbError('record_invalid', `${name} ${NOT_ALIASABLE}`, { pointer: `/${name}` })
  }
  const lifecycle = lifecycleFor(withdrawn)
  const oneWay = (from: string, to: string): RecordDraft =>
    draft({ subject: aliasSubject(from), predicate: ALIAS_PREDICATE, object: { kind: 'reference', value: to }, lifecycle, ...withNote(note) })
  return [oneWay(subject, alias), oneWay(alias, subject)]
}

export interface SourceInput {
  /** BLAKE3-256 of the content. May be left out where the content is there. */
  readonly hash?: Uint8Array | undefined
  readonly title?: string | undefined
  readonly uri?: string | undefined
  /** Tier of the source; left out: anecdotal. */
  readonly sourceClass?: SourceClass | undefined
  /** Text to be stored with it, of at most `SOURCE_CONTENT_BYTES_MAX` bytes of UTF-8. */
  readonly content?: string | undefined
  readonly note?: string | undefined
  /** Takes back the registration by the same agent; content that it has stored stays. */
  readonly isWithdrawn?: boolean | undefined
}

/**
 * A source's registration, and behind it the pieces of its content in their order.
 * @throws {DbError} `record_invalid`, also where the hash is not that of the content, or neither is there
 */
export function sourceDrafts({ hash, title, uri, sourceClass, content, note, isWithdrawn: withdrawn = false }: SourceInput): RecordDraft[] {
  const pieces = content === undefined ? [] : piecesOf(content)
  const sourceHash = hash ?? (content === undefined ? undefined : sourceHashOf(content))
  if (sourceHash === undefined) throw new DbError('record_invalid', 'a source needs the hash of its content, or the content')
  hashed(sourceHash, 'a hash')
  if (hash !== undefined && content !== undefined && toHex(sourceHashOf(content)) !== toHex(hash)) {
    throw new DbError('record_invalid', `the hash of the content is ${toHex(sourceHashOf(content))}, not ${toHex(hash)}`)
  }
  const common = { sourceHash, ...sourceClass !== undefined && { sourceClass }, ...uri !== undefined && { sourceUri: uri } }
  return [
    draft({ subject: sourceSubject(sourceHash), predicate: SOURCE_PREDICATE, object: { kind: 'text', value: title ?? '' },
      lifecycle: lifecycleFor(withdrawn), ...common, ...withNote(note) }),
    ...pieces.map((value, index) =>
      draft({ subject: contentSubject(sourceHash), predicate: piecePredicate(index), object: { kind: 'text', value }, ...common })),
  ]
}

// ---- content ----

/** What assertions that cite this text have as their `sourceHash`. Needs `initHash()` once. */
export function sourceHashOf(content: string): Uint8Array {
  return blake3(encoder.encode(content))
}

const LONE_SURROGATE = /\p{Surrogate}/u

/** Content in pieces, each as long as it may be without splitting a character: the same for everybody. */
export function piecesOf(content: string): string[] {
  if (content === '') throw new DbError('record_invalid', 'content must not be empty')
  if (LONE_SURROGATE.test(content)) throw new DbError('record_invalid', 'content has a lone surrogate')
  if (content.length > SOURCE_CONTENT_BYTES_MAX || utf8Length(content) > SOURCE_CONTENT_BYTES_MAX) {
    throw new DbError('record_invalid', `content has at most ${SOURCE_CONTENT_BYTES_MAX} bytes of UTF-8`)
  }
  const room = new Uint8Array(SOURCE_PIECE_BYTES_MAX)
  const pieces: string[] = []
  for (let at = 0; at < content.length;) {
    // One unit more than can fit: a pair of surrogates at the end is seen as a whole.
    const { read } = encoder.encodeInto(content.slice(at, at + SOURCE_PIECE_BYTES_MAX + 1), room)
    pieces.push(content.slice(at, at + read))
    at += read
  }
  return pieces
}

/** The content that the pieces come to, or undefined where its hash is another one. */
export function contentOfPieces(hash: Uint8Array, pieces: readonly string[]): string | undefined {
  const content = pieces.join('')
  return toHex(sourceHashOf(content)) === toHex(hash) ? content : undefined
}
