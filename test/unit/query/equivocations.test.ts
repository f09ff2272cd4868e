import t from 'tap'
import { toHex } from '../../../src/base/bytes.ts'
import { realmHashOf, singleMessage } from '../../../src/merkle/signed-message.ts'
import { verifyEquivocation, verifyStatement, type EquivocationJson, type StatementJson } from '../../../src/merkle/statement.ts'
import type { EquivocationsDocument } from '../../../src/query/kinds/equivocations.ts'
import { QUERY_EQUIVOCATIONS } from '../../../src/query/kinds/registry.ts'
import { agentFromText, agentToDidKey } from '../../../src/record/agent-key.ts'
import { assertionToJson } from '../../../src/record/assertion.json.ts'
import { assertionIdOf, hashReady } from '../../../src/record/claim.ts'
import { hlcOf } from '../../../src/base/hlc.ts'
import { signMessage, verifySignature as verdictOf } from '../../../src/verify/ed25519.ts'
import { askDocument, executorOver, refusalOf } from './document-ask.ts'
import { NOW_MS, TestLog, agent, claim } from './test-log.ts'

await hashReady

const realm = realmHashOf('test')
const verifySignature = (...given: Parameters<typeof verdictOf>): boolean => verdictOf(...given) === 0
const dose = (value: number): ReturnType<typeof claim> => claim({ object: { kind: 'number', value } })
const pair = { kind: QUERY_EQUIVOCATIONS, subject: 'drug/aspirin', predicate: 'dose' }
const isProven = (json: EquivocationJson): boolean => verifyEquivocation(json, realm, verifySignature)

t.test('a pair proves itself, whether its sides were signed singly or in a batch', async (t) => {
  const log = new TestLog()
  const [single] = log.append([dose(1), claim({ predicate: 'price' })], 'singly')
  const batch = log.append([claim({ subject: 'x' }), claim({ subject: 'y' }), dose(2), claim({ subject: 'z' }), dose(1)], 'batch')
  const document = askDocument<EquivocationsDocument>(executorOver(log), pair)
  t.match(document, { subject: 'drug/aspirin', predicate: 'dose', claims: 3, truncated: false, agents: [toHex(agent.publicKey)], equivocations: { length: 1 } })
  const [found] = document.equivocations
  t.match(found, { asserted_at: NOW_MS, same_source: true })
  t.strictSame(agentFromText(found!.agent), agent.publicKey)
  t.strictSame(found!.statements.map(({ id }) => id).sort(), [toHex(single!), toHex(batch[2]!)].sort())
  t.match(found!.statements.find(({ signed_by }) => signed_by === 'batch'), { batch: { index: 2, count: 5, path: { length: 3 } } })
  t.ok(isProven(found!), 'checked with nothing but the document, the realm and Ed25519')
})

t.test('nothing that was changed is a proof', async (t) => {
  const log = new TestLog()
  log.append([dose(1)], 'singly')
  log.append([claim({ subject: 'x' }), dose(2)], 'batch')
  const { equivocations: [found] } = askDocument<EquivocationsDocument>(executorOver(log), pair)
  t.ok(isProven(found!))
  t.notOk(verifyEquivocation(found!, realmHashOf('other'), verifySignature), 'another realm')
  const [a, b] = found!.statements
  const batch = [a, b].find(({ signed_by }) => signed_by === 'batch')!
  const other = [a, b].find((statement) => statement !== batch)!
  const isBroken = (change: StatementJson, name: string): unknown => t.notOk(isProven({ ...found!, statements: [change, other] }), name)
  isBroken(other, 'the same statement twice')
  isBroken({ ...batch, id: other.id }, 'another id')
  isBroken({ ...batch, assertion: { ...batch.assertion, confidence: 0.51 } }, 'another claim')
  isBroken({ ...batch, signature: other.signature! }, 'another signature')
  isBroken({ ...batch, signature: 'zz' }, 'no signature')
  isBroken({ ...batch, signed_by: 'assertion' }, 'signed otherwise')
  isBroken({ ...batch, signed_by: 'nobody' }, 'signed by nobody')
  isBroken({ ...batch, batch: { ...batch.batch!, index: 0 } }, 'another place')
  isBroken({ ...batch, batch: { ...batch.batch!, count: 3 } }, 'another size')
  isBroken({ ...batch, batch: { ...batch.batch!, path: ['00'.repeat(32)] } }, 'another path')
  isBroken({ ...batch, batch: { ...batch.batch!, path: ['0'] } }, 'no path')
  isBroken({ ...batch, assertion: { ...batch.assertion, confidence: 7 } }, 'no claim at all')
  const { batch: _batch, ...without } = batch
  isBroken(without, 'without its path')
  t.ok(verifyStatement(batch, realm, verifySignature))
})

t.test('two statements that may both stand are no proof', async (t) => {
  const log = new TestLog()
  log.append([dose(1), claim({ object: { kind: 'number', value: 2 }, assertedAtMs: NOW_MS + 1 }), claim({ predicate: 'price', object: { kind: 'number', value: 2 } })], 'singly')
  const document = askDocument<EquivocationsDocument>(executorOver(log), pair)
  t.match(document, { claims: 2, equivocations: { length: 0 }, agents: { length: 0 }, truncated: false })
})

