import fc from 'fast-check'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { bytesEqual, concatBytes, fromHex } from '../../../src/base/bytes.ts'
import { errorNameOf } from '../../../src/base/error-codes.ts'
import { batchMessage, realmHashOf, singleMessage } from '../../../src/merkle/signed-message.ts'
import { rootOfIds } from '../../../src/merkle/tree.ts'
import type { Assertion } from '../../../src/record/assertion.ts'
import { assertionIdOf, hashReady } from '../../../src/record/claim.ts'
import { RECORD_SCHEME, voteDraft } from '../../../src/record/records.ts'
import { signMessage } from '../../../src/verify/ed25519.ts'
import { keyPairOfSeed } from '../../../src/verify/keys.ts'
import { BatchVerifier, type VerifiedBatch, type VerifyPolicy } from '../../../src/verify/verify-batch.ts'
import { encodeAssertion } from '../../../src/wire/assertion.codec.ts'
import { BATCH_FLAG_RECEIPT, encodeBatch, type BatchInput } from '../../../src/wire/batch.codec.ts'
import { repoRoot } from '../../support/root.ts'

await hashReady

const NOW_MS = 1_800_000_000_000
const realmHash = realmHashOf('default')
const agent = keyPairOfSeed(new Uint8Array(32).fill(1))
const stranger = keyPairOfSeed(new Uint8Array(32).fill(2))
const POLICY: VerifyPolicy = { signaturesRequired: true, realmHash, batchAssertionsMax: 300, vectorLengthMax: 16, hlcDriftMaxMs: 1000 }
const required = new BatchVerifier(POLICY)
const optional = new BatchVerifier({ ...POLICY, signaturesRequired: false })

const claim = (i: number, change: Partial<Assertion> = {}): Assertion => ({
  subject: `drug/aspirin-${i}`, predicate: 'dose', object: { kind: 'number', value: i }, confidence: 0.5, sourceClass: 1,
  sourceHash: new Uint8Array(32), lifecycle: 'proposed', agent: agent.publicKey, assertedAtMs: NOW_MS - i, ...change,
})
const claims = (count: number): Assertion[] => Array.from({ length: count }, (_, i) => claim(i))
const idsOf = (list: readonly Assertion[]): Uint8Array => concatBytes(...list.map(assertionIdOf))
const bare = (list: readonly Assertion[]): BatchInput['items'] => list.map((a) => ({ assertion: encodeAssertion(a) }))
const signBatch = (list: readonly Assertion[], key = agent, realm = realmHash): Uint8Array =>
  signMessage(key.secretKey, batchMessage(realm, list.length, rootOfIds(idsOf(list))))
const signedBatch = (list: readonly Assertion[], change: Partial<BatchInput> = {}): Uint8Array =>
  encodeBatch({ requestId: 7n, agent: agent.publicKey, signature: signBatch(list), items: bare(list), ...change })
const singly = (a: Assertion, key = agent, realm = realmHash): BatchInput['items'][number] =>
  ({ assertion: encodeAssertion(a), signature: signMessage(key.secretKey, singleMessage(realm, assertionIdOf(a))) })
const unsigned = (items: BatchInput['items'], flags = 0): Uint8Array => encodeBatch({ requestId: 8n, flags, items })

const check = (frame: Uint8Array, verifier = required): VerifiedBatch => verifier.verify(frame, 0, frame.length, NOW_MS)
const refusalOf = (frame: Uint8Array, verifier = required): string => {
  const { refused } = check(frame, verifier)
  return refused === 0 ? 'none' : errorNameOf(refused)
}
const codesOf = (frame: Uint8Array, verifier = required): string[] => {
  const { refused, codes, count } = check(frame, verifier)
  return refused === 0 ? Array.from(codes.subarray(0, count), (code) => code === 0 ? 'ok' : errorNameOf(code)) : [`batch: ${errorNameOf(refused)}`]
}

