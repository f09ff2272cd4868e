import fc from 'fast-check'
import t from 'tap'
import { conflictScore, statusOf } from '../../../src/lens/conflict.ts'
import { distinct, IdTable } from '../../../src/lens/id-table.ts'
import { countSources, originsOf } from '../../../src/lens/origins.ts'
import { QUANTITY_CHARACTERS_MAX, quantityOf } from '../../../src/lens/quantity.ts'
import { clustersOf, LABEL_CHARACTERS_MAX, toleranceOf, valuesEqual, valueText } from '../../../src/lens/value.ts'
import { decayOf, decayedConfidence, WEIGHT_ONE, weightOf } from '../../../src/lens/weight.ts'
import type { ObjectValue } from '../../../src/record/assertion.ts'
import { hlcOf } from '../../../src/base/hlc.ts'
import { candidateLists, DAY_MS, digest, digestOf, HALF_LIFE_DAYS, NOW_MS, num, objects, says, text, type FullCandidate } from '../../support/lens-candidates.ts'

t.test('quantities', async (t) => {
  const equal = [['500 mg', '0.5 g'], ['0.3 kg', '300 g'], ['1.1 kg', '1100 g'], ['5%', '5 percent'], ['50 ‰', '5 %'], ['90 min', '1.5 h'], ['1 week', '7 days'],
    ['1 KiB', '1024 B'], ['8 bit', '1 B'], ['2.54 cm', '1 in'], ['1 mi', '1609.344 m'], ['16 oz', '1 lb'], ['+5 g', '5. g'], ['.5 g', '5e-1 g'], ['-1 s', '-1000 ms'],
    ['10 ug', '10 µg'], ['10 μg', '10 mcg'], ['0 g', '0 kg'], ['-0 g', '0 g']] as const
  for (const [a, b] of equal) t.ok(valuesEqual(text(a), text(b)), `${a} is ${b}`)
  const unequal = [['500 mg', '0.5 mg'], ['5 m', '5 min'], ['1 MB', '1 mB'], ['1 g', '1 s'], ['5 %', '0.05'], ['1 g', '1.0000001 g'], ['1 GB', '1 GiB']] as const
  for (const [a, b] of unequal) t.notOk(valuesEqual(text(a), text(b)), `${a} is not ${b}`)
  for (const none of ['', '5', 'mg', ' 5 mg', '5 mg ', '5  mg', '5 xg', '5 constructor', '1,5 g', '5 mg daily', '1e999 g', '1e400 ns', '--5 g', 'NaN g', '0x10 g', `${'1'.repeat(QUANTITY_CHARACTERS_MAX)} g`]) {
    t.equal(quantityOf(none), undefined, JSON.stringify(none))
  }
  t.strictSame(quantityOf('1.5 g'), { dimension: 'mass', value: 1_500_000 })
  fc.assert(fc.property(fc.string(), (any) => { quantityOf(any); quantityOf(`5${any}`) }))
})

t.test('equality of values', async (t) => {
  t.ok(valuesEqual(num(100), num(101), 0.01), 'one hundredth of the greater')
  t.notOk(valuesEqual(num(100), num(101.1), 0.01))
  t.notOk(valuesEqual(num(100), num(101)))
  t.notOk(valuesEqual(num(-1), num(1), 1), 'even the widest tolerance keeps signs apart')
  t.notOk(valuesEqual(num(-1), num(1e300), 1), 'nor does rounding bring them together')
  t.notOk(valuesEqual(num(0), num(5e-324), 1), 'and nothing is zero but zero')
  t.ok(valuesEqual(num(1), num(1e300), 1))
  t.notOk(valuesEqual(num(-1e308), num(1.7e308), 1), 'a difference beyond doubles')
  t.ok(valuesEqual(text('99 g'), text('100 g'), 0.01))
  t.notOk(valuesEqual(text('1'), num(1), 1), 'kinds never mix')
  t.notOk(valuesEqual(text('a'), { kind: 'reference', value: 'a' }))
  t.notOk(valuesEqual({ kind: 'boolean', value: true }, { kind: 'boolean', value: false }, 1))
  fc.assert(fc.property(objects, objects, fc.constantFrom(0, 0.01, 1), (a, b, tolerance) => {
    t.ok(valuesEqual(a, a, tolerance))
    t.equal(valuesEqual(a, b, tolerance), valuesEqual(b, a, tolerance))
  }))
  for (const [given, expected] of [[undefined, 0], [Number.NaN, 0], [-1, 0], [0.2, 0.2], [7, 1]] as const) {
    t.equal(toleranceOf({ nowMs: 0, ...given !== undefined && { tolerance: given } }), expected)
  }
})