/** The statement that a claim is, signed by itself. */
const statementOf = (assertion: ReturnType<typeof claim>): StatementJson => {
  const id = assertionIdOf(assertion)
  const signature = signMessage(agent.secretKey, singleMessage(realm, id))
  return { id: toHex(id), signed_by: 'assertion', signature: toHex(signature), assertion: assertionToJson(assertion) }
}

const pairOf = (first: ReturnType<typeof claim>, second: ReturnType<typeof claim>): EquivocationJson => ({
  agent: agentToDidKey(first.agent), asserted_at: first.assertedAtMs, same_source: true, statements: [statementOf(first), statementOf(second)],
})

t.test('an honest key is proven to be no equivocator: a proof holds to what a node leaves out', async (t) => {
  const first = dose(1)
  const second = dose(2)
  t.ok(isProven(pairOf(first, second)), 'the tooth')
  const later = { ...second, parent: assertionIdOf(first) }
  const takenBack = (['deprecated', 'rejected', 'retracted'] as const).map((lifecycle) => ({ ...second, lifecycle }))
  for (const openly of [later, ...takenBack]) {
    t.notOk(isProven(pairOf(first, openly)), `parent ${openly.parent !== undefined}, ${openly.lifecycle}`)
    t.notOk(isProven(pairOf(openly, first)), 'the other way round')
    const log = new TestLog()
    log.append([first, openly], 'singly')
    t.match(askDocument<EquivocationsDocument>(executorOver(log), pair), { claims: 2, equivocations: { length: 0 } }, 'nor does the node say so')
  }
  t.ok(isProven(pairOf(first, { ...second, parent: new Uint8Array(32).fill(1) })), 'a parent that is neither excuses nothing')
  t.ok(isProven(pairOf({ ...first, lifecycle: 'approved' }, second)), 'approval is no withdrawal')
})

t.test('anything is taken for a proof, and nothing throws', async (t) => {
  const found = pairOf(dose(1), dose(2))
  const [a, b] = found.statements
  t.ok(isProven(found))
  const odd = [undefined, null, 7, 'text', true, [], {}, [null]]
  const batch = { index: 0, count: 1, root: a.id, path: [] }
  const statements = [
    ...odd, ...Object.keys(a).flatMap((member) => odd.map((value) => ({ ...a, [member]: value }))),
    ...Object.keys(batch).flatMap((member) => odd.map((value) => ({ ...a, signed_by: 'batch', batch: { ...batch, [member]: value } }))),
    ...odd.map((value) => ({ ...a, signed_by: 'batch', batch: value })),
    ...['subject', 'predicate', 'object', 'confidence', 'agent', 'asserted_at'].flatMap((member) => odd.map((value) => ({ ...a, assertion: { ...a.assertion, [member]: value } }))),
  ]
  const proofs = [...odd, ...odd.map((value) => ({ statements: value })), { statements: [a, b, b] }, { statements: [a] }, ...statements.map((statement) => ({ statements: [statement, b] }))]
  for (const proof of proofs) t.equal(isProven(proof as unknown as EquivocationJson), false, JSON.stringify(proof)?.slice(0, 200))
})

t.test('a signature under a weak key proves nothing, whatever the library says of it', async (t) => {
  const weak = new Uint8Array(32)
  weak[0] = 1
  const forged = (value: number): StatementJson => {
    const assertion = { ...dose(value), agent: weak }
    return { ...statementOf(assertion), signature: `01${'00'.repeat(63)}` }
  }
  t.notOk(verifyEquivocation({ ...pairOf(dose(1), dose(2)), statements: [forged(1), forged(2)] }, realm, () => true))
})

t.test('bounded, as of a moment, and refused where it is incomplete', async (t) => {
  const log = new TestLog()
  log.append([dose(0)], 'singly')
  log.append(Array.from({ length: 40 }, (_, i) => dose(i + 1)), 'singly')
  const executor = executorOver(log)
  t.match(askDocument<EquivocationsDocument>(executor, { ...pair, limit: 3 }), { truncated: true, equivocations: { length: 3 } })
  const early = askDocument<EquivocationsDocument>(executor, { ...pair, asOfHlc: hlcOf(NOW_MS + 1, 0) })
  t.match(early, { claims: 1, equivocations: { length: 0 } })
  const small = askDocument<EquivocationsDocument>(executorOver(log, { replyBytesMax: 32 * 1024 }), pair)
  t.equal(small.truncated, true)
  t.ok(small.equivocations.length > 0 && small.equivocations.length < 30)
  const { predicate: _predicate, ...noPredicate } = pair
  for (const wrong of [noPredicate, { ...pair, subject: '' }, { ...pair, predicate: '' }, { ...pair, predicate: 'a\0' }, { ...pair, limit: 5000 }]) {
    t.equal(refusalOf(executor, wrong), 'parameter_invalid')
  }
})