/** Breaks a rule of the model in the bytes: a control character in the subject. The structure stays right. */
function breakClaim(assertion: Uint8Array): Uint8Array {
  const broken = assertion.slice()
  broken[Buffer.from(broken).indexOf('drug/')] = 1
  return broken
}

t.test('a signed batch out of the middle of a shared buffer', async (t) => {
  for (const count of [1, 2, 3, 4, 5, 8, 9, 300]) {
    const list = claims(count)
    const frame = signedBatch(list)
    const shared = new Uint8Array(new SharedArrayBuffer(frame.length + 100)).fill(0xee)
    shared.set(frame, 40)
    const result = required.verify(shared, 40, frame.length, NOW_MS)
    t.match(result, { refused: 0, refusedIndex: -1, count, acceptedCount: count, wantsReceipt: false, requestId: 7n })
    t.same(result.ids.slice(0, count * 32), idsOf(list))
    t.same(result.root, rootOfIds(idsOf(list)))
    t.ok(result.codes.subarray(0, count).every((code) => code === 0))
  }
})

t.test('claims too long for a lane among short ones', async (t) => {
  const list = [claim(0), claim(1, { note: 'n'.repeat(3000) }), claim(2), claim(3, { note: 'n'.repeat(900) }), claim(4), claim(5)]
  const result = check(signedBatch(list))
  t.equal(result.acceptedCount, 6)
  t.same(result.ids.slice(0, 6 * 32), idsOf(list))
})

t.test('a batch signature on other ids, order, count, realm, domain or agent', async (t) => {
  const list = claims(4)
  const signature = signBatch(list)
  const [a, b, c, d] = list as [Assertion, Assertion, Assertion, Assertion]
  const others = { swapped: [b, a, c, d], fewer: [a, b, c], more: [a, b, c, d, d], replaced: [a, b, c, claim(9)] }
  for (const [name, other] of Object.entries(others)) t.equal(refusalOf(signedBatch(other, { signature })), 'signature_invalid', name)
  t.equal(refusalOf(signedBatch(list, { signature: signBatch(list, agent, realmHashOf('other')) })), 'signature_invalid')
  t.equal(refusalOf(signedBatch(list, { signature: signBatch(list, stranger) })), 'signature_invalid')
  const [one] = list as [Assertion]
  t.equal(refusalOf(signedBatch([one], { signature: singly(one).signature! })), 'signature_invalid', 'a single signature as a batch\'s')
  t.equal(codesOf(unsigned([{ assertion: encodeAssertion(one), signature: signBatch([one]) }]))[0], 'signature_invalid', 'and the other way round')
})

t.test('every assertion of a signed batch carries its agent', async (t) => {
  const list = [claim(0), claim(1, { agent: stranger.publicKey }), claim(2)]
  t.match(check(signedBatch(list)), { refusedIndex: 1, acceptedCount: 0, count: 3 })
  t.equal(refusalOf(signedBatch(list)), 'agent_mismatch')
  t.equal(required.detail, 'assertions/1/agent')
  t.equal(refusalOf(encodeBatch({ requestId: 1n, agent: agent.publicKey, items: bare(claims(2)) })), 'signature_missing')
  t.equal(refusalOf(encodeBatch({ requestId: 1n, signature: signBatch(claims(2)), items: bare(claims(2)) })), 'field_missing')
  t.equal(refusalOf(encodeBatch({ requestId: 1n, agent: agent.publicKey, items: bare(claims(2)) }), optional), 'signature_missing')
})

t.test('single signatures are refused one by one', async (t) => {
  const wrong = singly(claim(2))
  const frame = unsigned([
    singly(claim(0)), { assertion: encodeAssertion(claim(1)) }, { assertion: encodeAssertion(claim(3)), signature: wrong.signature! },
    singly(claim(4), stranger), singly(claim(5), agent, realmHashOf('other')), singly(claim(6, { agent: stranger.publicKey }), stranger),
    { assertion: encodeAssertion(claim(7)), signature: new Uint8Array(64).fill(0xff) },
  ])
  t.same(codesOf(frame), ['ok', 'signature_missing', 'signature_invalid', 'signature_invalid', 'signature_invalid', 'ok', 'signature_malformed'])
  t.equal(required.result.acceptedCount, 2)
  t.same(codesOf(frame, optional), ['ok', 'ok', 'signature_invalid', 'signature_invalid', 'signature_invalid', 'ok', 'signature_malformed'])
})

