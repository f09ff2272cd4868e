import t from 'tap'
import type { Candidate, LensAnswer, LensContext, Resolution, VoteTally } from '../../../src/lens/lens.ts'
import { lensOf } from '../../../src/lens/registry.ts'
import { VERDICT_LOST, verdictsOf } from '../../../src/lens/verdicts.ts'
import type { SourceClass } from '../../../src/record/assertion.ts'
import { hlcOf } from '../../../src/base/hlc.ts'
import { DAY_MS, digest, digestOf, HALF_LIFE_DAYS, NOW_MS, num, says, type FullCandidate } from '../../support/lens-candidates.ts'

const CONTEXT: LensContext = { nowMs: NOW_MS, halfLifeDays: HALF_LIFE_DAYS, escalationCount: 500 }

const resolve = (lens: string, list: readonly FullCandidate[], more: Partial<LensContext> = {}): Resolution<FullCandidate> =>
  lensOf(lens).resolve(list, { ...CONTEXT, ...more })
const best = (lens: string, list: readonly FullCandidate[], more: Partial<LensContext> = {}): LensAnswer<FullCandidate> => resolve(lens, list, more).answers[0]!
const tier = (sourceClass: number): { sourceClass: SourceClass } => ({ sourceClass: sourceClass as SourceClass })
const rounded = (value: number | undefined): number => Math.round(value! * 1000) / 1000
const sorted = (list: readonly Candidate[]): readonly Candidate[] => [...list].sort((a, b) => Buffer.compare(a.id, b.id))

/** `count` posts of tier 5 that say one thing, each by a key of its own. */
const posts = (count: number, value: string, more: object = {}, from = 1000): FullCandidate[] =>
  Array.from({ length: count }, (_, n) => says(from + n, value, { ...tier(5), confidence: 0.8, agent: digestOf(n), ...more }))

t.test('one regulator beats a hundred posts, where authority is asked', async (t) => {
  const fda = says(9000, 'rare', { ...tier(0), confidence: 0.7 })
  const list = [...posts(100, 'common'), fda]
  t.equal(best('authority', list).winner, fda)
  t.equal(best('authority', list).why, 'The only one of the best tier, regulatory.')
  t.equal(best('authority,consensus', list).winner, fda)
  t.equal(best('layered', list).winner, fda)
  t.equal(best('consensus', list).label, 'common', 'consensus counts heads, and says so')
  t.equal(rounded(best('consensus', list).share), rounded(80 / 80.7))
})

t.test('authority: within the tier the latest; the whole tier goes on', async (t) => {
  const list = [says(3, 'a', tier(2)), says(2, 'b', tier(2)), says(1, 'c', tier(3))]
  const { winner, supporters, why } = best('authority', list)
  t.equal(winner, list[1])
  t.strictSame(supporters, list.slice(0, 2))
  t.equal(why, 'The latest of 2 of the best tier, observational.')
})

t.test('confidence: after decay', async (t) => {
  const old = says(2, 'a', { ...tier(4), confidence: 1, assertedAtMs: NOW_MS - 90 * DAY_MS })
  const fresh = says(1, 'b', { ...tier(4), confidence: 0.6 })
  t.equal(best('confidence', [old, fresh]).winner, fresh, '0.5 against 0.6')
  t.equal(best('confidence', [old, fresh], { halfLifeDays: [] }).winner, old, 'as they were')
  const equal = [says(5, 'a', { confidence: 0.5 }), says(4, 'b', { confidence: 0.5 }), says(3, 'c', { confidence: 0.4 })]
  t.equal(best('confidence', equal, { halfLifeDays: [] }).winner, equal[1], 'of equals the latest')
  t.strictSame(best('confidence', equal, { halfLifeDays: [] }).supporters, equal.slice(0, 2))
})

t.test('consensus: weights by value', async (t) => {
  const list = [says(5, 'a', { confidence: 0.9 }), says(4, 'b', { confidence: 0.5 }), says(3, 'b', { confidence: 0.6 })]
  const { answers: [answer], conflict, certainty, status } = resolve('consensus', list, { halfLifeDays: [] })
  t.equal(answer!.winner, list[2], '1.1 against 0.9; the surer one speaks for the value')
  t.equal(rounded(answer!.weight), 1.1)
  t.equal(rounded(certainty), 0.55)
  t.equal(rounded(conflict), 0.993, 'H(0.55, 0.45)')
  t.equal(status, 'contested')
  t.equal(answer!.why, '2 of 3 say so, with 55% of the weight.')
  const tie = [says(5, 'a', { confidence: 0.5 }), says(4, 'b', { confidence: 0.5 })]
  t.equal(best('consensus', tie, { halfLifeDays: [] }).winner, tie[1], 'of equal values the one heard last')
})

