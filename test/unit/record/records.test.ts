import fc from 'fast-check'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { toHex } from '../../../src/base/bytes.ts'
import type { Assertion, Lifecycle } from '../../../src/record/assertion.ts'
import { assertionFromJson } from '../../../src/record/assertion.json.ts'
import { checkAssertion, hashReady } from '../../../src/record/claim.ts'
import {
  ALIASED_BYTES_MAX, EPOCH_NAME_BYTES_MAX, SOURCE_CONTENT_BYTES_MAX, SOURCE_PIECES_MAX, SOURCE_PIECE_BYTES_MAX, SOURCE_TITLE_BYTES_MAX,
} from '../../../src/record/limits.ts'
import {
  RECORD_KINDS, aliasDrafts, aliasSubject, checkRecord, contentOfPieces, epochDraft, epochWithdrawalDraft, isAliasable, outcomeDraft, piecesOf,
  recordFault, recordOf, sourceDrafts, sourceHashOf, voteDraft, type RecordDraft,
} from '../../../src/record/records.ts'
import { parseStrictJson } from '../../../src/record/strict-json.ts'
import { repoRoot } from '../../support/root.ts'
import { arbitraryAssertion, arbitraryHash, arbitrarySubject, assertionOf } from './arbitrary.ts'

await hashReady

const A = new Uint8Array(32).fill(0xab)
const B = new Uint8Array(32).fill(0xcd)
const utf8 = (text: string): number => Buffer.byteLength(text)
/** The assertion that a draft becomes; it must keep every rule of the model, too. */
function whole(draft: RecordDraft, more: Partial<Assertion> = {}): Assertion {
  const assertion: Assertion = { agent: A, assertedAtMs: 5, sourceClass: 5, ...draft, ...more }
  checkAssertion(assertion)
  return assertion
}

t.test('what is built is parsed as it was built', async (t) => {
  fc.assert(fc.property(arbitraryHash, fc.double({ min: -1, max: 1, noNaN: true }), (id, weight) => {
    t.strictSame(recordOf(whole(voteDraft(id, weight))), { kind: 'vote', assertion: id, weight: weight + 0, isWithdrawn: false })
  }), { numRuns: 30 })
  t.strictSame(recordOf(whole(epochDraft({ name: 'x' }))), { kind: 'epoch', name: 'x', supersedes: undefined, reason: undefined, withdraws: undefined, isWithdrawn: false })
  const second = { name: 'y', supersedes: A, reason: 'because' }
  t.strictSame(recordOf(whole(epochDraft(second))), { kind: 'epoch', name: 'y', supersedes: A, reason: 'because', withdraws: undefined, isWithdrawn: false })
  t.match(recordOf(whole(epochWithdrawalDraft(B, second))), { kind: 'epoch', supersedes: A, withdraws: B, isWithdrawn: true })
  t.equal(epochWithdrawalDraft(B, second).subject, epochDraft(second).subject, 'in one range with what it takes back')
  t.strictSame(recordOf(whole(outcomeDraft({ agent: B, accurate: false, judged: A }))),
    { kind: 'outcome', subjectAgent: B, accurate: false, judged: A, isWithdrawn: false })
  t.match(recordOf(whole(outcomeDraft({ agent: B, accurate: true }))), { accurate: true, judged: undefined })
  t.match(aliasDrafts('a', 'rfc://9162/1', true).map((draft) => recordOf(whole(draft))),
    [{ kind: 'alias', subject: 'a', alias: 'rfc://9162/1', isWithdrawn: true }, { kind: 'alias', subject: 'rfc://9162/1', alias: 'a', isWithdrawn: true }])
  const [source, ...pieces] = sourceDrafts({ title: '', uri: 'doi:1', sourceClass: 2, content: 'some text' })
  t.match(source, { sourceUri: 'doi:1', sourceClass: 2, sourceHash: sourceHashOf('some text') })
  t.match([source!, ...pieces].map((draft) => recordOf(whole(draft))),
    [{ kind: 'source', hash: sourceHashOf('some text'), title: '' }, { kind: 'content', hash: sourceHashOf('some text'), index: 0, text: 'some text' }])
  t.match(sourceDrafts({ hash: A, title: 'T' }), [{ subject: `steme://source/${'ab'.repeat(32)}` }])
})

