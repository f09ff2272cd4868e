import { compareBytes, toHex } from '../base/bytes.ts'
import { hlcWallMs, type Hlc } from '../base/hlc.ts'
import type { VoteTally } from '../lens/lens.ts'
import type { AliasRecord, EpochRecord, OutcomeRecord, StemeRecord, VoteRecord } from '../record/records.ts'

/**
 * Which records count, and what they come to (docs/formats/records.md): pure functions of sets. Whatever the order in
 * which records are given, and however often one is, the result is the same, down to the last bit of a sum.
 */

/** A record with who says it, and when it was accepted. */
export interface Said<R extends StemeRecord> {
  readonly record: R
  readonly agent: Uint8Array
  /** 32 bytes. */
  readonly id: Uint8Array
  readonly hlc: Hlc
}

/** By (HLC, id), the earliest first. */
export function compareSaid(a: Said<StemeRecord>, b: Said<StemeRecord>): number {
  return a.hlc === b.hlc ? compareBytes(a.id, b.id) : a.hlc < b.hlc ? -1 : 1
}

/** What a record is about, beside its subject and predicate; undefined: each is about something of its own. */
function aboutOf(record: StemeRecord): string | undefined {
  switch (record.kind) {
    case 'vote':
    case 'source':
    case 'content': return ''
    case 'alias': return record.alias
    case 'outcome': return record.judged === undefined ? '' : toHex(record.judged)
    case 'epoch': return undefined
  }
}

/** Of an agent's records under one subject and predicate the last one replaces those that have the same key. Undefined: it replaces none. */
export function keyOfWord({ record, agent }: Said<StemeRecord>): string | undefined {
  const about = aboutOf(record)
  return about === undefined ? undefined : `${toHex(agent)} ${about}`
}

/** Of each agent's records that are about the same, the last, unless it takes back; the earliest first. */
export function lastOfEach<R extends StemeRecord, S extends Said<R>>(said: readonly S[]): S[] {
  const last = new Map<string, S>()
  for (const one of said) {
    const key = keyOfWord(one) ?? toHex(one.id)
    const before = last.get(key)
    if (before === undefined || compareSaid(one, before) > 0) last.set(key, one)
  }
  return [...last.values()].filter(({ record }) => !record.isWithdrawn).sort(compareSaid)
}

/** The votes on one assertion that count: one an agent. */
export function standingVotes<S extends Said<VoteRecord>>(said: readonly S[]): S[] {
  return lastOfEach<VoteRecord, S>(said).filter(({ record }) => record.weight !== 0)
}

export function tallyOf(votes: readonly Said<VoteRecord>[]): VoteTally {
  const tally = { agreeWeight: 0, disagreeWeight: 0, agreeCount: 0, disagreeCount: 0 }
  // A sum of doubles depends on its order: by agent, of whom each has one vote.
  for (const { record: { weight } } of [...votes].sort((a, b) => compareBytes(a.agent, b.agent))) {
    if (weight > 0) {
      tally.agreeWeight += weight
      tally.agreeCount++
    } else {
      tally.disagreeWeight -= weight
      tally.disagreeCount++
    }
  }
  return tally
}

/**
 * Epochs that are declared and that their agent has not taken back; the earliest first, each once. Only a withdrawal of the same subject
 * takes back: so it stands where the epoch does, and whoever reads that one subject sees what whoever reads all of them sees.
 */
export function standingEpochs<S extends Said<EpochRecord>>(said: readonly S[]): S[] {
  const keyOf = ({ record: { supersedes }, agent }: S, epoch: Uint8Array): string => `${toHex(agent)} ${toHex(epoch)} ${supersedes === undefined ? '' : toHex(supersedes)}`
  const takenBack = new Set<string>()
  for (const one of said) if (one.record.withdraws !== undefined) takenBack.add(keyOf(one, one.record.withdraws))
  const epochs = new Map<string, S>()
  for (const one of said) {
    if (one.record.isWithdrawn || takenBack.has(keyOf(one, one.id))) continue
    epochs.set(toHex(one.id), one)
  }
  return [...epochs.values()].sort(compareSaid)
}

/** Subjects that somebody says are the same thing as the one whose aliases were read, in the order of their characters. */
export function standingAliases<S extends Said<AliasRecord>>(said: readonly S[]): S[] {
  return lastOfEach<AliasRecord, S>(said)
}

// ---- trust ----

/** What an agent is trusted of whom nothing is known, and what every score decays to. */
export const TRUST_NEUTRAL = 0.5
export const TRUST_ACCURATE_STEP = 0.05
export const TRUST_INACCURATE_STEP = -0.1
const DAY_MS = 86_400_000

/** What a node makes of outcomes. */
export interface TrustPolicy {
  /** Days until a score has come half the way back to neutral; 0: never. */
  readonly halfLifeDays: number
  /** Keys (lower-case hex) of those whose outcomes count; undefined: anybody's. */
  readonly reporters: ReadonlySet<string> | undefined
}

/** Whether anybody listens to an outcome: of itself an agent reports in vain. */
export const isHeard = ({ record, agent }: Said<OutcomeRecord>, { reporters }: TrustPolicy): boolean =>
  compareBytes(agent, record.subjectAgent) !== 0 && (reporters === undefined || reporters.has(toHex(agent)))

/** The outcomes of one agent that count: one for each reporter and assertion in question. */
export function standingOutcomes<S extends Said<OutcomeRecord>>(said: readonly S[], policy: TrustPolicy): S[] {
  return lastOfEach<OutcomeRecord, S>(said.filter((one) => isHeard(one, policy)))
}

/**
 * The score at a moment, 0..1: from neutral, through the outcomes in the order of (HLC, id), decaying to neutral by half every
 * `halfLifeDays` between them and up to the moment. Steps and half-life are those of TrustRank in the system that this one follows.
 * @param outcomes those that count, the earliest first
 */
export function trustAt(outcomes: readonly Said<OutcomeRecord>[], nowMs: number, { halfLifeDays }: TrustPolicy): number {
  let score = TRUST_NEUTRAL
  let atMs = 0
  const decayTo = (ms: number): void => {
    // A clock that is behind the last outcome's HLC does not turn time back.
    if (halfLifeDays > 0 && ms > atMs) score = TRUST_NEUTRAL + (score - TRUST_NEUTRAL) * 0.5 ** ((ms - atMs) / (halfLifeDays * DAY_MS))
    atMs = Math.max(atMs, ms)
  }
  for (const { record, hlc } of outcomes) {
    decayTo(hlcWallMs(hlc))
    score = Math.min(1, Math.max(0, score + (record.accurate ? TRUST_ACCURATE_STEP : TRUST_INACCURATE_STEP)))
  }
  decayTo(nowMs)
  return score
}