t.test('consensus: sums do not depend on order', async (t) => {
  // As floats 0.1 + 0.2 + 0.3 is not 0.3 + 0.2 + 0.1, and either is not 0.6.
  const parts = [0.1, 0.2, 0.3].map((confidence, n) => says(10 + n, 'a', { confidence }))
  const whole = [0.3, 0.2, 0.1].map((confidence, n) => says(20 + n, 'b', { confidence }))
  for (const list of [[...parts, ...whole], [...whole, ...parts], [...whole].reverse().concat(parts)]) {
    const { answers: [answer], conflict } = resolve('consensus', list, { halfLifeDays: [] })
    t.equal(answer!.share, 0.5)
    t.equal(conflict, 1)
    t.equal(answer!.label, 'a', 'a true tie: the one heard last')
  }
})

t.test('consensus: near numbers and units', async (t) => {
  const list = [says(5, num(96.7)), says(4, num(96.8)), says(3, num(90))]
  t.equal(best('consensus', list).supporters.length, 1)
  t.strictSame(best('consensus', list, { tolerance: 0.01 }).supporters, list.slice(0, 2))
  const doses = [says(5, '500 mg'), says(4, '0.5 g'), says(3, '50 mg')]
  t.strictSame(best('consensus', doses).supporters, doses.slice(0, 2))
})

t.test('independent: a thousand keys, or a thousand restatements, are one voice', async (t) => {
  const honest = [1, 2].map((n) => says(n, 'safe', { sourceHash: digest(n), ...tier(3) }))
  const unsourced = posts(1000, 'harmful', tier(3))
  const restated = posts(1000, 'harmful', { ...tier(3), sourceHash: digest(9) }, 6000)
  const first = says(5000, 'harmful', { ...tier(3), sourceHash: digest(9) })
  const derived = Array.from({ length: 1000 }, (_, n) =>
    says(3000 + n, 'harmful', { ...tier(3), sourceHash: digestOf(n), agent: digestOf(n), parent: n === 0 ? first.id : digestOf(3000 + n - 1) }))
  for (const sway of [unsourced, restated, [first, ...derived]]) {
    const list = [...sway, ...honest]
    t.equal(best('consensus', list).label, 'harmful')
    const { label, sources, weight } = best('independent', list, { halfLifeDays: [] })
    t.equal(label, 'safe')
    t.equal(sources, 2)
    t.equal(weight, 2)
  }
  const { answers: [answer], certainty } = resolve('independent', [...unsourced, ...restated, ...honest], { halfLifeDays: [] })
  t.equal(answer!.label, 'safe')
  t.equal(rounded(certainty), rounded(2 / 3.6), '2 against 0.8 for those without a source and 0.8 for source 9')
})

t.test('independent: a source that says two things divides its weight, and nobody can make two sources one', async (t) => {
  const both = [says(1, 'a', { sourceHash: digest(1) }), says(2, 'b', { sourceHash: digest(1), confidence: 0.5 }), says(3, 'b', { sourceHash: digest(1), confidence: 0.5 })]
  const { weight, share } = best('independent', both, { halfLifeDays: [] })
  t.equal(rounded(weight), 0.667, '1 of (1 + 0.5), of a weight of 1 in all')
  t.equal(rounded(share), 0.667)
  const list = [...[1, 2, 3].map((n) => says(n, 'a', { sourceHash: digest(n) })), ...[4, 5].map((n) => says(n, 'b', { sourceHash: digest(n) }))]
  const bridges = [[1, 2], [2, 3], [3, 1]].map(([from, to], n) => says(100 + n, 'a', { sourceHash: digest(from!), parent: digestOf(to!) }))
  const bridged = best('independent', [...list, ...bridges], { halfLifeDays: [] })
  t.strictSame([bridged.label, bridged.sources, bridged.weight], ['a', 3, 3])
  const twisted = [1, 2, 3].map((to, n) => says(100 + n, 'b', { parent: digestOf(to) }))
  const against = resolve('independent', [...list, ...twisted], { halfLifeDays: [] })
  t.strictSame([against.answers[0]!.label, against.certainty], ['a', 0.5], 'who contradicts its parent does not restate it: it cites nothing')
})