t.test('clusters are the values connected by equality, whatever the order', async (t) => {
  /** By the definition: whoever is equal is together, and so is whoever is between. */
  const plain = (values: readonly ObjectValue[], tolerance: number): number[][] => {
    const groups: number[][] = []
    values.forEach((value, place) => {
      const near = groups.filter((group) => group.some((other) => valuesEqual(values[other]!, value, tolerance)))
      groups.push([place, ...near.flat()])
      for (const group of near) groups.splice(groups.indexOf(group), 1)
    })
    return groups.map((group) => group.sort((a, b) => a - b)).sort((a, b) => a[0]! - b[0]!)
  }
  fc.assert(fc.property(fc.array(objects, { minLength: 1, maxLength: 25 }), fc.constantFrom(0, 0.01, 0.5, 1), (values, tolerance) => {
    const list = values.map((object, i) => says(i, object, { confidence: (i % 4) / 4 }))
    const clusters = clustersOf(list, tolerance, (candidate, place) => {
      t.equal(list[place], candidate)
      return weightOf(candidate, { nowMs: NOW_MS })
    })
    t.strictSame(clusters.map(({ places }) => [...places].sort((a, b) => a - b)).sort((a, b) => a[0]! - b[0]!), plain(values, tolerance))
    for (const { members, places, weight, best, bestWeight } of clusters) {
      t.strictSame(members, places.map((place) => list[place]))
      t.equal(weight, members.reduce((sum, member) => sum + member.assertion.confidence, 0) * WEIGHT_ONE)
      t.equal(bestWeight, Math.max(...members.map((member) => member.assertion.confidence * WEIGHT_ONE)))
      // says(n) is later the smaller n is.
      t.equal(best, members.filter((member) => member.assertion.confidence * WEIGHT_ONE === bestWeight).sort((a, b) => list.indexOf(a) - list.indexOf(b))[0])
    }
  }), { numRuns: 300 })
  const many = Array.from({ length: 40 }, (_, n) => says(n, n % 2 === 0 ? `v${n % 20}` : { kind: 'reference', value: `v${n % 20 - 1}` }))
  t.equal(clustersOf(many, 0, () => 1).length, 20, 'a text and a reference of the same characters are two')
})

t.test('a label is clipped between characters', async (t) => {
  t.equal(valueText(num(1.5)), '1.5')
  t.equal(valueText({ kind: 'boolean', value: false }), 'false')
  t.equal(valueText(text('x'.repeat(LABEL_CHARACTERS_MAX))).length, LABEL_CHARACTERS_MAX)
  t.equal(valueText(text('x'.repeat(LABEL_CHARACTERS_MAX + 1))), `${'x'.repeat(LABEL_CHARACTERS_MAX - 1)}…`)
  t.equal(valueText(text('x'.repeat(LABEL_CHARACTERS_MAX - 2) + '😀😀')), `${'x'.repeat(LABEL_CHARACTERS_MAX - 2)}…`)
})

t.test('decay: the figures of the reference at 200 days', async (t) => {
  const context = { nowMs: NOW_MS, halfLifeDays: HALF_LIFE_DAYS }
  const then = NOW_MS - 200 * DAY_MS
  // 0.5^(200/730), and so on, computed by hand.
  const kept = [1, 0.827, 0.684, 0.463, 0.214, 0.01]
  kept.forEach((expected, tier) => {
    t.equal(Math.round(decayOf(tier as 0, then, hlcOf(then), context) * 1000) / 1000, expected, `tier ${tier}`)
  })
  t.equal(decayOf(5, NOW_MS - 30 * DAY_MS, hlcOf(NOW_MS), context), 0.5, 'by the agent\'s clock where that is earlier')
  t.equal(decayOf(5, NOW_MS, hlcOf(NOW_MS - 60 * DAY_MS), context), 0.25, 'nobody is younger than his acceptance')
  t.equal(decayOf(5, NOW_MS + DAY_MS, hlcOf(NOW_MS + DAY_MS), context), 1, 'of the future')
  t.equal(decayOf(5, 0, 0n, { nowMs: NOW_MS }), 1, 'no half-lives, no decay')
  t.equal(decayedConfidence(says(0, 'a', { confidence: 0.8, sourceClass: 5, assertedAtMs: NOW_MS - 30 * DAY_MS }), context), 0.4)
  t.equal(weightOf(says(0, 'a', { sourceClass: 5, assertedAtMs: 0 }), context), 0, 'so old that nothing is left')
})

