import fc from 'fast-check'
import t from 'tap'
import { compareBytes } from '../../../src/base/bytes.ts'
import type { Candidate } from '../../../src/lens/lens.ts'
import { LENSES, LENS_DEFAULT, lensOf } from '../../../src/lens/registry.ts'

/** Few HLCs and ids, so that ties are common. */
const candidate = fc.record({
  id: fc.integer({ min: 0, max: 4 }).map((byte) => new Uint8Array(32).fill(byte)),
  hlc: fc.constantFrom(0n, 1n, 5n << 16n, (5n << 16n) + 1n, (2n ** 48n - 1n) << 16n, 2n ** 64n - 1n),
})
const context = { nowMs: 1_800_000_000_000 }

/** A resolution by content: candidates that are equal are the same one. */
const shown = (name: string, candidates: readonly Candidate[]): unknown => {
  const { answers, conflict } = lensOf(name).resolve(candidates, context)
  const text = ({ id, hlc }: Candidate): string => `${Buffer.from(id).toString('hex')} ${hlc}`
  return {
    conflict,
    answers: answers.map(({ label, winner, supporters, why }) =>
      ({ label, why, winner: text(winner), supporters: [...new Set(supporters.map(text))].sort() })),
  }
}

for (const lens of LENSES) {
  t.test(`${lens.name} is total and does not care for order or repetition`, async (t) => {
    t.same(lens.resolve([], context).answers, [], 'of nothing, nothing')
    fc.assert(fc.property(
      fc.array(candidate, { minLength: 1, maxLength: 12 }).chain((list) => fc.tuple(
        fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length }), fc.array(fc.constantFrom(...list), { maxLength: 8 }))),
      ([list, shuffled, again]) => {
        const expected = shown(lens.name, list)
        t.same(shown(lens.name, shuffled), expected)
        t.same(shown(lens.name, [...again, ...shuffled, ...list]), expected)
        const { answers } = lens.resolve(list, context)
        t.ok(answers.length > 0)
        for (const { winner, supporters, why } of answers) {
          t.ok(list.includes(winner) && supporters.includes(winner) && supporters.every((c) => list.includes(c)))
          t.not(why, '')
        }
      }), { numRuns: 200 })
  })
}

t.test('recency: the last HLC, then the greatest id', async (t) => {
  fc.assert(fc.property(fc.array(candidate, { minLength: 1, maxLength: 10 }), (list) => {
    const sorted = [...list].sort((a, b) => a.hlc === b.hlc ? compareBytes(a.id, b.id) : a.hlc < b.hlc ? -1 : 1)
    const expected = sorted[sorted.length - 1]!
    const { winner } = lensOf('recency').resolve(list, context).answers[0]!
    return winner.hlc === expected.hlc && compareBytes(winner.id, expected.id) === 0
  }))
  const [answer] = lensOf('recency').resolve([{ id: new Uint8Array(8), hlc: 1_800_000_000_000n << 16n }], context).answers
  t.equal(answer?.why, 'Accepted last, at 2027-01-15T08:00:00.000Z.')
})

t.test('the registry', async (t) => {
  t.equal(lensOf(LENS_DEFAULT).name, 'recency')
  t.equal(new Set(LENSES.map(({ name }) => name)).size, LENSES.length)
  for (const name of ['', 'Recency', 'constructor', '__proto__', 'x'.repeat(1000)]) {
    t.throws(() => lensOf(name), { code: 'parameter_invalid', message: /there are: recency/ }, name.slice(0, 20))
  }
  t.ok((() => { try { lensOf('x'.repeat(1000)) } catch (error) { return (error as Error).message.length < 200 } return false })())
})
