import { bytesEqual, fromHex } from '../base/bytes.ts'
import { DbError, isDbError } from '../base/errors.ts'
import { agentFromText } from '../record/agent-key.ts'
import type { Assertion } from '../record/assertion.ts'
import { JsonMembers, assertionFromJson } from '../record/assertion.json.ts'
import { checkAssertion, assertionIdOf } from '../record/claim.ts'
import { AGENT_BYTES, HASH_BYTES, SIGNATURE_BYTES } from '../record/limits.ts'
import {
  aliasDrafts, epochDraft, epochWithdrawalDraft, outcomeDraft, recordOf, sourceDrafts, voteDraft, type RecordDraft,
} from '../record/records.ts'
import { encodeAssertion } from '../wire/assertion.codec.ts'
import type { Item } from './items.ts'
import type { BatchSignature } from './submit-items.ts'

/** Assertions that a body stands for, ready to go into a batch. */
export interface RecordItems {
  readonly items: readonly Item[]
  /** Of the batch, where there are several assertions and they are signed. */
  readonly signed: BatchSignature | undefined
  /** That of all of them. */
  readonly sourceHash: Uint8Array
}

/** Members that every body may have: who says it, when, how sure. */
const COMMON = ['agent', 'asserted_at', 'confidence', 'signature'] as const
/** Members of the assertions whose name in a body is another one. */
const NAMES: Readonly<Record<string, string>> = { sourceUri: 'uri', assertedAtMs: 'asserted_at', subject: 'subject', note: 'note' }

type Build = (members: JsonMembers, agent: Uint8Array) => RecordDraft[]

/**
 * The assertions of a body: those that the builders of record/records.ts make of it, in their order.
 * @param names members beside the common ones
 * @throws {DbError} `field_missing`, `field_invalid`, ... with a pointer into the body, `record_invalid`
 */
function itemsOf(body: unknown, names: readonly string[], nowMs: number, build: Build): RecordItems {
  const members = new JsonMembers(body, '', new Set([...COMMON, ...names]))
  const { agent, assertedAtMs, confidence, sourceClass } = commonOf(body, members, nowMs)
  const assertions = build(members, agent).map((draft): Assertion => ({ sourceClass, agent, assertedAtMs, ...draft, confidence }))
  for (const assertion of assertions) checkModel(assertion)
  const signature = optional(members, 'signature', (value) =>
    fromHex(members.text('signature', value), SIGNATURE_BYTES) ?? members.refuse('field_invalid', 'signature', `must be ${SIGNATURE_BYTES * 2} hex digits`))
  const isSingle = assertions.length === 1
  const items = assertions.map((assertion): Item =>
    ({ id: assertionIdOf(assertion), assertion: encodeAssertion(assertion), signature: isSingle ? signature : undefined }))
  return { items, signed: isSingle || signature === undefined ? undefined : { agent, signature }, sourceHash: assertions[0]!.sourceHash }
}

/** The members that any assertion has, read by the rules of assertions: the rest stands in for what the builders give. */
function commonOf(body: unknown, members: JsonMembers, nowMs: number): Assertion {
  const given = body as Readonly<Record<string, unknown>>
  const claim: Record<string, unknown> = { subject: 's', predicate: 'p', object: true, confidence: members.optional('confidence') ?? 1 }
  for (const name of ['agent', 'asserted_at', 'source_class']) if (members.has(name)) claim[name] = given[name]
  return assertionFromJson(claim, '', { assertedAtMs: nowMs })
}

function checkModel(assertion: Assertion): void {
  try {
    checkAssertion(assertion)
  } catch (error) {
    if (!isDbError(error)) throw error
    const field = String(error.details['pointer']).split('/')[1] ?? ''
    throw new DbError(error.code, error.message, { pointer: field in NAMES ? `/${NAMES[field]!}` : '' }, { cause: error })
  }
}

function optional<T>(members: JsonMembers, name: string, read: (value: unknown) => T): T | undefined {
  const value = members.optional(name)
  return value === undefined ? undefined : read(value)
}
const text = (members: JsonMembers, name: string): string => members.text(name, members.required(name))
const textIfThere = (members: JsonMembers, name: string): string | undefined => optional(members, name, (value) => members.text(name, value))
const hash = (members: JsonMembers, name: string): Uint8Array => members.hash(name, members.required(name))
const hashIfThere = (members: JsonMembers, name: string): Uint8Array | undefined => optional(members, name, (value) => members.hash(name, value))
const bool = (members: JsonMembers, name: string, value: unknown): boolean =>
  typeof value === 'boolean' ? value : members.refuse('field_invalid', name, 'must be true or false')
const withdraw = (members: JsonMembers): boolean => optional(members, 'withdraw', (value) => bool(members, 'withdraw', value)) ?? false

