import fc from 'fast-check'
import t from 'tap'
import { toHex } from '../../../src/base/bytes.ts'
import { EQUIVOCATIONS_MAX, equivocationsOf, equivocatorsOf, type Claimed } from '../../../src/lens/equivocation.ts'
import type { Assertion, Lifecycle, ObjectValue } from '../../../src/record/assertion.ts'
import { assertionIdOf, hashReady } from '../../../src/record/claim.ts'
import { assertionOf } from '../record/arbitrary.ts'

await hashReady

const key = (n: number): Uint8Array => new Uint8Array(32).fill(n)
const said = (change: Partial<Assertion> = {}): Claimed => {
  const assertion = assertionOf(change)
  return { id: assertionIdOf(assertion), assertion }
}
const number = (value: number): ObjectValue => ({ kind: 'number', value })
const shown = (candidates: readonly Claimed[]): string[] =>
  equivocationsOf(candidates).pairs.map(({ first, second, sameSource }) => `${toHex(first.id)} ${toHex(second.id)} ${sameSource}`)
const pairOf = (a: Claimed, b: Claimed, sameSource = true): string => `${[toHex(a.id), toHex(b.id)].sort().join(' ')} ${sameSource}`

t.test('two objects by one key at one time are a pair; another key, another time or the same object are none', async (t) => {
  const one = said({ object: number(1) })
  const two = said({ object: number(2) })
  t.strictSame(shown([one, two]), [pairOf(one, two)])
  t.strictSame([...equivocatorsOf([one, two])], [toHex(one.assertion.agent)])
  for (const other of [
    said({ object: number(2), agent: key(8) }), said({ object: number(2), assertedAtMs: one.assertion.assertedAtMs + 1 }),
    said({ object: number(1), confidence: 0.1 }), one,
  ]) {
    t.strictSame(shown([one, other]), [])
    t.equal(equivocatorsOf([one, other]).size, 0)
  }
  t.equal(shown([said({ object: { kind: 'text', value: '1' } }), one]).length, 1, 'a text is no number')
  t.equal(shown([said({ object: { kind: 'text', value: 'a' } }), said({ object: { kind: 'reference', value: 'a' } })]).length, 1)
  t.equal(shown([said({ object: number(0.1) }), said({ object: number(0.1 + 2 ** -56) })]).length, 1, 'exact, not about equal')
  t.strictSame(equivocationsOf([]), { pairs: [], truncated: false })
})

t.test('a version that names its parent is the later word; a fork has two', async (t) => {
  const first = said({ object: number(1) })
  const second = said({ object: number(2), parent: first.id })
  const third = said({ object: number(3), parent: second.id })
  t.strictSame(shown([first, second, third]), [], 'a chain ends in one')
  const fork = said({ object: number(4), parent: second.id })
  t.strictSame(shown([first, second, third, fork]), [pairOf(third, fork)])
  const aside = said({ object: number(9) })
  t.strictSame(shown([first, second, aside]), [pairOf(second, aside)], 'the replaced one is nobody\'s word any more')
})

t.test('to take a claim back is no second claim, and hides no first one', async (t) => {
  const one = said({ object: number(1) })
  const two = said({ object: number(2) })
  for (const lifecycle of ['deprecated', 'rejected', 'retracted'] satisfies Lifecycle[]) {
    const back = said({ object: number(7), lifecycle, parent: two.id })
    t.strictSame(shown([one, back]), [], lifecycle)
    t.strictSame(shown([one, two, back]), [pairOf(one, two)], `${lifecycle}: both were said`)
    t.equal(equivocatorsOf([one, back]).size, 0, `${lifecycle}: of those that stand one is left`)
  }
  for (const lifecycle of ['under_review', 'approved'] satisfies Lifecycle[]) {
    t.equal(shown([one, said({ object: number(2), lifecycle })]).length, 1, `${lifecycle} is said`)
  }
})

