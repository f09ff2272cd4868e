import fc from 'fast-check'
import t from 'tap'
import { compareBytes, toHex } from '../../../src/base/bytes.ts'
import { hlcOf } from '../../../src/base/hlc.ts'
import { EQUIVOCATIONS_MAX, equivocationsOf, equivocatorsOf } from '../../../src/lens/equivocation.ts'
import type { Candidate } from '../../../src/lens/lens.ts'
import type { Assertion, Lifecycle, ObjectValue } from '../../../src/record/assertion.ts'
import { assertionIdOf, hashReady } from '../../../src/record/claim.ts'
import { assertionOf } from '../record/arbitrary.ts'

await hashReady

interface Claimed extends Candidate {
  readonly assertion: Assertion
}

const key = (n: number): Uint8Array => new Uint8Array(32).fill(n)
const said = (change: Partial<Assertion> = {}): Claimed => {
  const assertion = assertionOf(change)
  return { id: assertionIdOf(assertion), hlc: hlcOf(assertion.assertedAtMs), assertion }
}
const number = (value: number): ObjectValue => ({ kind: 'number', value })
const text = (value: string): ObjectValue => ({ kind: 'text', value })
const AT_MS = said().assertion.assertedAtMs
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
  t.equal(shown([said({ object: text('1') }), one]).length, 1, 'a text is no number')
  t.equal(shown([said({ object: text('a') }), said({ object: { kind: 'reference', value: 'a' } })]).length, 1)
  t.equal(shown([said({ object: number(0.1) }), said({ object: number(0.1 + 2 ** -56) })]).length, 1, 'exact, not about equal')
  t.strictSame(equivocationsOf([]), { pairs: [], truncated: false })
})

t.test('a version that names its parent is the later word; a fork has two', async (t) => {
  const first = said({ object: number(1) })
  const second = said({ object: number(2), parent: first.id })
  const third = said({ object: number(3), parent: second.id })
  t.strictSame(shown([first, second, third]), [], 'a chain has one word at a time')
  const fork = said({ object: number(4), parent: second.id })
  t.strictSame(shown([first, second, third, fork]), [pairOf(third, fork)])
  const aside = said({ object: number(9) })
  t.strictSame(shown([first, second, aside]).sort(), [pairOf(first, aside), pairOf(second, aside)].sort(), 'the replaced one was said, too')
})

t.test('nothing said later removes a pair: a version of one half is no version of the other', async (t) => {
  const one = said({ object: number(1) })
  const two = said({ object: number(2) })
  for (const change of [{}, { assertedAtMs: AT_MS + 1 }, { lifecycle: 'approved' }] satisfies Partial<Assertion>[]) {
    const launder = said({ object: number(2), parent: one.id, confidence: 0.7, ...change })
    t.strictSame(shown([one, two, launder]), [pairOf(one, two)], JSON.stringify(change))
    t.equal(equivocatorsOf([launder, two, one]).size, 1)
  }
  const both = said({ object: number(3), parent: two.id })
  t.strictSame(shown([one, two, both]).sort(), [pairOf(one, two), pairOf(one, both)].sort())
})

t.test('a version by way of another time, or of a claim that does not count, is one; by way of another agent it is not', async (t) => {
  const first = said({ object: number(1) })
  const byWayOf = (change: Partial<Assertion>): Claimed[] => {
    const between = said({ object: number(5), parent: first.id, assertedAtMs: AT_MS + 1, ...change })
    return [between, said({ object: number(2), parent: between.id })]
  }
  for (const change of [{}, { assertedAtMs: AT_MS - 1 }, { lifecycle: 'retracted' }, { lifecycle: 'approved', object: number(1) }] satisfies Partial<Assertion>[]) {
    const [between, last] = byWayOf(change) as [Claimed, Claimed]
    t.strictSame(shown([last, first, between]), [], JSON.stringify(change))
    t.equal(equivocatorsOf([last, first], [between]).size, 0, 'known is enough')
    t.strictSame(shown([last, first]), [pairOf(first, last)], 'a parent that is not here is none')
  }
  for (const change of [{ agent: key(8) }, { predicate: 'q' }, { subject: 'other' }]) {
    const [between, last] = byWayOf(change) as [Claimed, Claimed]
    t.strictSame(shown([last, first, between]), [pairOf(first, last)], JSON.stringify(change))
  }
})

t.test('values are compared as lenses do: units convert', async (t) => {
  const [mg, g, more] = ['500 mg', '0.5 g', '501 mg'].map((value) => said({ object: text(value) })) as [Claimed, Claimed, Claimed]
  t.strictSame(shown([mg, g]), [])
  t.equal(equivocatorsOf([g, mg]).size, 0)
  t.strictSame(shown([mg, g, more]), [pairOf([mg, g].sort((a, b) => compareBytes(a.id, b.id))[0]!, more)], 'one pair for one thing said twice')
  t.equal(equivocatorsOf([mg, g, more]).size, 1)
})

t.test('each subject and predicate by itself', async (t) => {
  const one = said({ object: number(1) })
  for (const change of [{ subject: 'other' }, { predicate: 'q' }]) t.strictSame(shown([one, said({ object: number(2), ...change })]), [])
})

t.test('a thousand versions or restatements cost about what a thousand claims do', async (t) => {
  const chain: Claimed[] = []
  for (let i = 0; i < 1000; i++) chain.push(said({ object: number(i), ...i > 0 && { parent: chain[i - 1]!.id } }))
  t.strictSame(shown(chain), [])
  const restated = Array.from({ length: 1000 }, (_, i) => said({ object: number(i % 2), note: String(i) }))
  t.equal(shown(restated).length, 1)
  const aside = said({ object: number(-1) })
  for (const list of [chain, restated, [...chain, aside]]) {
    const startMs = performance.now()
    equivocatorsOf(list)
    equivocationsOf(list)
    t.ok(performance.now() - startMs < 500, `${performance.now() - startMs} ms`)
  }
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
    const blamed = equivocationsOf(claims).pairs.filter(({ sameSource }) => sameSource).map(({ agent }) => toHex(agent))
    t.strictSame([...equivocatorsOf(claims)].sort(), [...new Set(blamed)].sort(), 'who is blamed is who has a pair on one source')
  }), { numRuns: 300 })
})

/** Which two things were said by whom, of which sources: what a pair stands for, whichever equal claims were taken. */
function contradiction(a: Claimed, b: Claimed): string {
  const side = ({ assertion: { object, sourceHash } }: Claimed): string => `${String(object.value)} of ${sourceHash[0]}`
  return `${a.assertion.agent[0]} at ${a.assertion.assertedAtMs}: ${[side(a), side(b)].sort().join(', ')}`
}

function contradictionsOf(claims: readonly Claimed[]): Set<string> {
  const comesFrom = (a: Claimed, b: Claimed): boolean => {
    const { parent } = a.assertion
    const before = parent && claims.find(({ id, assertion }) => toHex(id) === toHex(parent) && assertion.agent[0] === a.assertion.agent[0])
    return before !== undefined && (toHex(before.id) === toHex(b.id) || comesFrom(before, b))
  }
  const said = claims.filter(({ assertion: { lifecycle } }) => lifecycle !== 'retracted')
  return new Set(said.flatMap((a) => said.filter((b) => a.assertion.agent[0] === b.assertion.agent[0]
    && a.assertion.assertedAtMs === b.assertion.assertedAtMs && a.assertion.object.value !== b.assertion.object.value
    && !comesFrom(a, b) && !comesFrom(b, a)).map((b) => contradiction(a, b))))
}
