import { SCHEMA, type TableName } from '../../src/fbs/schema.ts'
import { claimBytesOf, initHash } from '../../src/record/claim.ts'
import { OBJECT_KINDS, type Assertion } from '../../src/record/assertion.ts'
import { AssertionView } from '../../src/wire/assertion-view.ts'
import { decodeAssertion, encodeAssertion } from '../../src/wire/assertion.codec.ts'
import { BatchView, encodeBatch, peekRequestId } from '../../src/wire/batch.codec.ts'
import { claimIdInto, claimIdsInto, claimOfView } from '../../src/wire/claim-id.ts'
import { verifyBuffer } from '../../src/wire/verifier.ts'
import { AssertionFailure } from '../../src/base/assert.ts'
import { encodeIdQuery, encodeQuery } from '../../src/front/query.codec.ts'
import { isBatchFrame, peekAssertionCount } from '../../src/front/frames.codec.ts'
import { planOf } from '../../src/query/plan.ts'
import { LogEntryView, logEntryBytes, writeLogEntry } from '../../src/wire/log-entry.codec.ts'
import { flatbufferMutation } from './flatbuffers.mutations.ts'
import type { FuzzTarget } from './fuzzer.ts'

await initHash()

export function assertions(): Assertion[] {
  const hash = (byte: number): Uint8Array => new Uint8Array(32).fill(byte)
  return OBJECT_KINDS.map((kind, i) => ({
    subject: ['drug/aspirin/safety', 'rfc://9162/section/2', 'Semaglutide:BodyComposition', 'café'][i]!,
    predicate: 'has_risk',
    object: ({
      text: { kind: 'text', value: 'blee💧ding' }, number: { kind: 'number', value: 96.7 }, boolean: { kind: 'boolean', value: true },
      reference: { kind: 'reference', value: 'drug/aspirin' },
    } as const)[kind],
    confidence: i / 3, sourceClass: 2, sourceHash: hash(1), lifecycle: 'approved', agent: hash(2), assertedAtMs: 1_767_225_600_000 + i,
    ...i % 2 === 0 && { sourceUri: 'https://a.example/', epoch: hash(3), vector: Float32Array.of(1, -0.5) },
    ...i > 1 && { parent: hash(4), note: 'a note' },
  }))
}

/** An accepted assertion must come back from plain data as the same claim: one meaning for one id. */
function checkMeaning(view: AssertionView): boolean {
  const claim = claimOfView(view)
  if (typeof claim === 'number') return false
  const plain = decodeAssertion(view.buffer.slice())
  const again = claimBytesOf(plain)
  if (!Buffer.from(again).equals(claim)) throw new Error('the decoded assertion is another claim')
  const encoded = claimOfView(new AssertionView().reset(encodeAssertion(plain)))
  if (typeof encoded === 'number' || !Buffer.from(encoded).equals(claim)) throw new Error('the encoded assertion is another claim')
  return true
}

const id = new Uint8Array(32)

const assertionTarget: FuzzTarget = {
  name: 'assertion',
  seeds: () => assertions().map(encodeAssertion),
  mutations: [flatbufferMutation('Assertion')],
  run(input) {
    if (verifyBuffer('Assertion', input) !== 0) return false
    const view = new AssertionView().reset(input)
    return claimIdInto(view, id, 0) === 0 && checkMeaning(view)
  },
}

