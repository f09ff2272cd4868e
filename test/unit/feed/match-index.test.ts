import fc from 'fast-check'
import t from 'tap'
import { AssertionFields, filterKey, filterMatches, type FeedFilter } from '../../../src/feed/filter.ts'
import { MatchIndex } from '../../../src/feed/match-index.ts'
import { MatchSketch, PREDICATE_BASIS, SUBJECT_BASIS, hashAt, hashRest, hashText, hashWords, wordsEnd } from '../../../src/feed/match-sketch.ts'
import { initHash } from '../../../src/record/claim.ts'
import { IndexedFieldsView } from '../../../src/wire/assertion-view.ts'
import { encodeAssertion } from '../../../src/wire/assertion.codec.ts'
import { claim } from '../query/test-log.ts'

const latin1 = (text: string): string => Buffer.from(text).toString('latin1')
const SUBJECTS = ['a', 'a/b', 'a/bc', 'a/b/c', 'ä/ö', 'b', 'a/b/c/d/e']
const agentOf = (n: number): Uint8Array => new Uint8Array(32).fill(n)

const filterArbitrary: fc.Arbitrary<FeedFilter> = fc.record({
  subject: fc.option(fc.constantFrom(...SUBJECTS, 'a/', ''), { nil: undefined }),
  subjectIsPrefix: fc.boolean(),
  predicate: fc.option(fc.constantFrom('p', 'q'), { nil: undefined }),
  tiers: fc.constantFrom(0, 0, 1, 0b100, 0b101, 0b111111),
  agent: fc.option(fc.constantFrom(1, 2), { nil: undefined }),
}).map(({ subject, agent, ...rest }) => ({
  ...rest, subject: subject === undefined ? undefined : latin1(subject), agent: agent === undefined ? undefined : Buffer.from(agentOf(agent)).toString('latin1'),
}))

const claimArbitrary = fc.record({
  subject: fc.constantFrom(...SUBJECTS), predicate: fc.constantFrom('p', 'q'), sourceClass: fc.constantFrom(0 as const, 1 as const, 2 as const),
  agent: fc.constantFrom(1, 2),
})

function fieldsOf({ agent, ...change }: { subject: string, predicate: string, sourceClass: 0 | 1 | 2, agent: number }): AssertionFields {
  const bytes = encodeAssertion(claim({ ...change, agent: agentOf(agent) }))
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return new AssertionFields().reset(view, new IndexedFieldsView().reset(view, 0, bytes.length))
}

/** The meaning of a filter, of decoded values and without an index. */
function wants(filter: FeedFilter, one: { subject: string, predicate: string, sourceClass: number, agent: number }): boolean {
  const subject = filter.subject === undefined ? undefined : Buffer.from(filter.subject, 'latin1')
  const given = Buffer.from(one.subject)
  const subjectFits = subject === undefined || (filter.subjectIsPrefix ? given.subarray(0, subject.length).equals(subject) : given.equals(subject))
  return subjectFits && (filter.predicate ?? one.predicate) === one.predicate
    && (filter.tiers === 0 || [...filter.tiers.toString(2)].reverse()[one.sourceClass] === '1')
    && (filter.agent === undefined || filter.agent.charCodeAt(0) === one.agent)
}

t.before(initHash)

t.test('the index finds what asking every filter finds, whatever was added and removed before', async () => {
  fc.assert(fc.property(
    fc.array(fc.record({ filter: filterArbitrary, stays: fc.boolean() }), { maxLength: 40 }), fc.array(claimArbitrary, { minLength: 1, maxLength: 10 }),
    (members, claims) => {
      const index = new MatchIndex<number>()
      members.forEach(({ filter }, i) => index.add(i, filter))
      members.forEach(({ filter, stays }, i) => { if (!stays) index.remove(i, filter) })
      const left = members.flatMap(({ filter, stays }, i) => (stays ? [{ filter, i }] : []))
      if (index.size !== left.length || index.groupCount !== new Set(left.map(({ filter }) => filterKey(filter))).size) return false
      return claims.every((one) => {
        const fields = fieldsOf(one)
        const found: number[] = []
        index.match(fields, (group) => found.push(...group.members))
        const expected = left.filter(({ filter }) => wants(filter, one)).map(({ i }) => i)
        return found.length === expected.length && JSON.stringify(found.sort((a, b) => a - b)) === JSON.stringify(expected)
          && left.every(({ filter }) => filterMatches(filter, fields) === wants(filter, one))
      })
    }), { numRuns: 300 })
})

t.test('filters that differ have different keys', async (t) => {
  const base: FeedFilter = { subject: 'a', subjectIsPrefix: false, predicate: undefined, tiers: 0, agent: undefined }
  const others: FeedFilter[] = [
    base, { ...base, subjectIsPrefix: true }, { ...base, subject: undefined }, { ...base, subject: 'a|-' }, { ...base, predicate: '' },
    { ...base, predicate: 'p' }, { ...base, tiers: 1 }, { ...base, agent: 'x' }, { ...base, subject: 'a|1:p', predicate: undefined },
  ]
  t.equal(new Set(others.map(filterKey)).size, others.length)
})

t.test('a sketch says yes of all that was added and stays, and no of nearly all else', async (t) => {
  const sketch = new MatchSketch()
  const hashes = Array.from({ length: 2000 }, (_, i) => hashText(SUBJECT_BASIS, `ward/${i}/`))
  for (const hash of hashes) sketch.add(hash)
  for (const hash of hashes.slice(1000)) sketch.remove(hash)
  t.ok(hashes.slice(0, 1000).every((hash) => sketch.has(hash)), 'also where another one with the same value was removed')
  const others = Array.from({ length: 10_000 }, (_, i) => hashText(SUBJECT_BASIS, `load/${i}`)).filter((hash) => sketch.has(hash)).length
  t.ok(others < 1000, `${others} of 10,000 others are not dismissed, where 6 % are to be expected`)
  fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), fc.nat(60), fc.nat(7), (bytes, cut, shift) => {
    const shifted = new Uint8Array([...new Uint8Array(shift), ...bytes])
    const view = new DataView(shifted.buffer)
    const end = shift + bytes.length
    const [middle, words] = [cut, bytes.length].map((length) => shift + wordsEnd(Math.min(length, bytes.length)))
    const onward = hashWords(hashWords(PREDICATE_BASIS, view, shift, middle!), view, middle!, words!)
    const expected = hashText(PREDICATE_BASIS, Buffer.from(bytes).toString('latin1'))
    return hashRest(onward, view, words!, end) === expected && hashAt(PREDICATE_BASIS, view, shift, bytes.length) === expected
  }))
  const spread = new Set(Array.from({ length: 4096 }, (_, i) => hashText(SUBJECT_BASIS, `a/${i >> 8}/${i & 255}`) & 0xfff)).size
  t.ok(spread > 2400, `texts that differ in a byte or two fall on ${spread} of 4,096 values, where 2,589 are to be expected`)
})