t.test('conflict score, by hand', async (t) => {
  const score = (...weights: number[]): number => Math.round(conflictScore(weights) * 1000) / 1000
  t.equal(score(), 0)
  t.equal(score(1), 0)
  t.equal(score(0, 0), 0)
  t.equal(score(5, 0), 0)
  t.equal(score(1, 1), 1)
  t.equal(score(1, 1, 1), 1)
  t.equal(score(3, 1), 0.811, 'H(3/4, 1/4)')
  t.equal(score(0.9, 0.8), 0.998)
  t.equal(score(4, 1), 0.722)
  // H(0.6, 0.4) = 0.971 over two; H(0.5, 1/3, 1/6) / log2 3 = 1.459 / 1.585 = 0.921 over all three.
  t.equal(score(3, 2, 1), 0.971)
  // H(2/3, 1/3) = 0.918 over two; H(0.5, 0.25, 0.25) / log2 3 = 1.5 / 1.585 = 0.946 over three.
  t.equal(score(2, 1, 1), 0.946)
  t.equal(score(1, 1, ...new Array<number>(100).fill(0.001)), 1, 'junk hides no conflict')
})

t.test('conflict score: 0..1, of shares alone, and no lighter value lowers it', async (t) => {
  const weights = fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { maxLength: 30 }).map((list) => list.sort((a, b) => b - a))
  fc.assert(fc.property(weights, fc.double({ min: 0, max: 1, noNaN: true }), (list, part) => {
    const score = conflictScore(list)
    t.ok(score >= 0 && score <= 1)
    t.ok(Math.abs(conflictScore(list.map((weight) => weight * 8)) - score) < 1e-8)
    const lightest = list[list.length - 1] ?? 1
    t.ok(conflictScore([...list, lightest * part]) >= score)
  }))
  t.strictSame([statusOf(1, 1), statusOf(2, 0.8), statusOf(2, 0.79), statusOf(3, 1)], ['unanimous', 'agreed', 'contested', 'agreed'])
})

t.test('each id once, with its last stamp', async (t) => {
  fc.assert(fc.property(candidateLists, (list) => {
    const kept = distinct(list)
    const best = new Map<number, bigint>()
    for (const { id, hlc } of list) best.set(id[0]!, best.get(id[0]!)! > hlc ? best.get(id[0]!)! : hlc)
    t.strictSame(new Map(kept.map(({ id, hlc }) => [id[0]!, hlc])), best)
    t.equal(kept.length, best.size)
    if (best.size === list.length) t.equal(kept, list, 'and no copy where nothing repeats')
  }))
  // Digests that fall on one another's slots, in a table that has served larger fillings before.
  const table = new IdTable()
  for (const count of [3, 1000, 5, 0, 700]) {
    table.begin(count)
    const ids = Array.from({ length: count }, (_, n) => digestOf(n * 4096))
    ids.forEach((id, n) => { t.equal(table.find(id), -1); t.equal(table.add(id), n); t.equal(table.add(id), n) })
    t.ok(ids.every((id, n) => table.find(id) === n))
    t.equal(table.size, count)
    t.equal(table.find(digest(9)), -1)
  }
})

t.test('origins: by source, and by the parent\'s where that is among the candidates', async (t) => {
  const root = says(1, 'a', { sourceHash: digest(1) })
  const child = says(2, 'a', { sourceHash: digest(2), parent: root.id })
  const grandchild = says(3, 'a', { parent: child.id })
  const other = says(4, 'a', { sourceHash: digest(2) })
  const orphan = says(5, 'a', { sourceHash: digest(2), parent: digest(77) })
  const none = says(6, 'a')
  const unsourced = says(7, 'a', { parent: digest(77) })
  const list = [grandchild, child, root, other, orphan, none, unsourced]
  const clustered = (all: FullCandidate[]) => originsOf(all, clustersOf(all, 0, () => 1))
  const origins = clustered(list)
  t.equal(new Set(origins.subarray(0, 3)).size, 1, 'all go back to the root')
  t.equal(origins[3], origins[4], 'one source')
  t.not(origins[3], origins[2], 'a child that cites another source does not make the two one')
  t.strictSame([...origins.subarray(5)], [0, 0], 'those without a source are together')
  t.equal(countSources([0, 1, 2, 3, 4], origins), 2)
  t.equal(countSources([6], origins), 1)
  const contradiction = says(12, 'b', { sourceHash: digest(6), parent: root.id })
  t.not(clustered([root, contradiction])[1], clustered([root, contradiction])[0], 'who says otherwise does not follow')
  const a = says(8, 'a', { id: digest(8), sourceHash: digest(3), parent: digest(9) })
  const b = says(9, 'a', { id: digest(9), sourceHash: digest(4), parent: digest(8) })
  const tail = says(10, 'a', { sourceHash: digest(5), parent: digest(9) })
  const least = says(11, 'a', { sourceHash: digest(3) })
  for (const ring of [[a, b, tail, least], [tail, b, a, least], [b, least, tail, a]]) {
    t.equal(new Set(clustered(ring)).size, 1, 'a ring goes back to what its least id cites')
  }
})
