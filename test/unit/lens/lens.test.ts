import fc from 'fast-check'
import t from 'tap'
import { compareBytes, toHex } from '../../../src/base/bytes.ts'
import { LENS_CHAIN_MAX } from '../../../src/lens/chain.ts'
import type { Lens, LensContext, Resolution } from '../../../src/lens/lens.ts'
import { chainOf, LENSES, LENS_DEFAULT, lensOf } from '../../../src/lens/registry.ts'
import { candidateLists, contexts, NOW_MS, says, shown, type FullCandidate } from '../../support/lens-candidates.ts'

const chains = fc.array(fc.constantFrom(...LENSES.map(({ name }) => name)), { minLength: 2, maxLength: LENS_CHAIN_MAX }).map((names) => names.join(','))

/** Every number of a resolution. */
function numbersOf({ answers, conflict, certainty }: Resolution<FullCandidate>): number[] {
  return [conflict, certainty, ...answers.flatMap(({ weight, share, sources, conflict: inside }) => [weight, share, sources, inside])]
    .filter((number) => number !== undefined)
}

function checkSound(t: { fail: (why: string) => void }, lens: Lens, list: readonly FullCandidate[], context: LensContext): void {
  const { answers, leftOut = [], outranked = [], ...rest } = lens.resolve(list, context)
  for (const { winner, supporters, why, share } of answers) {
    if (!list.includes(winner) || !supporters.includes(winner) || !supporters.every((c) => list.includes(c)) || why === '') t.fail(`${lens.name}: ${why}`)
    if (new Set(supporters.map(({ id }) => toHex(id))).size !== supporters.length) t.fail(`${lens.name} repeats a supporter`)
    if (share !== undefined && !(share >= 0 && share <= 1)) t.fail(`${lens.name}: a share of ${share}`)
  }
  for (const part of [rest.conflict, rest.certainty, ...answers.map(({ conflict }) => conflict)]) {
    if (part !== undefined && !(part >= 0 && part <= 1)) t.fail(`${lens.name}: ${part} is not in 0..1`)
  }
  if (numbersOf({ answers, ...rest }).some((number) => !Number.isFinite(number))) t.fail(`${lens.name}: not a number`)
  if (answers.length === 0 && leftOut.length === 0) t.fail(`${lens.name}: nobody won, and nobody was left out`)
  for (const { candidate, why } of [...leftOut, ...outranked]) if (!list.includes(candidate) || why === '') t.fail(`${lens.name}: ${why}`)
}

const shuffled = <T>(list: readonly T[]): fc.Arbitrary<T[]> => fc.shuffledSubarray([...list], { minLength: list.length })
const histories = candidateLists.chain((list) => fc.tuple(fc.constant(list), shuffled(list), fc.array(fc.constantFrom(...list), { maxLength: 8 })))

for (const lens of LENSES) {
  t.test(`${lens.name} is total and does not care for order or repetition`, async (t) => {
    t.same(lens.resolve([], { nowMs: NOW_MS }).answers, [], 'of nothing, nothing')
    fc.assert(fc.property(histories, contexts, ([list, other, again], context) => {
      const expected = shown(lens.resolve(list, context))
      t.same(shown(lens.resolve(other, context)), expected)
      t.same(shown(lens.resolve([...again, ...other, ...list], context)), expected)
      checkSound(t, lens, list, context)
    }), { numRuns: 150 })
  })

  t.test(`${lens.name} of candidates that say the same, weigh nothing, or know nothing`, async (t) => {
    const same = [1, 2, 3].map((n) => says(n, 'a', { predicate: 'must_use' }))
    const weightless = [1, 2, 3].map((n) => says(n, n < 3 ? 'a' : 'b', { predicate: 'must_use', confidence: 0 }))
    for (const list of [same, weightless]) {
      checkSound(t, lens, list, { nowMs: NOW_MS })
      t.ok(lens.resolve(list, { nowMs: NOW_MS }).answers.length > 0)
      t.ok(lens.resolve(list, { nowMs: Number.NaN, halfLifeDays: [], tolerance: Number.NaN }).answers.length > 0)
    }
    const { conflict = 0, status = 'unanimous' } = lens.resolve(same, { nowMs: NOW_MS })
    t.equal(conflict, 0)
    t.ok(['unanimous', 'agreed'].includes(status))
  })
}

t.test('any chain is total and does not care for order or repetition', async (t) => {
  fc.assert(fc.property(chains, histories, contexts, (name, [list, other, again], context) => {
    const lens = lensOf(name)
    t.equal(lens.name, name)
    t.same(lens.resolve([], context).answers, [])
    t.same(shown(lens.resolve([...again, ...other], context)), shown(lens.resolve(list, context)))
    checkSound(t, lens, list, context)
  }), { numRuns: 250 })
})

t.test('recency: the last HLC, then the greatest id', async (t) => {
  fc.assert(fc.property(candidateLists, (list) => {
    const sorted = [...list].sort((a, b) => a.hlc === b.hlc ? compareBytes(a.id, b.id) : a.hlc < b.hlc ? -1 : 1)
    const expected = sorted[sorted.length - 1]!
    const { winner } = lensOf('recency').resolve(list, { nowMs: NOW_MS }).answers[0]!
    return winner.hlc === expected.hlc && compareBytes(winner.id, expected.id) === 0
  }))
  const [answer] = lensOf('recency').resolve([{ id: new Uint8Array(8), hlc: BigInt(NOW_MS) << 16n }], { nowMs: NOW_MS }).answers
  t.equal(answer?.why, 'Accepted last, at 2027-01-15T08:00:00.000Z.')
})

t.test('the registry', async (t) => {
  t.equal(lensOf(LENS_DEFAULT).name, 'recency')
  t.equal(new Set(LENSES.map(({ name }) => name)).size, LENSES.length)
  t.equal(chainOf('recency'), lensOf('recency'))
  t.equal(lensOf('authority , recency').name, 'authority,recency')
  for (const name of ['', 'Recency', 'constructor', '__proto__', 'x'.repeat(1000), ',', 'recency,', ',recency', 'recency,,authority', 'recency, ,authority']) {
    t.throws(() => lensOf(name), { code: 'parameter_invalid', message: /there are: recency/ }, name.slice(0, 20))
  }
  for (const name of [new Array(LENS_CHAIN_MAX + 1).fill('recency').join(','), ','.repeat(100_000)]) {
    t.throws(() => lensOf(name), { code: 'parameter_invalid', message: /a chain has at most 4 lenses/ })
  }
  t.equal(lensOf(new Array(LENS_CHAIN_MAX).fill('recency').join(',')).reads, 'stamps')
  for (const name of ['x'.repeat(1000), ','.repeat(1000)]) {
    t.ok((() => { try { lensOf(name) } catch (error) { return (error as Error).message.length < 260 } return false })())
  }
})
