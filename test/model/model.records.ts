import { toHex } from '../../src/base/bytes.ts'
import { hlcWallMs } from '../../src/base/hlc.ts'
import type { Accepted } from './history.ts'

/**
 * What the records beside assertions come to, written from docs/formats/records.md and nothing else: no index, no cache, the whole history each time.
 */
const DAY_MS = 24 * 3_600_000
const TRUST_HALF_LIFE_DAYS = 30
/** By an assertion's lifecycle it takes back what was said before. */
const WITHDRAWN: ReadonlySet<string> = new Set(['deprecated', 'rejected', 'retracted'])

/** The greater (HLC, id). */
export const isLater = (a: Accepted, b: Accepted): boolean => (a.hlc === b.hlc ? a.id > b.id : a.hlc > b.hlc)
export const byLateness = (a: Accepted, b: Accepted): number => (a.id === b.id ? 0 : isLater(a, b) ? -1 : 1)

const agentOf = ({ assertion }: Accepted): string => toHex(assertion.agent)
const parentOf = ({ assertion }: Accepted): string => (assertion.parent === undefined ? '' : toHex(assertion.parent))
const isWithdrawn = ({ assertion }: Accepted): boolean => WITHDRAWN.has(assertion.lifecycle)

/** Of what says the same thing by `sameness`, the last one, if it stands. */
function lastOf(records: readonly Accepted[], sameness: (record: Accepted) => string): Accepted[] {
  const last = new Map<string, Accepted>()
  for (const record of records) {
    const known = last.get(sameness(record))
    if (known === undefined || isLater(record, known)) last.set(sameness(record), record)
  }
  return [...last.values()].filter((record) => !isWithdrawn(record))
}

export interface Votes {
  readonly agreeWeight: number
  readonly disagreeWeight: number
  readonly agreeCount: number
  readonly disagreeCount: number
}

/** The votes on the assertion with this id: one an agent. */
export function votesOn(id: string, world: readonly Accepted[]): Votes {
  const weights = lastOf(world.filter(({ assertion }) => assertion.subject === `steme://assertion/${id}`), agentOf).map(({ assertion }) => Number(assertion.object.value))
  const agree = weights.filter((weight) => weight > 0)
  const disagree = weights.filter((weight) => weight < 0)
  const sum = (of: readonly number[]): number => of.reduce((total, weight) => total + Math.abs(weight), 0)
  return { agreeWeight: sum(agree), disagreeWeight: sum(disagree), agreeCount: agree.length, disagreeCount: disagree.length }
}

/** The trust in an agent at a moment. */
export function trustIn(agent: string, world: readonly Accepted[], nowMs: number): number {
  const about = world.filter((record) => record.assertion.subject === `steme://agent/${agent}` && agentOf(record) !== agent)
  const outcomes = lastOf(about, (record) => `${agentOf(record)} ${parentOf(record)}`).sort(byLateness).reverse()
  let score = 0.5
  let sinceMs = 0
  const decayTo = (ms: number): void => {
    score = 0.5 + (score - 0.5) * 0.5 ** (Math.max(0, ms - sinceMs) / DAY_MS / TRUST_HALF_LIFE_DAYS)
    sinceMs = ms
  }
  for (const { hlc, assertion } of outcomes) {
    decayTo(hlcWallMs(hlc))
    score = Math.min(1, Math.max(0, score + (assertion.object.value === true ? 0.05 : -0.10)))
  }
  decayTo(nowMs)
  return score
}

const isEpoch = ({ assertion }: Accepted): boolean => assertion.subject === 'steme://epochs' || assertion.subject.startsWith('steme://epochs/')

/** Whether another epoch has taken this one's place. */
export function isSuperseded(epoch: string, world: readonly Accepted[]): boolean {
  const records = world.filter(isEpoch)
  const isTakenBack = (one: Accepted): boolean => records.some((other) =>
    isWithdrawn(other) && parentOf(other) === one.id && agentOf(other) === agentOf(one) && other.assertion.subject === one.assertion.subject)
  return records.some((one) => !isWithdrawn(one) && one.assertion.subject === `steme://epochs/${epoch}` && !isTakenBack(one))
}

const aliasPlace = (subject: string): string => {
  const [scheme, rest] = subject.split('://')
  return rest === undefined ? `steme://alias/path/${subject}` : `steme://alias/uri/${scheme}/${rest}`
}

/** All subjects that are the same thing, this one included. */
export function aliasesOf(subject: string, world: readonly Accepted[]): ReadonlySet<string> {
  const found = new Set([subject])
  // A set that grows while it is walked over: what is added is walked over as well.
  for (const one of found) {
    const records = world.filter(({ assertion }) => assertion.subject === aliasPlace(one))
    for (const { assertion } of lastOf(records, (record) => `${agentOf(record)} ${String(record.assertion.object.value)}`)) found.add(String(assertion.object.value))
  }
  return found
}
