import fc from 'fast-check'
import t from 'tap'
import { hlcOf } from '../../../src/base/hlc.ts'
import {
  CONCEPT_ENTRIES_COUNTED_MAX, CONCEPT_PREDICATES_MAX, type Concept, type ConceptsDocument,
} from '../../../src/query/kinds/concepts.ts'
import { QUERY_CONCEPTS } from '../../../src/query/kinds/registry.ts'
import type { QueryExecutor } from '../../../src/query/execute.ts'
import type { Assertion } from '../../../src/record/assertion.ts'
import { hashReady } from '../../../src/record/claim.ts'
import { askDocument, executorOver, refusalOf } from './document-ask.ts'
import { NOW_MS, TestLog, claim } from './test-log.ts'

await hashReady

let made = 0
const about = (subject: string, change: Partial<Assertion> = {}): Assertion => claim({ subject, object: { kind: 'number', value: made++ }, ...change })

function logOf(subjects: readonly string[]): TestLog {
  const log = new TestLog()
  for (let i = 0; i < subjects.length; i += 100) log.append(subjects.slice(i, i + 100).map((subject) => about(subject)))
  return log
}

interface Page { prefix?: string, limit?: number, cursor?: string }
function concepts(executor: QueryExecutor, { prefix, limit, cursor }: Page): ConceptsDocument {
  return askDocument<ConceptsDocument>(executor, {
    kind: QUERY_CONCEPTS, ...(prefix === undefined ? {} : { subject: prefix }), ...(limit === undefined ? {} : { limit }),
    ...(cursor === undefined ? {} : { cursor: Buffer.from(cursor, 'base64url') }),
  })
}
const shown = (concept: Concept): string => `${concept.kind} ${concept.path}`
const list = (executor: QueryExecutor, prefix?: string): string[] =>
  concepts(executor, prefix === undefined ? {} : { prefix }).concepts.map(shown)

t.test('one level below a prefix, as a directory is listed', async (t) => {
  const executor = executorOver(logOf([
    'drug', 'drug/aspirin', 'drug/aspirin-c', 'drug/aspirin/dose', 'drug/aspirin/risk/bleeding', 'drug/ibuprofen/dose', 'drugs/x', 'sky',
    'rfc://9162/section/2', 'rfc://9162/section/3', 'rfc://2119', 'steme://epochs', 'steme://agent/00',
  ]))
  t.strictSame(list(executor), ['subject drug', 'prefix drug/', 'prefix drugs/', 'prefix rfc://', 'subject sky'], 'records beside assertions stay out')
  t.strictSame(list(executor, 'drug/'), ['subject drug/aspirin', 'subject drug/aspirin-c', 'prefix drug/aspirin/', 'prefix drug/ibuprofen/'])
  t.strictSame(list(executor, 'drug/aspirin/'), ['subject drug/aspirin/dose', 'prefix drug/aspirin/risk/'])
  t.strictSame(list(executor, 'drug/i'), ['prefix drug/ibuprofen/'], 'a prefix may end within a segment')
  t.strictSame(list(executor, 'rfc://'), ['subject rfc://2119', 'prefix rfc://9162/'])
  for (const part of ['rfc', 'rfc:', 'rfc:/']) t.strictSame(list(executor, part), ['prefix rfc://'], `${part}: the slashes of a scheme are one`)
  t.strictSame(list(executor, 'steme://'), ['prefix steme://agent/', 'subject steme://epochs'], 'unless they are named')
  t.strictSame(list(executor, 'steme'), [])
  t.strictSame(list(executor, 'nothing/'), [])
})

t.test('predicates of a subject: entries counted as far as is cheap, and when the last one came', async (t) => {
  const log = new TestLog()
  log.append(Array.from({ length: CONCEPT_ENTRIES_COUNTED_MAX }, () => about('a', { predicate: 'full' })))
  log.append(Array.from({ length: CONCEPT_ENTRIES_COUNTED_MAX + 1 }, () => about('a', { predicate: 'more' })))
  log.append([about('a', { predicate: 'one' }), about('a/b')])
  t.match(concepts(executorOver(log), { prefix: 'a' }).concepts, [{
    path: 'a', kind: 'subject', more_predicates: false, predicates: [
      { predicate: 'full', entries: CONCEPT_ENTRIES_COUNTED_MAX, more: false },
      { predicate: 'more', entries: CONCEPT_ENTRIES_COUNTED_MAX, more: true },
      { predicate: 'one', entries: 1, more: false, newest_hlc: String(hlcOf(NOW_MS + 2 * CONCEPT_ENTRIES_COUNTED_MAX + 2)) },
    ],
  }, { path: 'a/', kind: 'prefix' }])

  const many = new TestLog()
  many.append(Array.from({ length: CONCEPT_PREDICATES_MAX + 5 }, (_, i) => about('a', { predicate: `p${String(i).padStart(3, '0')}` })))
  many.append([about('b')])
  const found = concepts(executorOver(many), {}).concepts
  t.strictSame(found.map(shown), ['subject a', 'subject b'])
  t.match(found[0], { more_predicates: true, predicates: { length: CONCEPT_PREDICATES_MAX } })
})