t.test('each lifecycle that ends something withdraws', async (t) => {
  const cases: [Lifecycle, boolean][] = [['proposed', false], ['under_review', false], ['approved', false], ['deprecated', true], ['rejected', true], ['retracted', true]]
  for (const [lifecycle, isWithdrawn] of cases) {
    const drafts = [voteDraft(A, 1), outcomeDraft({ agent: A, accurate: true }), ...aliasDrafts('a', 'b'), ...sourceDrafts({ content: 'x' })]
    for (const draft of drafts) t.match(recordOf(whole(draft, { lifecycle })), { isWithdrawn }, `${draft.predicate} ${lifecycle}`)
  }
})

t.test('aliases: every subject that can have them has a place of its own, from which it is read back', async (t) => {
  fc.assert(fc.property(arbitrarySubject, arbitrarySubject, (a, b) => {
    if (!isAliasable(a) || !isAliasable(b) || a === b) return
    t.match(aliasDrafts(a, b).map((draft) => recordOf(whole(draft))), [{ kind: 'alias', subject: a, alias: b }, { kind: 'alias', subject: b, alias: a }])
    t.not(aliasSubject(a), aliasSubject(b))
  }), { numRuns: 200 })
  t.equal(aliasSubject('rfc://9162/section/2'), 'steme://alias/uri/rfc/9162/section/2')
  t.equal(aliasSubject('rfc/9162'), 'steme://alias/path/rfc/9162')
  t.equal(aliasSubject('rfc:/9162'), 'steme://alias/path/rfc:/9162')
  const longest = 'x'.repeat(ALIASED_BYTES_MAX)
  t.doesNotThrow(() => aliasDrafts(longest, 'y').map((draft) => whole(draft)))
  t.doesNotThrow(() => aliasDrafts(`s://${'x'.repeat(ALIASED_BYTES_MAX - 4)}`, 'y').map((draft) => whole(draft)))
  for (const wrong of ['', `${longest}x`, 'a//b', 'a/', '/a', 'steme://epochs', 'é'.repeat(ALIASED_BYTES_MAX)]) {
    t.throws(() => aliasDrafts('a', wrong), { code: 'record_invalid' }, wrong.slice(0, 20))
    t.throws(() => aliasDrafts(wrong, 'a'), { code: 'record_invalid' }, wrong.slice(0, 20))
  }
  t.throws(() => aliasDrafts('a', 'a'), { code: 'record_invalid' })
})

t.test('content is cut alike by everybody, never inside a character, and comes back whole', async (t) => {
  const unit = fc.constantFrom('a', 'é', '€', '💧', '\u0000', '\n')
  const content = fc.tuple(fc.integer({ min: 0, max: 4 }), unit, fc.integer({ min: 1, max: 40_000 }), unit, fc.integer({ min: 0, max: 30_000 }))
    .map(([pad, a, m, b, n]) => 'x'.repeat(pad) + a.repeat(m) + b.repeat(n))
  fc.assert(fc.property(content, (text) => {
    const pieces = piecesOf(text)
    t.equal(pieces.join(''), text)
    t.ok(pieces.every((piece) => utf8(piece) > 0 && utf8(piece) <= SOURCE_PIECE_BYTES_MAX && !/\p{Surrogate}/u.test(piece)))
    t.ok(pieces.slice(0, -1).every((piece) => utf8(piece) > SOURCE_PIECE_BYTES_MAX - 4), 'as long as they can be')
    t.equal(contentOfPieces(sourceHashOf(text), pieces), text)
    if (pieces.length > 1) t.equal(contentOfPieces(sourceHashOf(text), [...pieces].reverse()), pieces.join('') === [...pieces].reverse().join('') ? text : undefined)
  }), { numRuns: 40 })
  for (const [name, text] of [['ASCII', 'x'.repeat(SOURCE_CONTENT_BYTES_MAX)], ['worst case', `xxx${'💧'.repeat(SOURCE_CONTENT_BYTES_MAX / 4 - 1)}`]] as const) {
    const drafts = sourceDrafts({ content: text })
    t.ok(drafts.length - 1 <= SOURCE_PIECES_MAX, name)
    t.equal(contentOfPieces(sourceHashOf(text), drafts.slice(1).map((draft) => String(draft.object.value))), text)
  }
  for (const wrong of ['', 'x'.repeat(SOURCE_CONTENT_BYTES_MAX + 1), '€'.repeat(SOURCE_CONTENT_BYTES_MAX / 2), 'a\ud800', '\udc00'.repeat(70_000)]) {
    t.throws(() => sourceDrafts({ content: wrong }), { code: 'record_invalid' })
  }
  t.throws(() => sourceDrafts({ content: 'x', hash: A }), { code: 'record_invalid', message: /not abab/ })
  t.throws(() => sourceDrafts({ title: 'x' }), { code: 'record_invalid' })
  t.throws(() => sourceDrafts({ hash: new Uint8Array(32) }), { code: 'record_invalid' })
})

