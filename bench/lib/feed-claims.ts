import type { SubscribeParts } from '../../src/client/feed-frames.ts'
import type { Assertion, SourceClass } from '../../src/record/assertion.ts'

/**
 * The claims that the bench of subscriptions writes, and the thousand filters over them. All that a filter looks at
 * follows from a claim's number by remainders, so that what matches a filter is every `period`-th claim from `residue` on: who
 * must get what is known without asking any code of the node, and without asking a thousand filters for each claim.
 */

const WARDS = 1000
const BEDS = 4
const PREDICATES = 7
const AGENTS = 500
const TIERS = 6
/** About so many bytes has a claim's buffer, with this note. */
const NOTE = 'observed by the night shift and entered by hand, as the chart of the bed has it'
const ASSERTED_AT_MS = 1_750_000_000_000

/** Of a thousand subscribers, how many follow what. */
const MIX = { prefix: 700, subject: 170, agent: 100, 'prefix and predicate': 14, 'agent and tier': 10, predicate: 3, tier: 3 } as const
/** What all subjects begin with: others write beside, and are not what a filter by tier is about. */
const ROOT = 'ward/'

export interface BenchSubscription {
  /** What stands in its Subscribe frame, besides ids. */
  readonly filter: Partial<Pick<SubscribeParts, 'subject' | 'subjectIsPrefix' | 'predicate' | 'tiers' | 'agent'>>
  /** It gets claims `residue`, `residue + period`, `residue + 2 * period`, ... */
  readonly residue: number
  readonly period: number
}

const prefixOf = (n: number): string => `${ROOT}${String(n % WARDS).padStart(3, '0')}/`
const subjectOf = (n: number): string => `${prefixOf(n)}bed/${Math.floor(n / WARDS) % BEDS}`
const predicateOf = (n: number): string => `pulse-${n % PREDICATES}`

function agentOf(n: number): Uint8Array {
  const agent = new Uint8Array(32).fill(0x66)
  new DataView(agent.buffer).setUint16(0, n % AGENTS)
  return agent
}

const agents = Array.from({ length: AGENTS }, (_, n) => agentOf(n))

/** Claim number `n` of a run; `n` is its object and in its time. */
export function feedClaim(n: number): Assertion {
  return {
    subject: subjectOf(n), predicate: predicateOf(n), object: { kind: 'number', value: n }, confidence: 0.9, sourceClass: n % TIERS as SourceClass,
    sourceHash: new Uint8Array(32).fill(n % 7), lifecycle: 'proposed', agent: agents[n % AGENTS]!, assertedAtMs: ASSERTED_AT_MS + n, note: NOTE,
  }
}

/** The number of the claim that has this time. */
export const feedClaimNumber = (assertedAtMs: number): number => assertedAtMs - ASSERTED_AT_MS

const leastCommonMultiple = (a: number, b: number): number => {
  let [x, y] = [a, b]
  while (y > 0) [x, y] = [y, x % y]
  return a / x * b
}

type Kind = keyof typeof MIX

/** The subscription of this kind that gets claim `n`. */
function subscriptionOf(kind: Kind, n: number): BenchSubscription {
  const of = (filter: BenchSubscription['filter'], period: number): BenchSubscription => ({ filter, residue: n % period, period })
  const prefix = { subject: prefixOf(n), subjectIsPrefix: true }
  switch (kind) {
    case 'prefix': return of(prefix, WARDS)
    case 'subject': return of({ subject: subjectOf(n), subjectIsPrefix: false }, WARDS * BEDS)
    case 'agent': return of({ agent: agentOf(n) }, AGENTS)
    case 'prefix and predicate': return of({ ...prefix, predicate: predicateOf(n) }, leastCommonMultiple(WARDS, PREDICATES))
    case 'agent and tier': return of({ agent: agentOf(n), tiers: 1 << n % TIERS }, leastCommonMultiple(AGENTS, TIERS))
    case 'predicate': return of({ predicate: predicateOf(n) }, PREDICATES)
    case 'tier': return of({ subject: ROOT, subjectIsPrefix: true, tiers: 1 << n % TIERS }, TIERS)
  }
}

/** A thousand, no two alike. */
export function benchSubscriptions(): BenchSubscription[] {
  // Those of a kind begin at claims of their own, one behind the other: their residues differ as long as there are no more than a period has.
  return (Object.keys(MIX) as Kind[]).flatMap((kind, k) => Array.from({ length: MIX[kind] }, (_, i) => subscriptionOf(kind, k * 131 + i)))
}

/** How many of the claims below `count` it gets. */
export const matchesBelow = ({ residue, period }: BenchSubscription, count: number): number =>
  count <= residue ? 0 : Math.floor((count - 1 - residue) / period) + 1