t.test('independent: where nothing weighs anything, sources are counted, and keys are not', async (t) => {
  const old = { ...tier(5), assertedAtMs: 1_500_000_000_000 }
  const honest = [1, 2].map((n) => says(n, 'a', { ...old, sourceHash: digest(n) }))
  const sway = Array.from({ length: 10 }, (_, n) => says(100 + n, 'b', { ...old, agent: digestOf(n) }))
  const { answers: [answer], certainty, status, conflict } = resolve('independent', [...sway, ...honest])
  t.strictSame([answer!.label, answer!.sources, rounded(answer!.share), rounded(certainty), status, rounded(conflict)], ['a', 2, 0.667, 0.667, 'contested', 0.918])
  t.equal(answer!.why, '2 of 12 say so, from 2 independent sources, with 67% of the weight.')
  t.equal(rounded(answer!.weight), 0)
  t.equal(best('consensus', [...sway, ...honest]).label, 'b', 'consensus counts candidates')
  const nothing = { confidence: 0 }
  const divided = ['a', 'b', 'c'].map((value, n) => says(n, value, { ...nothing, sourceHash: digest(1) }))
  const [first] = resolve('independent', [...divided, says(9, 'c', { ...nothing, sourceHash: digest(2) })]).answers
  t.strictSame([first!.label, rounded(first!.share)], ['c', 0.667], 'a third of one source, and another')
})

t.test('ballot: who lost by consensus is told so', async (t) => {
  const tally = (agreeWeight: number): VoteTally => ({ agreeWeight, disagreeWeight: 0, agreeCount: 1, disagreeCount: 0 })
  const whysOf = (list: readonly FullCandidate[], votes: readonly number[]): string[] => {
    const context = { ...CONTEXT, halfLifeDays: [], votesOf: (id: Uint8Array) => tally(votes[id[0]!] ?? 0) }
    const lens = lensOf('ballot')
    return verdictsOf(lens, list, [], lens.resolve(list, context), context).filter(({ verdict }) => verdict === VERDICT_LOST).map(({ why }) => why)
  }
  const list = [says(5, 'a'), says(4, 'b', { confidence: 0.4 }), says(3, 'b', { confidence: 0.2 }), says(2, 'c', { confidence: 0.1 })]
  const behind = (value: string): string => `Says ${value}, which has as many votes as a, and less behind it.`
  t.strictSame(whysOf(list, []), [behind('c'), behind('b'), behind('b')])
  t.strictSame(whysOf(list, [0, 0, 0, 0, 1, 1]), ['Says c, which has fewer votes than a; its own net vote is 0.', behind('b'), behind('b')])
  t.strictSame(whysOf([says(5, 'a'), says(4, 'b')], []), ['Says a, which has as many votes as b, and as much behind it, heard earlier.'])
  t.match(best('ballot,recency', list).why, /^ballot: No value has more votes/)
  t.match(resolve('ballot,recency', list).outranked!.map(({ why }) => why), [/^ballot: Says b, which has as many votes/, /^ballot/, /^ballot/])
})

t.test('ballot: votes decide, and without them consensus', async (t) => {
  const list = [says(5, 'a'), says(4, 'b'), says(3, 'b', { confidence: 0.2 })]
  const tally = (agreeWeight: number, disagreeWeight: number) => ({ agreeWeight, disagreeWeight, agreeCount: 1, disagreeCount: 1 })
  const votesOf = (id: Uint8Array) => [tally(0, 0), tally(0, 0), tally(0, 0), tally(0.5, 0.1), tally(0.1, 0.2), tally(0.9, 0.3)][id[0]!]!
  const { answers: [answer], certainty } = resolve('ballot', list, { votesOf })
  t.equal(answer!.label, 'a', '0.6 against 0.4 - 0.1')
  t.equal(rounded(answer!.weight), 0.6)
  t.equal(rounded(certainty), 0.667)
  const forB = (id: Uint8Array) => id[0] === 3 ? tally(2, 0) : tally(0, 0)
  t.equal(best('ballot', list, { votesOf: forB }).winner, list[2], 'the assertion that was voted for speaks for its value')
  t.equal(best('ballot', list, { votesOf: () => tally(0, 0) }).label, 'b', '1 against 1.2')
  t.equal(resolve('ballot', list).certainty, 0)
  t.equal(best('ballot', list, { votesOf: (id) => tally(0, id[0] === 5 ? 1 : 2) }).label, 'a', 'the least disliked')
  const nothing = { confidence: 0 }
  t.equal(best('ballot', [says(5, 'a', nothing), says(4, 'b', nothing), says(3, 'b', nothing)]).label, 'b', 'where nothing weighs anything each counts the same, as in consensus')
})

