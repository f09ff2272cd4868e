import fc from 'fast-check'
import type { Hlc } from '../../src/base/hlc.ts'
import { hlcOf } from '../../src/base/hlc.ts'
import type { Candidate, LensAnswer, LensContext, Resolution } from '../../src/lens/lens.ts'
import { LIFECYCLES, type Assertion, type ObjectValue, type SourceClass } from '../../src/record/assertion.ts'

/** 2027-01-15T08:00:00Z */
export const NOW_MS = 1_800_000_000_000
export const DAY_MS = 86_400_000

/** The node's defaults. */
export const HALF_LIFE_DAYS: readonly number[] = [Infinity, 730, 365, 180, 90, 30]

export const digest = (byte: number): Uint8Array => new Uint8Array(32).fill(byte)
/** A digest of which the first bytes count upward: more than 256 different ones. */
export const digestOf = (n: number): Uint8Array => {
  const bytes = new Uint8Array(32).fill(1)
  new DataView(bytes.buffer).setUint32(0, n, true)
  return bytes
}

export interface FullCandidate extends Candidate {
  readonly assertion: Assertion
}

export const text = (value: string): ObjectValue => ({ kind: 'text', value })
export const num = (value: number): ObjectValue => ({ kind: 'number', value })

/** A candidate that says `object`: of full confidence, tier 1, no source, accepted `n` milliseconds before now, unless told otherwise. */
export function says(
  n: number, object: ObjectValue | string, more: Partial<Assertion> & { hlc?: Hlc, id?: Uint8Array } = {},
): FullCandidate {
  const { hlc, id, ...fields } = more
  return {
    id: id ?? digestOf(n),
    hlc: hlc ?? hlcOf(NOW_MS - n),
    assertion: {
      subject: 's', predicate: 'p', object: typeof object === 'string' ? text(object) : object, confidence: 1, sourceClass: 1,
      sourceHash: digest(0), lifecycle: 'proposed', agent: digest(100), assertedAtMs: NOW_MS - n, ...fields,
    },
  }
}

const digests = fc.integer({ min: 0, max: 6 }).map(digest)

/** Values that are equal in the ways there are, and some that only look alike. */
export const objects: fc.Arbitrary<ObjectValue> = fc.oneof(
  fc.constantFrom('a', 'b', '500 mg', '0.5 g', '5 %', '1', 'true', '', '1e999 g').map(text),
  fc.constantFrom(0, 1, 1.01, 1.02, -1, 1e300, -1e300, 5e-324).map(num),
  fc.boolean().map((value): ObjectValue => ({ kind: 'boolean', value })),
  fc.constantFrom('a', '1').map((value): ObjectValue => ({ kind: 'reference', value })),
)

const optional = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(arbitrary, { nil: undefined })

/** Few of everything, so that ties, chains of parents and even rings of them are common. */
export const assertions: fc.Arbitrary<Assertion> = fc.record({
  object: objects,
  predicate: fc.constantFrom('p', 'must_use', 'forbidden'),
  confidence: fc.constantFrom(0, 0.1, 0.3, 0.5, 0.7, 1),
  sourceClass: fc.integer({ min: 0, max: 5 }).map((tier) => tier as SourceClass),
  sourceHash: digests,
  lifecycle: fc.constantFrom(...LIFECYCLES),
  epoch: optional(digests),
  parent: optional(digests),
  agent: fc.constantFrom(digest(100), digest(101)),
  assertedAtMs: fc.constantFrom(0, NOW_MS - 400 * DAY_MS, NOW_MS - 30 * DAY_MS, NOW_MS, NOW_MS + DAY_MS, 2 ** 48 - 1),
  note: optional(fc.constantFrom('because', 'so')),
}).map(({ epoch, parent, note, ...rest }) => ({
  subject: 's', ...rest, ...(epoch && { epoch }), ...(parent && { parent }), ...(note !== undefined && { note }),
}))

const hlcs = fc.constantFrom<Hlc>(0n, hlcOf(NOW_MS - 400 * DAY_MS), hlcOf(NOW_MS - DAY_MS), hlcOf(NOW_MS - DAY_MS, 1), hlcOf(NOW_MS), 2n ** 64n - 1n)

/** Candidates whose ids stand for their claims; one id may come again, under another stamp too. */
export const candidateLists: fc.Arbitrary<FullCandidate[]> = fc.array(assertions, { minLength: 7, maxLength: 7 }).chain((claims) =>
  fc.array(fc.tuple(fc.integer({ min: 0, max: 6 }), hlcs).map(([n, hlc]): FullCandidate => ({ id: digest(n), hlc, assertion: claims[n]! })), { minLength: 1, maxLength: 14 }))

/** A context of everything. What it says of a key depends on the key alone. */
export const contexts: fc.Arbitrary<LensContext> = fc.record({
  decays: fc.boolean(), tolerance: fc.constantFrom(undefined, 0, 0.01, 0.5, 1), escalationCount: fc.constantFrom(undefined, 0, 1, 3),
  votes: fc.array(fc.tuple(fc.constantFrom(0, 0.1, 0.2, 0.3, 5), fc.constantFrom(0, 0.1, 5)), { minLength: 7, maxLength: 7 }),
  superseded: fc.integer({ min: 0, max: 127 }),
}).map(({ decays, tolerance, escalationCount, votes, superseded }): LensContext => ({
  nowMs: NOW_MS,
  ...(decays && { halfLifeDays: HALF_LIFE_DAYS }), ...(tolerance !== undefined && { tolerance }), ...(escalationCount !== undefined && { escalationCount }),
  votesOf: (id) => {
    const [agreeWeight, disagreeWeight] = votes[id[0]!]!
    return { agreeWeight, disagreeWeight, agreeCount: 1, disagreeCount: 1 }
  },
  trustOf: (agent) => agent[0] === 100 ? 0.9 : 0.3,
  isSuperseded: (epoch) => (superseded >> epoch[0]! & 1) === 1,
}))

export const nameOf = ({ id, hlc }: Candidate): string => `${Buffer.from(id).toString('hex')} ${hlc}`

/** A resolution by content: candidates that are equal are the same one, and where no order is promised there is none. */
export function shown({ answers, rules, leftOut = [], outranked = [], ...rest }: Resolution<Candidate>): unknown {
  const pairs = (list: readonly { candidate: Candidate, why: string }[]): string[] =>
    list.map(({ candidate, why }) => `${nameOf(candidate)} ${why}`).sort()
  const side = ({ winner, supporters, ...answer }: LensAnswer<Candidate>): unknown => ({ ...answer, winner: nameOf(winner), supporters: supporters.map(nameOf).sort() })
  return {
    ...rest, leftOut: pairs(leftOut), outranked: pairs(outranked),
    answers: answers.map(side),
    rules: rules && { rows: rules.rows, conflicts: rules.conflicts.map(({ holds, overruled }) => ({ holds, overruled: side(overruled) })) },
  }
}
