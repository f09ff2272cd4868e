import fc from 'fast-check'
import t from 'tap'
import { bytesEqual, toHex } from '../../../src/base/bytes.ts'
import type { Candidate, Lens, Resolution } from '../../../src/lens/lens.ts'
import { standing } from '../../../src/lens/standing.ts'
import type { AssertionReader } from '../../../src/query/candidate-source.ts'
import { LogAssertionReader } from '../../../src/query/log-assertion-reader.ts'
import { LIFECYCLES, lifecycleNumber, type Assertion, type SourceClass } from '../../../src/record/assertion.ts'
import { assertionIdOf, hashReady } from '../../../src/record/claim.ts'
import { keyPairOfSeed } from '../../../src/verify/keys.ts'
import { ask, executorOver, requestOf, type Ask } from './ask.ts'
import { TestLog, claim } from './test-log.ts'

await hashReady

const AGENTS = [1, 2].map((seed) => keyPairOfSeed(new Uint8Array(32).fill(seed)).publicKey)

/** Gives back what it is given: the candidates in `why`, the latest as winner. */
const echo = (name: string, reads: Lens['reads']): Lens => ({
  name, description: 'Shows what it is given.', reads,
  resolve<C extends Candidate>(candidates: readonly C[]): Resolution<C> {
    const [winner] = candidates
    const why = candidates.map(({ hlc }) => String(hlc)).join(' ')
    return { answers: winner === undefined ? [] : [{ label: '', winner, supporters: [winner], why: `${why};` }] }
  },
})
const LENSES = [echo('stamps', 'stamps'), echo('claims', 'claims')]

interface Made { agent: number, value: number, lifecycle: number, parent: number, tier: number, confidence: number, rank: number }

const made: fc.Arbitrary<Made> = fc.record({
  agent: fc.nat({ max: 1 }), value: fc.nat({ max: 2 }), lifecycle: fc.oneof(fc.constantFrom(1, 2, 3), fc.integer({ min: 1, max: 6 })),
  /** How many before it, 0: none; it may name what comes into the log after it. */
  parent: fc.oneof(fc.constant(0), fc.nat({ max: 5 })), tier: fc.nat({ max: 5 }), confidence: fc.constantFrom(0.2, 0.8), rank: fc.nat({ max: 1000 }),
})

function claimsOf(list: readonly Made[]): Assertion[] {
  const claims: Assertion[] = []
  list.forEach(({ agent, value, lifecycle, parent, tier, confidence }, i) => {
    const before = claims[i - parent]
    claims.push(claim({
      agent: AGENTS[agent]!, object: { kind: 'number', value }, lifecycle: LIFECYCLES[lifecycle - 1]!, sourceClass: tier as SourceClass, confidence,
      note: String(i), ...parent > 0 && before !== undefined && { parent: assertionIdOf(before) },
    }))
  })
  return claims
}

const filters: fc.Arbitrary<Ask> = fc.record({
  lifecycles: fc.constantFrom(0, 0, 0b1110, 0b1000, 0b100, 0b1000000, 0b1110010), tiers: fc.constantFrom(0, 0, 0b111, 0b100000),
  confidenceMin: fc.constantFrom(0, 0, 0.5),
})

/** All assertions, read and judged at once. */
function plainly(all: readonly (Candidate & { assertion: Assertion })[], { lifecycles = 0, tiers = 0, confidenceMin = 0 }: Ask): string {
  const { standing: stands, lifecycles: changed } = standing(all)
  const wanted = all.filter((one) => {
    const { lifecycle, sourceClass, confidence } = one.assertion
    const own = lifecycleNumber(lifecycle)
    if (!stands.includes(one) && own <= 3) return false
    const now = changed.get(one)
    if (((lifecycles || 0b1110) >> (now === undefined ? own : lifecycleNumber(now)) & 1) === 0) return false
    return (tiers === 0 || (tiers >> sourceClass & 1) === 1) && confidence >= confidenceMin
  })
  return wanted.sort((a, b) => (a.hlc > b.hlc ? -1 : 1)).map(({ hlc }) => String(hlc)).join(' ')
}

