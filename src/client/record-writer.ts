import { fromHex } from '../base/bytes.ts'
import { DbError } from '../base/errors.ts'
import { agentFromText } from '../record/agent-key.ts'
import { HASH_BYTES } from '../record/limits.ts'
import {
  aliasDrafts, epochDraft, epochWithdrawalDraft, outcomeDraft, sourceDrafts, voteDraft, type RecordDraft, type SourceInput,
} from '../record/records.ts'
import type { AckedAssertion } from './acks.ts'
import type { AssertionDraft } from './draft.ts'

/** What every record may say beside its own. */
export interface RecordOptions {
  /** Default 1. */
  readonly confidence?: number
  /** Unix milliseconds; default now. Leaving it out makes a retry from outside another record. */
  readonly assertedAtMs?: number
  /** For people. */
  readonly note?: string
  /** Takes back what the same agent has said of the same. Of a vote: give it the weight 0. */
  readonly withdraw?: boolean
}

/** 32 bytes, or 64 hex digits. */
export type HashLike = Uint8Array | string

export interface EpochDeclaration {
  readonly name: string
  /** The epoch whose place it takes, which needs a reason. */
  readonly supersedes?: HashLike
  readonly reason?: string
  /** An epoch of the same agent that is taken back; the rest is as it was declared. */
  readonly withdraws?: HashLike
}

export interface OutcomeReport {
  /** Who was right or wrong: a key, its 64 hex digits, or `did:key`. */
  readonly agent: HashLike
  readonly accurate: boolean
  /** Id of the assertion in question. */
  readonly assertion?: HashLike
}

export type SourceRegistration = Omit<SourceInput, 'hash' | 'isWithdrawn' | 'note'> & {
  /** BLAKE3-256 of the content. May be left out where the content is there. */
  readonly hash?: HashLike
}

/**
 * Writes records beside assertions (docs/formats/records.md). Each is one assertion or a few, signed and acked like any other.
 * All calls reject with a {DbError}: `record_invalid` where the record breaks a rule of its shape, and as `assert` does.
 */
export abstract class RecordWriter {
  abstract assert(draft: AssertionDraft): Promise<AckedAssertion>

  /**
   * Votes on an assertion; of your votes on it, the last one counts.
   * @param weight -1..1: above 0 agrees, below disagrees, by so much; 0 takes the vote back.
   */
  async vote(assertion: HashLike, weight: number, options: RecordOptions = {}): Promise<AckedAssertion> {
    return this.#one(voteDraft(bytesOf(assertion, 'assertion'), weight), options)
  }

  /** Declares an epoch. The id of the ack is the epoch: it goes into `epoch` of what belongs to it. */
  async declareEpoch({ name, supersedes, reason, withdraws }: EpochDeclaration, options: Omit<RecordOptions, 'note' | 'withdraw'> = {}): Promise<AckedAssertion> {
    const input = { name, reason, supersedes: supersedes === undefined ? undefined : bytesOf(supersedes, 'supersedes') }
    return this.#one(withdraws === undefined ? epochDraft(input) : epochWithdrawalDraft(bytesOf(withdraws, 'withdraws'), input), options)
  }

  /** Says that an agent was right or wrong, from which its trust follows. Of yourself it does not count. */
  async reportOutcome({ agent, accurate, assertion }: OutcomeReport, options: RecordOptions = {}): Promise<AckedAssertion> {
    const judged = assertion === undefined ? undefined : bytesOf(assertion, 'assertion')
    return this.#one(outcomeDraft({ agent: keyOf(agent), accurate, judged, isWithdrawn: options.withdraw }), options)
  }

  /** Says that two subjects are the same thing: an assertion for each direction. */
  async alias(subject: string, alias: string, options: RecordOptions = {}): Promise<AckedAssertion[]> {
    return this.#all(aliasDrafts(subject, alias, options.withdraw), options)
  }

  /**
   * Registers a source, and stores its content where that is given: at most 1 MiB of text.
   * @returns its hash, for `sourceHash` of what cites it, and the acks: of the registration, then of the pieces
   */
  async registerSource(source: SourceRegistration, options: RecordOptions = {}): Promise<{ readonly hash: Uint8Array, readonly acks: AckedAssertion[] }> {
    const hash = source.hash === undefined ? undefined : bytesOf(source.hash, 'hash')
    const drafts = sourceDrafts({ ...source, hash, isWithdrawn: options.withdraw })
    return { hash: drafts[0]!.sourceHash, acks: await this.#all(drafts, options) }
  }

  #one(draft: RecordDraft, { confidence, assertedAtMs, note }: RecordOptions): Promise<AckedAssertion> {
    return this.assert({ ...draft, ...confidence !== undefined && { confidence }, assertedAtMs, ...note !== undefined && { note } })
  }

  /** In one turn of the event loop, so that they share a batch as far as it holds them. */
  #all(drafts: readonly RecordDraft[], options: RecordOptions): Promise<AckedAssertion[]> {
    return Promise.all(drafts.map((draft) => this.#one(draft, options)))
  }
}

function bytesOf(value: HashLike, parameter: string): Uint8Array {
  const bytes = typeof value === 'string' ? fromHex(value, HASH_BYTES) : value
  if (bytes === undefined) throw new DbError('parameter_invalid', `${parameter} must be ${HASH_BYTES} bytes, or ${HASH_BYTES * 2} hex digits`, { parameter })
  return bytes
}

function keyOf(value: HashLike): Uint8Array {
  const key = typeof value === 'string' ? agentFromText(value) : value
  if (key === undefined) throw new DbError('parameter_invalid', 'agent must be a key: 32 bytes, 64 hex digits, or did:key:z6Mk...', { parameter: 'agent' })
  return key
}