t.test('trust-authority: confidence times trust', async (t) => {
  const sure = says(5, 'a', { agent: digest(1), confidence: 0.9 })
  const trusted = says(9, 'b', { agent: digest(2), confidence: 0.6 })
  const trustOf = (agent: Uint8Array): number => agent[0] === 1 ? 0.4 : 0.8
  const { winner, weight, why } = best('trust-authority', [sure, trusted], { trustOf, halfLifeDays: [] })
  t.equal(winner, trusted, '0.48 against 0.36')
  t.equal(rounded(weight), 0.48)
  t.equal(why, 'Confidence 0.6 after decay, times trust 0.8 in its agent, is the most: 0.48.')
  t.equal(best('trust-authority', [sure, trusted]).winner, sure, 'nothing known of either')
  t.equal(best('trust-authority', [sure, trusted], { trustOf: () => Number.NaN }).winner, sure)
})

t.test('epoch: superseded paradigms are left out, and the rest goes on', async (t) => {
  const old = [1, 2].map((n) => says(n, 'flat', { epoch: digest(1) }))
  const fresh = [says(5, 'round', { epoch: digest(2) }), says(6, 'oval', { epoch: digest(2) }), says(7, 'round')]
  const isSuperseded = (epoch: Uint8Array): boolean => epoch[0] === 1
  const { answers: [answer], leftOut } = resolve('epoch', [...old, ...fresh], { isSuperseded })
  t.equal(answer!.winner, fresh[0])
  t.strictSame(sorted(answer!.supporters), sorted(fresh))
  t.strictSame(leftOut, old.map((candidate) => ({ candidate, why: 'Its epoch 0101010101010101... has been superseded.' })))
  t.strictSame(resolve('epoch', old, { isSuperseded }).answers, [])
  t.equal(best('epoch,consensus', [...old, ...fresh], { isSuperseded }).label, 'round')
  t.strictSame(resolve('epoch,consensus', [...old, ...fresh], { isSuperseded }).leftOut!.map(({ why }) => why.slice(0, 17)), ['epoch: Its epoch ', 'epoch: Its epoch '])
})

t.test('layered: each tier, and across them', async (t) => {
  const clinical = [says(5, 'loss', { confidence: 0.9 }), says(4, 'gain', { confidence: 0.8 })]
  const { answers: [first, last], conflict, status, certainty } = resolve('layered', [...clinical, ...posts(50, 'loss')])
  t.equal(first!.label, 'clinical')
  t.equal(last!.label, 'anecdotal')
  t.ok(first!.conflict! > 0.5)
  t.equal(rounded(first!.conflict), 0.998, 'H(0.9/1.7, 0.8/1.7)')
  t.equal(last!.conflict, 0)
  t.equal(rounded(certainty), 0.529)
  // Each tier has one voice: loss has (0.529 + 1) / 2 = 0.765 of them, and H(0.765, 0.235) = 0.787.
  t.equal(rounded(conflict), 0.787)
  t.equal(status, 'agreed', 'both tiers answer loss')
  t.equal(resolve('layered', [...clinical, ...posts(50, 'gain')]).status, 'contested')
  const flat = resolve('layered', [says(1, 'a', tier(0)), ...posts(9, 'b')])
  t.strictSame([flat.status, flat.conflict, flat.answers.map(({ conflict }) => conflict)], ['contested', 1, [0, 0]])
  t.strictSame([resolve('layered', [says(1, 'a', tier(0)), ...posts(9, 'a')])].map(({ status, conflict }) => [status, conflict]), [['unanimous', 0]])
  const near = resolve('layered', [says(1, num(100), tier(0)), says(2, num(101), tier(3))], { tolerance: 0.01 })
  t.equal(near.status, 'unanimous', 'near numbers are one value across tiers')
})