const vote = (): RecordDraft => voteDraft(A, 1)
const epoch = (): RecordDraft => epochDraft({ name: 'y', supersedes: A, reason: 'r' })
const outcome = (): RecordDraft => outcomeDraft({ agent: A, accurate: true })
const alias = (): RecordDraft => aliasDrafts('a/b', 'c')[0]
const source = (): RecordDraft => sourceDrafts({ content: 'text' })[0]!
const piece = (): RecordDraft => sourceDrafts({ content: 'text' })[1]!

t.test('what is no record is refused, with the reason', async (t) => {
  const text = (value: string): { object: Assertion['object'] } => ({ object: { kind: 'text', value } })
  const wrong: [string, RecordDraft, Partial<Assertion>][] = [
    ['another head', vote(), { subject: 'steme://quota/x' }],
    ['the scheme alone', vote(), { subject: 'steme://x' }],
    ['upper case', vote(), { subject: `steme://assertion/${'AB'.repeat(32)}` }],
    ['short', vote(), { subject: `steme://assertion/${'ab'.repeat(31)}` }],
    ['long', vote(), { subject: `steme://assertion/${'ab'.repeat(32)}/x` }],
    ['predicate of a vote', vote(), { predicate: 'votes' }],
    ['too heavy', vote(), { object: { kind: 'number', value: 1.0000001 } }],
    ['too light', vote(), { object: { kind: 'number', value: -1.0000001 } }],
    ['not a number', vote(), { object: { kind: 'number', value: NaN } }],
    ['kind of a vote', vote(), { object: { kind: 'boolean', value: true } }],
    ['parent is another', epoch(), { parent: B }],
    ['parent of the first', epochDraft({ name: 'x' }), { parent: B }],
    ['no reason', epoch(), { note: ' ' }],
    ['no parent to withdraw', epochDraft({ name: 'x' }), { lifecycle: 'retracted' }],
    ['blank name', epoch(), text(' \n')],
    ['long name', epoch(), text('é'.repeat(EPOCH_NAME_BYTES_MAX / 2 + 1))],
    ['epochs of something', epoch(), { subject: 'steme://epochs/all' }],
    ['epochs of nobody', epoch(), { subject: 'steme://epochsx' }],
    ['predicate of an epoch', epoch(), { predicate: 'vote' }],
    ['kind of an outcome', outcome(), { object: { kind: 'number', value: 1 } }],
    ['predicate of an outcome', outcome(), { predicate: 'accurate' }],
    ['agent as did:key', outcome(), { subject: 'steme://agent/did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK' }],
    ['text for a reference', alias(), text('c')],
    ['alias of itself', alias(), { object: { kind: 'reference', value: 'a/b' } }],
    ['alias of a record', alias(), { object: { kind: 'reference', value: 'steme://epochs' } }],
    ['alias of no subject', alias(), { object: { kind: 'reference', value: 'a//b' } }],
    ['aliases of a record', alias(), { subject: 'steme://alias/uri/steme/epochs' }],
    ['aliases of a scheme alone', alias(), { subject: 'steme://alias/uri/rfc' }],
    ['aliases of no scheme', alias(), { subject: 'steme://alias/uri/1rfc/9110' }],
    ['aliases of neither', alias(), { subject: 'steme://alias/a/b' }],
    ['predicate of an alias', alias(), { predicate: 'same_as' }],
    ['another source hash', source(), { sourceHash: A }],
    ['long title', source(), text('x'.repeat(SOURCE_TITLE_BYTES_MAX + 1))],
    ['predicate of a source', source(), { predicate: 'piece/0000' }],
    ['another source hash of a piece', piece(), { sourceHash: A }],
    ['a piece too many', piece(), { predicate: `piece/00${SOURCE_PIECES_MAX}` }],
    ['digits of a piece', piece(), { predicate: 'piece/000' }],
    ['another writing', piece(), { predicate: 'piece/0x01' }],
    ['sign of a piece', piece(), { predicate: 'piece/-001' }],
    ['a piece of nothing', piece(), text('')],
    ['a long piece', piece(), text('é'.repeat(SOURCE_PIECE_BYTES_MAX / 2) + 'x')],
  ]
  for (const [name, draft, change] of wrong) {
    const record = { ...draft, ...change }
    t.equal(recordOf(record), undefined, name)
    t.match(recordFault(record), /^.{20,}$/, name)
    t.throws(() => checkRecord(record, '/7'), { code: 'record_invalid', details: { pointer: '/7' } }, name)
  }
  for (const right of [vote(), epoch(), outcome(), alias(), source(), piece()]) t.equal(recordFault(right), undefined)
  t.doesNotThrow(() => checkRecord(assertionOf({ subject: 'steme:/x' })), 'other subjects are no matter of ours')
  t.doesNotThrow(() => checkRecord(assertionOf({ subject: 'Steme://x' })))
})