t.test('who reports two sources that contradict each other is shown, and not blamed', async (t) => {
  const one = said({ object: number(1), sourceHash: key(1) })
  const two = said({ object: number(2), sourceHash: key(2) })
  const three = said({ object: number(3), sourceHash: key(1) })
  t.strictSame(shown([one, two]), [pairOf(one, two, false)])
  t.equal(equivocatorsOf([one, two]).size, 0)
  t.strictSame(shown([one, two, three]).sort(), [pairOf(one, two, false), pairOf(one, three), pairOf(two, three, false)].sort())
  t.equal(equivocatorsOf([one, two, three]).size, 1)
})

t.test('many are bounded, and it says so', async (t) => {
  const many = Array.from({ length: 1000 }, (_, i) => said({ object: number(i) }))
  const { pairs, truncated } = equivocationsOf(many)
  t.match({ length: pairs.length, truncated }, { length: EQUIVOCATIONS_MAX, truncated: true })
  const smallest = toHex(pairs[0]!.first.id)
  t.ok(many.every(({ id }) => toHex(id) >= smallest), 'those with the smallest ids')
  t.equal(equivocationsOf(many.slice(0, 3)).truncated, false)
})

t.test('any order and duplication: the same pairs, as a plain search over all pairs finds them', async (t) => {
  const arbitrary = fc.array(fc.record({
    object: fc.integer({ min: 0, max: 3 }), agent: fc.integer({ min: 0, max: 1 }), at: fc.integer({ min: 0, max: 1 }),
    source: fc.integer({ min: 0, max: 1 }), lifecycle: fc.constantFrom<Lifecycle>('proposed', 'approved', 'retracted'), parent: fc.option(fc.nat(20)),
    confidence: fc.constantFrom(0.25, 0.5),
  }), { maxLength: 12 })
  fc.assert(fc.property(arbitrary, fc.infiniteStream(fc.nat()), (drafts, stream) => {
    const claims: Claimed[] = []
    for (const { object, agent, at, source, lifecycle, parent, confidence } of drafts) {
      const before = parent === null ? undefined : claims[parent]
      claims.push(said({
        object: number(object), agent: key(agent), assertedAtMs: at, sourceHash: key(source), lifecycle, confidence,
        ...(before === undefined ? {} : { parent: before.id }),
      }))
    }
    const shuffled = [...claims, ...claims.filter((_, i) => i % 2 === 0)].map((claim) => ({ claim, rank: stream.next().value as number }))
      .sort((a, b) => a.rank - b.rank).map(({ claim }) => claim)
    t.strictSame(shown(shuffled), shown(claims))
    t.strictSame([...equivocatorsOf(shuffled)].sort(), [...equivocatorsOf(claims)].sort())
    t.strictSame(contradictionsOf(claims), new Set(equivocationsOf(claims).pairs.map(({ first, second }) => contradiction(first, second))))
  }), { numRuns: 300 })
})

/** Which two things were said by whom, of which sources: what a pair stands for, whichever equal claims were taken. */
function contradiction(a: Claimed, b: Claimed): string {
  const side = ({ assertion: { object, sourceHash } }: Claimed): string => `${String(object.value)} of ${sourceHash[0]}`
  return `${a.assertion.agent[0]} at ${a.assertion.assertedAtMs}: ${[side(a), side(b)].sort().join(', ')}`
}

function contradictionsOf(claims: readonly Claimed[]): Set<string> {
  const counts = claims.filter(({ assertion: { lifecycle } }) => lifecycle !== 'retracted')
  const isReplaced = (a: Claimed): boolean => counts.some(({ assertion: { parent, agent, assertedAtMs } }) =>
    parent !== undefined && toHex(parent) === toHex(a.id) && agent[0] === a.assertion.agent[0] && assertedAtMs === a.assertion.assertedAtMs)
  const ends = counts.filter((claim) => !isReplaced(claim))
  return new Set(ends.flatMap((a) => ends.filter((b) => a.assertion.agent[0] === b.assertion.agent[0]
    && a.assertion.assertedAtMs === b.assertion.assertedAtMs && a.assertion.object.value !== b.assertion.object.value).map((b) => contradiction(a, b))))
}