t.test('in a signed batch an assertion\'s own signature counts too', async (t) => {
  const list = claims(2)
  const items = [singly(list[0]!), { assertion: encodeAssertion(list[1]!), signature: singly(list[0]!).signature! }]
  t.same(codesOf(signedBatch(list, { items })), ['ok', 'signature_invalid'])
})

t.test('weak keys are refused, signed or not', async (t) => {
  const golden = (JSON.parse(readFileSync(join(repoRoot, 'test/vectors/ed25519.json'), 'utf8')) as
    { cases: { name: string; publicKey: string; signature: string }[] }).cases
  const forged = golden.filter(({ name }) => name.startsWith('forged'))
  t.equal(forged.length, 14)
  for (const { name, publicKey, signature } of forged) {
    const key = fromHex(publicKey)!
    const list = Array.from({ length: 8 }, (_, i) => claim(i, { agent: key }))
    const forgery = fromHex(signature)!
    t.equal(refusalOf(signedBatch(list, { agent: key, signature: forgery })), 'key_weak', name)
    t.ok(codesOf(unsigned(list.map((a) => ({ assertion: encodeAssertion(a), signature: forgery })))).every((code) => code === 'key_weak'))
    t.ok(codesOf(unsigned(bare(list)), optional).every((code) => code === 'key_weak'))
  }
  for (const { name, signature } of golden.filter(({ name }) => name.startsWith('R y') || name.startsWith('R order'))) {
    t.equal(refusalOf(signedBatch(claims(2), { signature: fromHex(signature)! })), 'signature_malformed', name)
  }
})

t.test('a broken claim refuses a signed batch, and itself in an unsigned one', async (t) => {
  const list = claims(6)
  const items = bare(list).map((item, i) => i === 3 || i === 4 ? { assertion: breakClaim(item.assertion) } : item)
  t.equal(refusalOf(signedBatch(list, { items })), 'field_invalid')
  t.match(required.result, { refusedIndex: 3, acceptedCount: 0 })
  t.equal(required.detail, 'assertions/3/subject')

  const result = check(unsigned(items, BATCH_FLAG_RECEIPT), optional)
  t.match(result, { refused: 0, count: 6, acceptedCount: 4, wantsReceipt: true })
  t.same([...result.codes.subarray(0, 6)].map((code) => code !== 0), [false, false, false, true, true, false])
  t.equal(optional.faultFieldOf(4), 'subject')
  t.equal(optional.faultFieldOf(5), '')
  const ids = idsOf(list)
  ids.fill(0, 3 * 32, 5 * 32)
  t.same(result.ids.slice(0, 6 * 32), ids)
  t.same(result.root, rootOfIds(ids), 'a receipt\'s root, zeros where there is no id')
})

t.test('what policy refuses is refused alone, in both kinds of batch', async (t) => {
  const list = [
    claim(0), claim(1, { assertedAtMs: NOW_MS + 1001 }), claim(2, { assertedAtMs: NOW_MS + 1000 }),
    claim(3, { vector: new Float32Array(17).fill(1) }), claim(4, { vector: new Float32Array(16).fill(1) }),
  ]
  const expected = ['ok', 'field_invalid', 'ok', 'field_too_long', 'ok']
  t.same(codesOf(signedBatch(list)), expected)
  t.equal(required.result.acceptedCount, 3)
  t.same(required.result.ids.slice(32, 64), assertionIdOf(list[1]!), 'refused, but it has an id')
  t.same(codesOf(unsigned(bare(list)), optional), expected)
})