const batchTarget: FuzzTarget = {
  name: 'batch',
  seeds() {
    const items = assertions().map((assertion, i) => ({ assertion: encodeAssertion(assertion), signature: i % 2 === 0 ? new Uint8Array(64).fill(i) : undefined }))
    return [
      encodeBatch({ requestId: 0x0123456789abcdefn, flags: 1, items }),
      encodeBatch({ requestId: 1n, agent: new Uint8Array(32).fill(1), signature: new Uint8Array(64).fill(2), items: items.slice(0, 2) }),
      encodeBatch({ requestId: 0n, items: [] }),
    ]
  },
  mutations: [flatbufferMutation('Batch')],
  run(input) {
    const peeked = peekRequestId(input)
    const peekedCount = peekAssertionCount(input, 4096)
    if (verifyBuffer('Batch', input) !== 0) return false
    const view = new BatchView().reset(input)
    if (!isBatchFrame(input) || peekedCount !== Math.min(Math.max(view.count, 1), 4096)) throw new Error('what was peeked is another frame')
    if (peeked !== view.requestId) throw new Error('the request id that was peeked is another one')
    const codes = new Uint16Array(view.count)
    claimIdsInto(view, new Uint8Array(32 * view.count), codes)
    const item = new AssertionView()
    for (let i = 0; i < view.count; i++) {
      if (view.itemSignatureOffset(i) + 64 > input.length) throw new Error('a signature lies outside')
      const taken = checkMeaning(item.reset(input, view.itemOffset(i), view.itemLength(i)))
      if (taken !== (codes[i] === 0)) throw new Error('two ways to check disagree')
    }
    return true
  },
}

/** The verifier alone, on every other root: it must come to an end, and not throw. */
const verifierTarget: FuzzTarget = {
  name: 'verifier',
  seeds: () => [...assertionTarget.seeds(), ...batchTarget.seeds()].slice(0, 6),
  mutations: [flatbufferMutation('Assertion'), flatbufferMutation('Batch')],
  run(input) {
    let taken = false
    for (const root of Object.keys(SCHEMA) as TableName[]) if (verifyBuffer(root, input) === 0) taken = true
    return taken
  },
}

/** The payload of a WAL record. Behind a right checksum a broken one is a bug, and an invariant says so: that is its refusal. */
const logEntryTarget: FuzzTarget = {
  name: 'log-entry',
  seeds: () => batchTarget.seeds().map((batch, i) => {
    const count = [4, 2, 0][i]!
    const entry = new Uint8Array(logEntryBytes(count, batch.length))
    writeLogEntry(entry, 0, { count, ids: new Uint8Array(32 * count).fill(7), codes: new Uint16Array(count) }, batch)
    return entry
  }),
  mutations: [flatbufferMutation('LogEntry')],
  run(input) {
    const entry = new LogEntryView()
    try {
      entry.reset(input)
    } catch (error) {
      if (error instanceof AssertionFailure) return false
      throw error
    }
    if (entry.acceptedCount > entry.count) throw new Error('more are accepted than there are')
    if (entry.idsOffset + 32 * entry.count > input.length || entry.batch.length !== entry.batchLength) throw new Error('a part lies outside')
    return true
  },
}

const LIMITS = { limitMax: 1000 }

const queryRequestTarget: FuzzTarget = {
  name: 'query-request',
  seeds: () => [
    encodeIdQuery(7n, new Uint8Array(32).fill(3)),
    encodeQuery(8n, { subject: 'drug/aspirin', subjectIsPrefix: false, predicate: 'dose', lens: 'recency', limit: 5 }),
    encodeQuery(9n, { subject: '', subjectIsPrefix: true, predicate: undefined, lens: 'recency', limit: 0 }),
  ],
  mutations: [flatbufferMutation('QueryRequest')],
  run(input) {
    const plan = planOf(input, LIMITS)
    if (plan.kind === 'id') return plan.id.length === 32
    if (plan.kind === 'document') return true
    if (plan.limit < 1 || plan.limit > LIMITS.limitMax || plan.subject.length > 1024) throw new Error('a plan beyond its limits')
    if (plan.subject.includes(0) || plan.predicate?.includes(0) === true) throw new Error('a zero reaches into the next part of an index key')
    return true
  },
}

export const wireTargets: readonly FuzzTarget[] = [assertionTarget, batchTarget, verifierTarget, logEntryTarget, queryRequestTarget]