t.test('candidates are those that all claims of the pair would give, as of any moment, and few are read for it', async () => {
  fc.assert(fc.property(fc.array(made, { maxLength: 12 }), filters, fc.nat({ max: 12 }), (list, filter, asOf) => {
    const log = new TestLog()
    const claims = claimsOf(list)
    const order = list.map((one, i) => ({ rank: one.rank, claim: claims[i]! })).sort((a, b) => a.rank - b.rank)
    for (const { claim: one } of order) log.append([one])
    const all = claims.map((assertion) => {
      const id = assertionIdOf(assertion)
      return { id, hlc: log.find(id, 0)!.hlc, assertion }
    })
    const stamps = all.map(({ hlc }) => hlc).sort((a, b) => (a < b ? -1 : 1))
    const asOfHlc = stamps[asOf] ?? 0n
    const expected = plainly(asOfHlc === 0n ? all : all.filter(({ hlc }) => hlc <= asOfHlc), filter)
    const executor = executorOver(log, { lensOf: (name) => LENSES.find((lens) => lens.name === name)! })
    for (const lens of ['stamps', 'claims']) {
      for (const whole of [true, false]) {
        const [answer] = ask(executor, requestOf({ subject: 'drug/aspirin', ...whole && { predicate: 'dose' }, lens, asOfHlc, ...filter })).answers
        const given = answer?.why.split(';')[0] ?? ''
        if (given !== expected) throw new Error(`${lens}: ${given} instead of ${expected}`)
      }
    }
  }), { numRuns: 400 })
})

t.test('a change counts whichever of the two was accepted first', async (t) => {
  const first = claim({ note: 'first' })
  const retraction = claim({ lifecycle: 'retracted', parent: assertionIdOf(first) })
  for (const order of [[first, retraction], [retraction, first]]) {
    const log = new TestLog()
    log.append([claim({ object: { kind: 'number', value: 7 } })])
    for (const one of order) log.append([one])
    const { answers } = ask(executorOver(log), requestOf({ subject: 'drug/aspirin', predicate: 'dose' }))
    t.match(answers, [{ candidates: 1, winner: { object: { value: 7 } } }])
  }
})

t.test('recency reads the winner alone where nothing names a parent, and else what names one and what is named', async (t) => {
  const log = new TestLog()
  const inner = new LogAssertionReader(log.readRange)
  let reads = 0
  const reader: AssertionReader = {
    read(place) {
      reads++
      return inner.read(place)
    },
  }
  const executor = executorOver(log, { reader })
  const readsFor = (more: Ask = {}): number => {
    reads = 0
    t.equal(ask(executor, requestOf({ subject: 'drug/aspirin', predicate: 'dose', ...more })).answers.length, 1)
    return reads
  }
  const ids = log.append(Array.from({ length: 200 }, (_, i) => claim({ note: String(i), sourceClass: i % 2 === 0 ? 1 : 4 })))
  t.equal(readsFor(), 1)
  t.equal(readsFor({ tiers: 1 << 4, lifecycles: 1 << 1 }), 1, 'nor what the index tells apart')
  t.equal(readsFor({ confidenceMin: 0.4 }), 200)
  t.equal(readsFor({ explain: true }), 200)
  log.append([claim({ lifecycle: 'retracted', parent: ids[199]! }), claim({ lifecycle: 'retracted', parent: ids[7]! })])
  t.equal(readsFor(), 2 + 2 + 1, 'two changes, what they change, and the winner')
})

t.test('a parent beyond the candidates that are kept still has its child', async (t) => {
  const log = new TestLog()
  const [old] = log.append([claim({ sourceClass: 0, note: 'old' })])
  log.append(Array.from({ length: 5 }, (_, i) => claim({ note: String(i) })))
  const approval = claim({ lifecycle: 'approved', parent: old!, sourceClass: 3 })
  log.append([approval])
  const executor = executorOver(log)
  const tier = (n: number): Ask => ({ subject: 'drug/aspirin', predicate: 'dose', tiers: 1 << n })
  t.same(ask(executor, requestOf(tier(3))).answers, [], 'the change is no candidate, although what it changes is not asked for')
  t.match(ask(executor, requestOf({ ...tier(0), lifecycles: 1 << 3 })).answers, [{ candidates: 1, id: toHex(old!) }], 'and what it changed is approved now')
  t.match(ask(executor, requestOf({ ...tier(1), lifecycles: 1 << 3 })).answers, [])
  t.ok(!bytesEqual(old!, assertionIdOf(approval)))
})

t.test('what was left out is told to who asks', async (t) => {
  const log = new TestLog()
  const [first] = log.append([claim()])
  log.append([claim({ lifecycle: 'retracted', parent: first! })])
  const executor = executorOver(log)
  t.match(ask(executor, requestOf({ subject: 'drug/aspirin', predicate: 'dose' })), { refused: '', answers: [] })
  t.match(ask(executor, requestOf({ subject: 'drug/aspirin', predicate: 'dose', explain: true })).answers, [{
    id: '', candidates: 0, why: /^Nothing is left to choose from: 1 was left out. There is no candidate.$/,
    explanation: { considered: [{ id: toHex(first!), verdict: 4, why: 'Its agent has made it retracted.' }], entriesRead: 2, claimsRead: 2 },
  }])
})