t.test('skeptic: two studies that contradict each other', async (t) => {
  const list = [says(5, 'loss', { confidence: 0.9, sourceHash: digest(1) }), says(4, 'no loss', { confidence: 0.85, sourceHash: digest(2) })]
  const { answers, conflict, status } = resolve('skeptic', list)
  t.ok(conflict! >= 0.88)
  t.equal(rounded(conflict), 0.999)
  t.equal(status, 'contested')
  t.strictSame(answers.map(({ label, share, sources }) => [label, rounded(share), sources]), [['loss', 0.514, 1], ['no loss', 0.486, 1]])
  t.equal(answers[0]!.why, '1 of 2 say so, from 1 independent source, with 51% of the weight.')
  t.equal(resolve('skeptic', [...list, ...Array.from({ length: 40 }, (_, n) => says(100 + n, `junk ${n}`, { confidence: 0.001 }))]).status, 'contested', 'and junk does not hide it')
})

t.test('skeptic: unanimous, agreed, escalate', async (t) => {
  const one = resolve('skeptic', [says(1, 'a'), says(2, 'a')])
  t.strictSame([one.status, one.conflict, one.certainty], ['unanimous', 0, 1])
  const most = resolve('skeptic', [says(1, 'a'), says(2, 'a'), says(3, 'a'), says(4, 'a'), says(5, 'b')], { halfLifeDays: [] })
  t.strictSame([most.status, rounded(most.conflict)], ['agreed', 0.722], '4 of 5 is the least that is agreed')
  t.equal(resolve('skeptic', posts(499, 'nausea')).status, 'unanimous')
  t.equal(resolve('skeptic', posts(500, 'nausea')).status, 'escalate')
  t.equal(resolve('skeptic', [...posts(500, 'nausea'), says(1, 'x', tier(3))]).status, 'escalate', 'tiers 3 and 4 do not settle it')
  t.not(resolve('skeptic', [...posts(500, 'nausea'), says(1, 'x', tier(2))]).status, 'escalate', 'a study does')
  t.not(resolve('skeptic', [...posts(499, 'nausea'), says(1, 'x', tier(4))]).status, 'escalate')
  t.equal(resolve('skeptic', [...posts(10, 'nausea'), ...posts(10, 'nausea')], { escalationCount: 11 }).status, 'unanimous', 'nobody counts twice')
})

t.test('versions: all, the newest first', async (t) => {
  const list = [says(5, 'a'), says(3, 'b'), says(4, 'a')]
  const { answers } = resolve('versions', [...list, ...list])
  t.strictSame(answers.map(({ winner }) => winner), [list[1], list[2], list[0]])
  t.strictSame(answers.map(({ label }) => label), ['version 3', 'version 2', 'version 1'])
  const same = [1, 2].map((n) => says(n, 'a', { hlc: hlcOf(NOW_MS) }))
  t.strictSame(resolve('versions', same).answers.map(({ winner }) => winner), [same[1], same[0]], 'of one HLC the greater id first')
})

t.test('chains', async (t) => {
  const list = [says(9, 'a', tier(1)), says(8, 'b', tier(1)), says(7, 'a', tier(1)), says(1, 'b', tier(5))]
  const { answers: [answer], outranked } = resolve('authority,consensus,recency', list)
  t.equal(answer!.winner, list[2])
  t.match(answer!.why, /^authority: The latest of 3 of the best tier, clinical. consensus: 2 of 3 say so, .* recency: Accepted last, at /)
  t.strictSame(outranked!.map(({ candidate }) => candidate), [list[3], list[1]])
  t.match(outranked!.map(({ why }) => why), [/^authority: Of tier anecdotal, behind clinical/, /^consensus: Says b, /])
  t.equal(best('authority,recency', list).winner, best('authority', list).winner)
  t.strictSame([lensOf('epoch,ballot,recency').needs, lensOf('epoch,ballot').reads], [['epochs', 'votes'], 'claims'])
  t.strictSame([lensOf('recency,versions').needs, lensOf('recency,versions').reads], [[], 'stamps'])
})