t.test('counts, flags and roots', async (t) => {
  t.equal(refusalOf(unsigned([])), 'batch_empty')
  t.equal(refusalOf(signedBatch(claims(301))), 'batch_too_large')
  t.equal(required.result.requestId, 7n)
  t.equal(refusalOf(unsigned(bare(claims(1)), 2), optional), 'field_invalid')
  t.match(check(signedBatch(claims(2), { flags: BATCH_FLAG_RECEIPT })), { refused: 0, wantsReceipt: true, acceptedCount: 2 })
  const result = check(unsigned(bare(claims(2))), optional)
  t.same(result.root, new Uint8Array(32), 'no root that nobody asked for')
})

t.test('no bit of a signed batch can be changed and another claim be accepted', async (t) => {
  const list = claims(2)
  const frame = signedBatch(list)
  const ids = idsOf(list)
  let same = 0
  for (let bit = 0; bit < frame.length * 8; bit++) {
    frame[bit >> 3]! ^= 1 << (bit & 7)
    const result = check(frame)
    if (result.refused === 0) {
      same++
      if (result.count !== 2 || !bytesEqual(result.ids.subarray(0, 64), ids)) t.fail(`bit ${bit}`)
    }
    frame[bit >> 3]! ^= 1 << (bit & 7)
  }
  t.ok(same < frame.length, `${same} flips change nothing that is signed: the request id, flags, padding`)
  t.equal(check(frame).refused, 0)
})

t.test('any bytes get a verdict', async (t) => {
  const frames = [signedBatch(claims(3)), unsigned([singly(claim(0)), singly(claim(1))]), unsigned(bare([claim(2, { vector: Float32Array.of(1, 2) })]))]
  fc.assert(fc.property(
    fc.constantFrom(...frames), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 6 }), fc.nat(1_000_000), fc.nat(40),
    (frame, edits, cut, start) => {
      const bytes = new Uint8Array(new SharedArrayBuffer(start + frame.length))
      bytes.set(frame, start)
      for (const [at, value] of edits) bytes[start + at % frame.length] = value
      const length = cut % 3 === 0 ? cut % (frame.length + 1) : frame.length
      const result = optional.verify(bytes, start, length, NOW_MS)
      return result.count <= POLICY.batchAssertionsMax && result.acceptedCount <= result.count
        && (result.refused === 0 || result.acceptedCount === 0)
    }), { numRuns: 3000 })
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => optional.verify(bytes, 0, bytes.length, NOW_MS).refused !== 0), { numRuns: 2000 })
  t.match(optional.verify(new Uint8Array(0), 0, 0, NOW_MS), { requestId: 0n, count: 0 })
  t.equal(errorNameOf(optional.result.refused), 'malformed_frame')
  t.not(optional.detail, '')
})

t.test('under steme:// there are records only: anything else is refused alone, in a signed batch too', async (t) => {
  const record = claim(1, { ...voteDraft(new Uint8Array(32).fill(3), 0.5) })
  const wrong = [
    claim(2, { subject: 'steme://x' }), claim(3, { ...voteDraft(new Uint8Array(32), 1), object: { kind: 'number', value: 2 } }),
    claim(4, { ...voteDraft(new Uint8Array(32), 1), subject: 'steme://assertion/12' }),
  ]
  const others = [claim(5, { subject: 'steme:/assertion/x' }), claim(6, { subject: 'stemf://x' }), claim(7, { subject: 'Steme://x' }), claim(8, { subject: 'steme:' })]
  const list = [record, ...wrong, ...others]
  const expected = ['ok', ...wrong.map(() => 'record_invalid'), ...others.map(() => 'ok')]
  t.strictSame(codesOf(signedBatch(list)), expected)
  t.equal(required.result.acceptedCount, 5)
  t.strictSame(codesOf(unsigned(list.map((one) => singly(one)))), expected)
  t.strictSame(codesOf(unsigned(bare(list)), optional), expected)
  t.ok(RECORD_SCHEME === 'steme://', 'the words of isRecordSubjectAt are those of the scheme')
})