t.test('pages: of any size, with writes between them, what is there throughout comes once', async (t) => {
  const segment = fc.constantFrom('a', 'b', 'a-', 'é', 'z:', '!')
  const subject = fc.array(segment, { minLength: 1, maxLength: 3 }).map((segments) => segments.join('/'))
  const arbitrary = fc.record({
    before: fc.array(subject, { maxLength: 15 }), later: fc.array(subject, { maxLength: 15 }), limit: fc.integer({ min: 1, max: 3 }),
    prefix: fc.constantFrom('', 'a', 'a/', 'a/b', 'é/'),
  })
  fc.assert(fc.property(arbitrary, ({ before, later, limit, prefix }) => {
    const log = logOf(before)
    const executor = executorOver(log)
    const expected = childrenOf(before, prefix)
    t.strictSame(list(executor, prefix), expected)
    const pages: string[] = []
    const writes = [...later]
    for (let cursor: string | undefined, isFirst = true; isFirst || cursor !== undefined; isFirst = false) {
      const page = concepts(executor, { prefix, limit, ...(cursor === undefined ? {} : { cursor }) })
      t.ok(page.concepts.length <= limit && (page.concepts.length > 0 || page.cursor === undefined))
      pages.push(...page.concepts.map(shown))
      cursor = page.cursor
      const next = writes.shift()
      if (next !== undefined) log.append([about(next)])
    }
    t.strictSame([...new Set(pages)], pages, 'nothing twice')
    t.strictSame(pages.filter((concept) => expected.includes(concept)), expected, 'nothing left out')
    const all = childrenOf([...before, ...later], prefix)
    t.ok(pages.every((concept) => all.includes(concept)))
  }), { numRuns: 150 })
})

/** The same by looking at every subject. */
function childrenOf(subjects: readonly string[], prefix: string): string[] {
  const children = subjects.filter((subject) => subject.startsWith(prefix)).map((subject) => {
    const slash = subject.indexOf('/', prefix.length)
    return slash < 0 ? `subject ${subject}` : `prefix ${subject.slice(0, slash + 1)}`
  })
  const path = (concept: string): Buffer => Buffer.from(concept.slice(concept.indexOf(' ') + 1))
  return [...new Set(children)].sort((a, b) => Buffer.compare(path(a), path(b)))
}

t.test('the cost grows with the concepts listed, not with the assertions under them', async (t) => {
  const log = new TestLog()
  for (let i = 0; i < 30; i++) {
    log.append(Array.from({ length: 200 }, (_, j) => about(`wide/${String(j % 100).padStart(3, '0')}`)))
    log.append(Array.from({ length: 200 }, () => about('deep')))
  }
  let reads = 0
  const multiGet = log.store.multiGet.bind(log.store)
  log.store.multiGet = (column, keys) => {
    reads += keys.length
    return multiGet(column, keys)
  }
  t.strictSame(list(executorOver(log)), ['subject deep', 'prefix wide/'])
  // Sixty runs, of which each look-up reads a page; 12,000 entries stand in 190 pages or more.
  t.ok(reads < 7 * 61 * 2, `${reads} nodes were read`)
})

t.test('as of a moment', async (t) => {
  const log = new TestLog()
  log.append([about('a')])
  log.append([about('b'), about('a', { predicate: 'later' })])
  const early = askDocument<ConceptsDocument>(executorOver(log), { kind: QUERY_CONCEPTS, asOfHlc: hlcOf(NOW_MS + 1, 9) })
  t.match(early.concepts, [{ path: 'a', predicates: [{ predicate: 'dose' }] }])
  t.match(early.concepts, { length: 1 })
})

t.test('what is wrong is refused, and what is long ends early', async (t) => {
  const executor = executorOver(logOf(['drug/a', 'drug/b', 'x']))
  const refusal = (change: object): string => refusalOf(executor, { kind: QUERY_CONCEPTS, ...change })
  t.equal(refusal({ subject: 'a\0b' }), 'parameter_invalid')
  t.equal(refusal({ subject: 'a'.repeat(1025) }), 'parameter_invalid')
  t.equal(refusal({ limit: 1001 }), 'parameter_invalid')
  for (const cursor of [Uint8Array.of(), Buffer.from('drug'), Buffer.from('drug0x'), new Uint8Array(1026).fill(0x64)]) {
    t.equal(refusal({ subject: 'drug/', cursor }), 'parameter_invalid', Buffer.from(cursor).toString())
  }
  t.equal(refusal({ subject: 'drug/', cursor: Buffer.from('drug0') }), 'answered', 'behind the last one')

  const long = logOf(Array.from({ length: 60 }, (_, i) => `${String(i).padStart(3, '0')}${'"'.repeat(900)}`))
  const small = executorOver(long, { replyBytesMax: 64 * 1024 })
  const seen: string[] = []
  let cursor: string | undefined
  do {
    const page = concepts(small, cursor === undefined ? {} : { cursor })
    t.ok(page.concepts.length < 60)
    seen.push(...page.concepts.map(shown))
    cursor = page.cursor
  } while (cursor !== undefined)
  t.equal(seen.length, 60)
})
