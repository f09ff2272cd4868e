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
  /** It gets claims `residue`, `residue + period`, `residue + 2 * period`, ... Infinity: none. */
  readonly residue: number
  readonly period: number
}

/** What claims and filters name. */
interface Names {
  readonly root: string
  readonly predicate: string
  readonly agentByte: number
}
const WRITTEN: Names = { root: ROOT, predicate: 'pulse', agentByte: 0x66 }
/** Of filters of the same kinds and lengths that nothing matches. */
const NEVER_WRITTEN: Names = { root: 'wing/', predicate: 'blood', agentByte: 0x67 }

const prefixOf = (n: number, { root }: Names): string => `${root}${String(n % WARDS).padStart(3, '0')}/`
const subjectOf = (n: number, names: Names): string => `${prefixOf(n, names)}bed/${Math.floor(n / WARDS) % BEDS}`
const predicateOf = (n: number, { predicate }: Names): string => `${predicate}-${n % PREDICATES}`

function agentOf(n: number, { agentByte }: Names): Uint8Array {
  const agent = new Uint8Array(32).fill(agentByte)
  new DataView(agent.buffer).setUint16(0, n % AGENTS)
  return agent
}

const agents = Array.from({ length: AGENTS }, (_, n) => agentOf(n, WRITTEN))

/** Claim number `n` of a run; `n` is its object and in its time. */
export function feedClaim(n: number): Assertion {
  return {
    subject: subjectOf(n, WRITTEN), predicate: predicateOf(n, WRITTEN), object: { kind: 'number', value: n }, confidence: 0.9, sourceClass: n % TIERS as SourceClass,
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

/** The subscription of this kind that gets claim `n`, by these names. */
function subscriptionOf(kind: Kind, n: number, names: Names): BenchSubscription {
  const of = (filter: BenchSubscription['filter'], period: number): BenchSubscription =>
    ({ filter, residue: names === WRITTEN ? n % period : Infinity, period })
  const prefix = { subject: prefixOf(n, names), subjectIsPrefix: true }
  switch (kind) {
    case 'prefix': return of(prefix, WARDS)
    case 'subject': return of({ subject: subjectOf(n, names), subjectIsPrefix: false }, WARDS * BEDS)
    case 'agent': return of({ agent: agentOf(n, names) }, AGENTS)
    case 'prefix and predicate': return of({ ...prefix, predicate: predicateOf(n, names) }, leastCommonMultiple(WARDS, PREDICATES))
    case 'agent and tier': return of({ agent: agentOf(n, names), tiers: 1 << n % TIERS }, leastCommonMultiple(AGENTS, TIERS))
    case 'predicate': return of({ predicate: predicateOf(n, names) }, PREDICATES)
    case 'tier': return of({ subject: names.root, subjectIsPrefix: true, tiers: 1 << n % TIERS }, TIERS)
  }
}

/** A thousand, no two alike. @param isMatched whether what is written matches them, or nothing does */
export function benchSubscriptions(isMatched: boolean): BenchSubscription[] {
  // Those of a kind begin at claims of their own, one behind the other: their residues differ as long as there are no more than a period has.
  return (Object.keys(MIX) as Kind[]).flatMap((kind, k) => Array.from({ length: MIX[kind] }, (_, i) => subscriptionOf(kind, k * 131 + i, isMatched ? WRITTEN : NEVER_WRITTEN)))
}

/** How many of the claims below `count` it gets. */
export const matchesBelow = ({ residue, period }: BenchSubscription, count: number): number =>
  count <= residue ? 0 : Math.floor((count - 1 - residue) / period) + 1