/** `POST /v1/vote` */
export function voteItems(body: unknown, nowMs: number): RecordItems {
  return itemsOf(body, ['assertion', 'weight', 'note'], nowMs, (members) =>
    [voteDraft(hash(members, 'assertion'), members.number('weight', members.required('weight')), textIfThere(members, 'note'))])
}

const EPOCH_MEMBERS = ['name', 'supersedes', 'reason', 'withdraws'] as const

/** The epoch that a body of `POST /v1/epoch` takes back: what it says must be known for {@link epochItems}. @throws {DbError} as that does */
export function withdrawnEpochOf(body: unknown): Uint8Array | undefined {
  return hashIfThere(new JsonMembers(body, '', new Set([...COMMON, ...EPOCH_MEMBERS])), 'withdraws')
}

/**
 * `POST /v1/epoch`
 * @param declared the assertion whose id `withdraws` is; undefined: there is none. A withdrawal counts only where its subject is that of
 *   the epoch, which follows from what the epoch supersedes: so it is taken from there.
 */
export function epochItems(body: unknown, nowMs: number, declared?: Assertion): RecordItems {
  return itemsOf(body, EPOCH_MEMBERS, nowMs, (members, agent) => {
    const input = { name: text(members, 'name'), supersedes: hashIfThere(members, 'supersedes'), reason: textIfThere(members, 'reason') }
    const withdrawn = hashIfThere(members, 'withdraws')
    if (withdrawn === undefined) return [epochDraft(input)]
    return [epochWithdrawalDraft(withdrawn, { ...input, supersedes: supersededBy(declared, members, agent, input.supersedes) })]
  })
}

/** What an epoch that is to be taken back supersedes. @throws {DbError} `record_invalid` where this withdrawal could not take it back */
function supersededBy(declared: Assertion | undefined, members: JsonMembers, agent: Uint8Array, given: Uint8Array | undefined): Uint8Array | undefined {
  const epoch = declared === undefined ? undefined : recordOf(declared)
  if (declared === undefined || epoch?.kind !== 'epoch' || epoch.isWithdrawn) return members.refuse('record_invalid', 'withdraws', 'must be the id of an epoch that this node knows')
  if (!bytesEqual(agent, declared.agent)) return members.refuse('record_invalid', 'withdraws', 'must be the id of an epoch by the same agent: nobody else can take it back')
  const { supersedes } = epoch
  if (given !== undefined && (supersedes === undefined || !bytesEqual(given, supersedes))) {
    return members.refuse('record_invalid', 'supersedes', 'must be left out, or be what the epoch that is withdrawn supersedes')
  }
  return supersedes
}

/** `POST /v1/agents/{key}/trust`; the key is that of the agent who was right or wrong. */
export function outcomeItems(body: unknown, nowMs: number, subjectAgent: Uint8Array): RecordItems {
  return itemsOf(body, ['accurate', 'assertion', 'note', 'withdraw'], nowMs, (members) => [outcomeDraft({
    agent: subjectAgent, accurate: bool(members, 'accurate', members.required('accurate')), judged: hashIfThere(members, 'assertion'),
    note: textIfThere(members, 'note'), isWithdrawn: withdraw(members),
  })])
}

/** `POST /v1/aliases` */
export function aliasItems(body: unknown, nowMs: number): RecordItems {
  return itemsOf(body, ['subject', 'alias', 'note', 'withdraw'], nowMs, (members) =>
    aliasDrafts(text(members, 'subject'), text(members, 'alias'), withdraw(members), textIfThere(members, 'note')))
}

/** `POST /v1/sources` */
export function sourceItems(body: unknown, nowMs: number): RecordItems {
  return itemsOf(body, ['hash', 'title', 'uri', 'source_class', 'content', 'note', 'withdraw'], nowMs, (members) => sourceDrafts({
    hash: hashIfThere(members, 'hash'), title: textIfThere(members, 'title'), uri: textIfThere(members, 'uri'),
    content: textIfThere(members, 'content'), note: textIfThere(members, 'note'), isWithdrawn: withdraw(members),
  }))
}

/** A path's `{key}`. @throws {DbError} `parameter_invalid` */
export function agentParameter(given: string | undefined): Uint8Array {
  const key = given === undefined ? undefined : agentFromText(decoded(given))
  if (key === undefined) throw new DbError('parameter_invalid', `key must be ${AGENT_BYTES * 2} hex digits or did:key:z6Mk...`, { parameter: 'key' })
  return key
}

/** did:key has colons, which some clients encode in a path. */
function decoded(given: string): string {
  try {
    return decodeURIComponent(given)
  } catch {
    return ''
  }
}

/** A path's `{id}` or `{hash}`. @throws {DbError} `parameter_invalid` */
export function hashParameter(given: string | undefined, parameter: string): Uint8Array {
  const bytes = fromHex(given ?? '', HASH_BYTES)
  if (bytes === undefined) throw new DbError('parameter_invalid', `${parameter} must be ${HASH_BYTES * 2} hex digits`, { parameter })
  return bytes
}