t.test('any assertion under the scheme is a record or refused, never an exception', async (t) => {
  const drafts = fc.constantFrom(vote, epoch, outcome, alias, source, piece)
  fc.assert(fc.property(drafts, arbitraryAssertion, fc.subarray(['subject', 'predicate', 'object', 'lifecycle', 'sourceHash', 'parent', 'note'] as const), (make, other, fields) => {
    const record: Record<string, unknown> = { ...make() }
    for (const field of fields) record[field] = other[field]
    const mixed = record as unknown as RecordDraft
    t.equal(recordOf(mixed) === undefined, recordFault(mixed) !== undefined)
  }), { numRuns: 300 })
})

t.test('docs/formats/records.md: its rows are the kinds, its examples are records of them', async (t) => {
  const page = readFileSync(join(repoRoot, 'docs/formats/records.md'), 'utf8')
  const [, shapes, counts] = page.split('\n## ')
  const kindsIn = (section: string): string[] => [...section.matchAll(/^\| (\w+) \| /gm)].map((match) => match[1]!).filter((name) => name !== 'record')
  t.strictSame(kindsIn(shapes!), RECORD_KINDS)
  t.strictSame(kindsIn(counts!), RECORD_KINDS)
  t.match(shapes, `\`piece/00${SOURCE_PIECES_MAX - 1}\``)
  const examples = [...page.matchAll(/```json\n([\s\S]*?)```/g)].map((match) => assertionFromJson(parseStrictJson(match[1]!)))
  for (const example of examples) t.equal(recordFault(example), undefined)
  t.strictSame(examples.map((example) => recordOf(example)?.kind), ['vote', 'epoch', 'epoch', 'outcome', 'alias', 'source', 'content'])
  const content = examples.at(-1)!
  t.equal(toHex(sourceHashOf(String(content.object.value))), toHex(content.sourceHash), 'the hash of the example is right')
})
