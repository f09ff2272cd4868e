import fc from 'fast-check'
import t, { type Test } from 'tap'
import { toHex } from '../../../src/base/bytes.ts'
import { hlcOf } from '../../../src/base/hlc.ts'
import { realmHashOf } from '../../../src/merkle/signed-message.ts'
import { verifyEquivocation } from '../../../src/merkle/statement.ts'
import { QUERY_TRACE } from '../../../src/query/kinds/registry.ts'
import { TRACE_DEPTH_MAX, TRACE_PROOFS_MAX, type TraceDocument } from '../../../src/query/kinds/trace.ts'
import type { RecordReader } from '../../../src/query/record-reader.ts'
import type { QueryExecutor } from '../../../src/query/execute.ts'
import { TRACE_NODES_MAX, type AssertionNode } from '../../../src/query/trace-graph.ts'
import { TRACE_TEXT_LENGTH_MAX, TRACE_VOTES_MAX } from '../../../src/query/trace-walk.ts'
import type { Assertion } from '../../../src/record/assertion.ts'
import { assertionIdOf, hashReady } from '../../../src/record/claim.ts'
import { epochDraft, epochWithdrawalDraft, outcomeDraft, sourceDrafts, voteDraft, type RecordDraft } from '../../../src/record/records.ts'
import { verifySignature } from '../../../src/verify/ed25519.ts'
import { askDocument, executorOver, refusalOf } from './document-ask.ts'
import { NOW_MS, TestLog, agent, claim } from './test-log.ts'

await hashReady

const key = (n: number): Uint8Array => new Uint8Array(32).fill(n)
const number = (value: number): Assertion['object'] => ({ kind: 'number', value })
const record = (draft: RecordDraft, by: Uint8Array, at = NOW_MS): Assertion => ({ sourceClass: 5, ...draft, agent: by, assertedAtMs: at }) as Assertion
const trace = (executor: QueryExecutor, id: Uint8Array, depth = 0, change: object = {}): TraceDocument =>
  askDocument<TraceDocument>(executor, { kind: QUERY_TRACE, id, depth, ...change })

/** Edges with names in place of hashes. */
function edgesOf(document: TraceDocument, names: Readonly<Record<string, Uint8Array>>): string[] {
  const byHex = new Map(Object.entries(names).map(([name, id]) => [toHex(id), name]))
  const named = (ref: string): string => byHex.get(ref.slice(ref.indexOf(':') + 1)) ?? ref
  return document.edges.map(({ from, to, kind }) => `${named(from)} ${kind} ${named(to)}`).sort()
}

/** Of any trace: what edges name is there, once; depth is that of the shortest way. */
function isSound(t: Test, { id, nodes, edges, depth }: TraceDocument): void {
  const depths = new Map(nodes.map((node) => [`${node.node}:${node.id}`, node.depth]))
  t.equal(depths.size, nodes.length, 'no node twice')
  t.equal(new Set(edges.map((edge) => JSON.stringify(edge))).size, edges.length, 'no edge twice')
  t.ok(edges.every(({ from, to }) => depths.has(from) && depths.has(to)), 'edges join nodes that are there')
  t.equal(depths.get(`assertion:${id}`), 0)
  const isReached = nodes.every((node) => node.depth === 0 || edges.some(({ from, to }) => {
    const [a, b] = [depths.get(from)!, depths.get(to)!]
    return (to === `${node.node}:${node.id}` && a === node.depth - 1) || (from === `${node.node}:${node.id}` && b === node.depth - 1)
  }))
  t.ok(isReached, 'each node hangs on one a step nearer')
  t.ok(nodes.every((node) => node.depth <= depth))
}

t.test('versions, the source and who else cites it, the epoch and what took its place, votes, the agent', async (t) => {
  const log = new TestLog()
  const source = key(0x77)
  const [epoch] = log.append([record(epochDraft({ name: 'old label' }), key(5))])
  const [epoch2] = log.append([record(epochDraft({ name: 'new label', supersedes: epoch!, reason: 'the trial ended' }), key(5))])
  const first = claim({ sourceHash: source, sourceUri: 'https://example.org/a', epoch: epoch!, agent: key(1) })
  const [one] = log.append([first])
  const [two] = log.append([claim({ object: number(2), parent: one!, agent: key(1) })])
  const [back] = log.append([claim({ object: number(2), parent: two!, agent: key(1), lifecycle: 'retracted' })])
  const [citing] = log.append([claim({ object: number(7), sourceHash: source, agent: key(2) })])
  log.append([claim({ predicate: 'price', sourceHash: source, agent: key(3) })])
  const [registered] = log.append([record(sourceDrafts({ hash: source, title: 'The trial' })[0]!, key(4))])
  log.append([record(voteDraft(one!, -1), key(6))])
  const [vote] = log.append([record(voteDraft(one!, 0.5), key(6), NOW_MS + 1)])
  log.append([record(voteDraft(one!, 1), key(7))])
  log.append([record(voteDraft(one!, 0), key(7), NOW_MS + 1)])
  const names = { one: one!, two: two!, back: back!, citing: citing!, epoch: epoch!, epoch2: epoch2!, source, registered: registered!, vote: vote!,
    a1: key(1), a2: key(2), a4: key(4), a5: key(5), a6: key(6) }
  const executor = executorOver(log)

  const near = trace(executor, one!, 1)
  isSound(t, near)
  t.strictSame(edgesOf(near, names), [
    'one asserted_by a1', 'one cites source', 'one in_epoch epoch', 'two parent one', 'vote votes_on one',
  ])
  t.match(near, { id: toHex(one!), depth: 1, unexpanded: 4, truncated: false, bounds: [], equivocations: [] })

  const all = trace(executor, one!)
  isSound(t, all)
  t.strictSame(edgesOf(all, names), [
    'back asserted_by a1', 'back parent two', 'citing asserted_by a2', 'citing cites source', 'epoch asserted_by a5', 'epoch2 asserted_by a5', 'epoch2 supersedes epoch',
    'one asserted_by a1', 'one cites source', 'one in_epoch epoch', 'registered asserted_by a4', 'registered registers source', 'two asserted_by a1', 'two parent one',
    'vote asserted_by a6', 'vote votes_on one',
  ], 'its pair only: who says something else of that source is not asked')
  t.match(all.nodes[0], { node: 'assertion', id: toHex(one!), depth: 0, lsn: 3, signed_by: 'nobody', assertion: { subject: 'drug/aspirin', source_uri: 'https://example.org/a' } })
  t.match(all.nodes.filter(({ node }) => node === 'assertion').map((node) => node as AssertionNode).filter(({ stands }) => stands !== undefined)
    .map(({ id, stands }) => [id, stands]).sort(), [[one!, false], [two!, false], [back!, false], [citing!, true]].map(([id, stands]) => [toHex(id as Uint8Array), stands]).sort(),
  'what was replaced or taken back counts no longer')
  const node = (id: Uint8Array): unknown => all.nodes.find((candidate) => candidate.id === toHex(id))
  t.match(node(epoch2!), { node: 'assertion', record: 'epoch', depth: 2, assertion: { note: 'the trial ended' } })
  t.match(node(source), { node: 'source', uris: ['https://example.org/a'], depth: 1 })
  t.match(node(registered!), { record: 'source', depth: 2 })
  t.match(node(key(1)), { node: 'agent', did: /^did:key:z6Mk/, trust: 0.5, equivocates: false })

  const fromEpoch = trace(executor, epoch2!, 1)
  t.strictSame(edgesOf(fromEpoch, names), ['epoch2 asserted_by a5', 'epoch2 supersedes epoch'])
  const fromVote = trace(executor, vote!, 1)
  t.ok(edgesOf(fromVote, names).includes('vote votes_on one'), 'a vote leads to what it is on')
})

t.test('what records say of the moment is asked of the record reader, for that moment', async (t) => {
  const log = new TestLog()
  const [epoch] = log.append([record(epochDraft({ name: 'e' }), key(5))])
  const [one] = log.append([claim({ epoch: epoch! })])
  const asked: unknown[] = []
  const records = (asOfHlc: bigint | undefined): RecordReader => {
    asked.push(asOfHlc)
    return {
      asOfHlc, votesOf: (id) => ({ agreeWeight: id[0]! / 256, disagreeWeight: 2, agreeCount: 3, disagreeCount: 4 }),
      trustOf: (agentKey) => agentKey[0]! / 256, isSuperseded: () => true, aliasesOf: (subject) => [subject],
    }
  }
  const executor = executorOver(log, { records })
  const { nodes } = trace(executor, one!, 3, { asOfHlc: hlcOf(NOW_MS + 2) })
  t.strictSame(asked, [hlcOf(NOW_MS + 2)])
  t.match(nodes.find(({ id }) => id === toHex(one!)), { votes: { agree: 3, disagree: 4, agree_weight: one![0]! / 256, disagree_weight: 2 } })
  t.match(nodes.find(({ id }) => id === toHex(epoch!)), { superseded: true })
  t.match(nodes.find(({ id }) => id === toHex(key(5))), { trust: 5 / 256 })
})

t.test('withdrawals, outcomes, and parents that are not here', async (t) => {
  const log = new TestLog()
  const lost = key(0xee)
  const [orphan] = log.append([claim({ parent: lost, agent: key(1) })])
  t.match(trace(executorOver(log), orphan!, 1).nodes.find(({ id }) => id === toHex(lost)), { node: 'missing', depth: 1 })
  t.strictSame(edgesOf(trace(executorOver(log), orphan!, 1), { orphan: orphan!, lost, a: key(1) }), ['orphan asserted_by a', 'orphan parent lost'])

  const [epoch] = log.append([record(epochDraft({ name: 'e' }), key(5))])
  const [gone] = log.append([record(epochDraft({ name: 'f', supersedes: epoch!, reason: 'r' }), key(5))])
  const [withdrawal] = log.append([record(epochWithdrawalDraft(gone!, { name: 'f', supersedes: epoch!, reason: 'r' }), key(5))])
  t.strictSame(edgesOf(trace(executorOver(log), gone!, 1), { epoch: epoch!, gone: gone!, withdrawal: withdrawal!, a: key(5) }),
    ['gone asserted_by a', 'gone supersedes epoch', 'withdrawal parent gone'])
  const [outcome] = log.append([record(outcomeDraft({ agent: key(9), accurate: false, judged: orphan! }), key(5))])
  t.strictSame(edgesOf(trace(executorOver(log), outcome!, 1), { outcome: outcome!, orphan: orphan!, a5: key(5), a9: key(9) }),
    ['outcome asserted_by a5', 'outcome judges a9', 'outcome parent orphan'])
})

t.test('an equivocation is an edge, and comes with its proof', async (t) => {
  const log = new TestLog()
  const [one, two] = log.append([claim({ object: number(1) }), claim({ object: number(2) })], 'batch')
  const [reply] = log.append([claim({ object: number(3), agent: key(4), parent: one! })])
  const document = trace(executorOver(log), one!)
  isSound(t, document)
  const names = { one: one!, two: two!, reply: reply!, a: agent.publicKey, a4: key(4) }
  t.strictSame(edgesOf(document, names).filter((edge) => edge.includes('equivocates')), [[...[['one', one!], ['two', two!]] as const]
    .sort(([, a], [, b]) => Buffer.compare(a, b)).map(([name]) => name).join(' equivocates ')])
  t.match(document.nodes.find(({ id }) => id === toHex(agent.publicKey)), { equivocates: true })
  t.match(document.nodes.find(({ id }) => id === toHex(key(4))), { equivocates: false })
  t.equal(document.equivocations.length, 1)
  t.ok(verifyEquivocation(document.equivocations[0]!, realmHashOf('test'), (...given) => verifySignature(...given) === 0))
})

t.test('what is traced shows what it contradicts, however much its key has said', async (t) => {
  const log = new TestLog()
  const ids: Uint8Array[] = []
  for (let i = 0; i < 20; i++) ids.push(...log.append(Array.from({ length: 100 }, (_, j) => claim({ object: number(i * 100 + j), assertedAtMs: NOW_MS + i % 4 })), 'batch'))
  const [last] = [...ids].sort(Buffer.compare).slice(-1)
  const executor = executorOver(log)
  for (const [name, id] of Object.entries({ 'of the largest id': last!, oldest: ids[0]!, newest: ids.at(-1)! })) {
    const document = trace(executor, id, 1)
    isSound(t, document)
    const edges = document.edges.filter(({ kind }) => kind === 'equivocates')
    t.ok(edges.length > 0 && edges.every(({ from, to }) => [from, to].some((end) => end.includes(toHex(id)))), `${name}: ${edges.length} edges`)
    t.equal(document.equivocations.length, TRACE_PROOFS_MAX)
    for (const { statements } of document.equivocations) t.ok(statements.some((statement) => statement.id === toHex(id)), `${name}: its own proofs come first`)
  }
})

t.test('who has replaced or taken back one of two things is shown no equivocation', async (t) => {
  for (const excuse of ['parent', 'rejected'] as const) {
    const log = new TestLog()
    const [one] = log.append([claim({ object: number(1) })], 'batch')
    const [two] = log.append([claim({ object: number(2), ...(excuse === 'parent' ? { parent: one! } : excuse === 'rejected' ? { lifecycle: 'rejected' } : {}) })], 'batch')
    for (const id of [one!, two!]) {
      const { edges, equivocations } = trace(executorOver(log), id, 1)
      t.strictSame([edges.filter(({ kind }) => kind === 'equivocates'), equivocations], [[], []], excuse)
    }
  }
  const log = new TestLog()
  const [one] = log.append([claim({ object: number(1) })], 'batch')
  const [two] = log.append([claim({ object: number(2) })], 'batch')
  log.append([claim({ object: number(1), parent: two!, confidence: 0.1 })], 'batch')
  for (const id of [one!, two!]) t.match(trace(executorOver(log), id, 1).equivocations, [{ statements: { length: 2 } }], 'a later word on one of them does not undo that both were said')
})

t.test('a source may have the hash of an assertion without taking its place', async (t) => {
  const log = new TestLog()
  const [one] = log.append([claim({ subject: 'a' })])
  const [two] = log.append([claim({ subject: 'b', sourceHash: one!, parent: one! })])
  const document = trace(executorOver(log), two!, 1)
  isSound(t, document)
  t.strictSame(document.nodes.filter(({ id }) => id === toHex(one!)).map(({ node }) => node).sort(), ['assertion', 'source'])
})

t.test('every bound, by its name', async (t) => {
  const chain = new TestLog()
  let parent: Uint8Array | undefined
  for (let i = 0; i < 40; i++) [parent] = chain.append([claim({ subject: `s/${i}`, ...(parent === undefined ? {} : { parent }) })])
  const far = trace(executorOver(chain), parent!, TRACE_DEPTH_MAX)
  t.match(far, { truncated: false, unexpanded: 1 })
  t.equal(far.nodes.filter(({ node }) => node === 'assertion').length, TRACE_DEPTH_MAX + 1)

  const wide = new TestLog()
  const [start] = wide.append([claim()])
  wide.append(Array.from({ length: 400 }, (_, i) => claim({ object: number(i + 2), parent: start!, agent: key(i % 200) })))
  const cut = trace(executorOver(wide), start!)
  isSound(t, cut)
  t.equal(cut.nodes.length, TRACE_NODES_MAX)
  t.match(cut, { truncated: true })
  t.ok(cut.bounds.includes('nodes') && cut.bounds.includes('agents'))

  const deep = new TestLog()
  const [oldest] = deep.append([claim({ object: number(-1) })])
  for (let i = 0; i < 11; i++) deep.append(Array.from({ length: 100 }, (_, j) => claim({ object: number(i * 100 + j), agent: key(2) })))
  t.match(trace(executorOver(deep), oldest!, 1), { bounds: ['pair'], truncated: true })

  const voted = new TestLog()
  const [popular] = voted.append([claim()])
  voted.append(Array.from({ length: TRACE_VOTES_MAX + 1 }, (_, i) => record(voteDraft(popular!, 1), key(i + 10))))
  const votes = trace(executorOver(voted), popular!, 1)
  t.match(votes, { bounds: ['votes'] })
  t.equal(votes.edges.filter(({ kind }) => kind === 'votes_on').length, TRACE_VOTES_MAX)

  const liar = new TestLog()
  const [lie] = liar.append(Array.from({ length: 12 }, (_, i) => claim({ object: number(i) })), 'singly')
  const caught = trace(executorOver(liar), lie!, 1)
  t.ok(caught.bounds.includes('proofs'))
  t.equal(caught.equivocations.length, TRACE_PROOFS_MAX)

  const long = new TestLog()
  const text = `${'é'.repeat(TRACE_TEXT_LENGTH_MAX - 1)}😀 and more`
  const [wordy] = long.append([claim({ object: { kind: 'text', value: text }, note: 'x'.repeat(2000), vector: new Float32Array(100).fill(1) })])
  const [node] = trace(executorOver(long), wordy!).nodes as AssertionNode[]
  t.strictSame(node!.abridged, ['vector', 'object', 'note'])
  t.equal(node!.assertion.object.value, 'é'.repeat(TRACE_TEXT_LENGTH_MAX - 1), 'no half of a pair of surrogates')
  t.equal(node!.assertion.note!.length, TRACE_TEXT_LENGTH_MAX)

  const [big] = long.append([claim({ subject: 'big' })])
  long.append(Array.from({ length: 100 }, (_, i) => claim({ subject: 'big', object: { kind: 'text', value: `${i}${'y'.repeat(900)}` }, parent: big! })))
  const small = trace(executorOver(long, { replyBytesMax: 64 * 1024 }), big!)
  isSound(t, small)
  t.ok(small.bounds.includes('bytes'))
})

t.test('as of a moment, nothing later is seen', async (t) => {
  const log = new TestLog()
  const [one] = log.append([claim()])
  const [two] = log.append([claim({ object: number(2), parent: one! })])
  log.append([record(voteDraft(one!, 1), key(6))])
  const early = { asOfHlc: hlcOf(NOW_MS + 1, 0xffff) }
  const executor = executorOver(log)
  t.strictSame(edgesOf(trace(executor, one!, 3, early), { one: one!, a: agent.publicKey }), ['one asserted_by a'])
  t.equal(refusalOf(executor, { kind: QUERY_TRACE, id: two!, ...early }), 'not_found')
})

t.test('what is wrong is refused', async (t) => {
  const executor = executorOver(new TestLog())
  t.equal(refusalOf(executor, { kind: QUERY_TRACE }), 'parameter_invalid')
  t.equal(refusalOf(executor, { kind: QUERY_TRACE, id: key(1) }), 'not_found')
  t.equal(refusalOf(executor, { kind: QUERY_TRACE, id: key(1), depth: TRACE_DEPTH_MAX + 1 }), 'parameter_invalid')
})

t.test('any history: sound, the same again, and complete within its depth', async (t) => {
  const arbitrary = fc.array(fc.record({
    subject: fc.constantFrom('a', 'b'), parent: fc.option(fc.nat(30)), source: fc.integer({ min: 0, max: 2 }), agent: fc.integer({ min: 1, max: 3 }),
    object: fc.integer({ min: 0, max: 3 }),
  }), { minLength: 1, maxLength: 15 })
  fc.assert(fc.property(arbitrary, fc.nat(14), fc.integer({ min: 1, max: 6 }), (drafts, start, depth) => {
    const log = new TestLog()
    const claims: Assertion[] = []
    for (const [i, draft] of drafts.entries()) {
      const before = draft.parent === null ? undefined : claims[draft.parent]
      const assertion = claim({
        subject: draft.subject, object: number(draft.object), sourceHash: key(draft.source), agent: key(draft.agent), assertedAtMs: NOW_MS + i,
        ...(before === undefined ? {} : { parent: assertionIdOf(before) }),
      })
      claims.push(assertion)
      log.append([assertion])
    }
    const id = assertionIdOf(claims[start % claims.length]!)
    const document = trace(executorOver(log), id, depth)
    isSound(t, document)
    t.strictSame(trace(executorOver(log), id, depth), document)
    t.equal(document.truncated, false)
    const shown = document.nodes.filter(({ node }) => node === 'assertion').map((node) => node.id).sort()
    t.strictSame(shown, reachable(claims, id, depth))
  }), { numRuns: 100 })
})

/** Ids of the assertions within so many steps, by looking at every pair of claims. */
function reachable(claims: readonly Assertion[], start: Uint8Array, depth: number): string[] {
  const idOf = new Map(claims.map((assertion) => [toHex(assertionIdOf(assertion)), assertion]))
  const hex = (bytes: Uint8Array | undefined): string => bytes === undefined ? '' : toHex(bytes)
  let frontier = new Map<string, unknown>([[toHex(start), 'assertion']])
  const reached = new Map(frontier)
  const sourceVia = new Map<string, string>()
  for (let step = 0; step < depth; step++) {
    const next = new Map<string, unknown>()
    const reach = (name: string, kind: string): void => { if (!reached.has(name)) next.set(name, kind) }
    for (const [name, kind] of frontier) {
      if (kind === 'source') {
        for (const [id, { sourceHash, subject }] of idOf) if (`source ${hex(sourceHash)}` === name && subject === sourceVia.get(name)) reach(id, 'assertion')
        continue
      }
      const of = idOf.get(name)!
      if (of.parent !== undefined) reach(hex(of.parent), 'assertion')
      for (const [id, other] of idOf) if (other.subject === of.subject && hex(other.parent) === name) reach(id, 'assertion')
      if (of.sourceHash[0] !== 0) {
        const source = `source ${hex(of.sourceHash)}`
        if (!reached.has(source) && !next.has(source)) sourceVia.set(source, of.subject)
        reach(source, 'source')
      }
    }
    for (const [name, kind] of next) reached.set(name, kind)
    frontier = next
  }
  return [...reached].filter(([, kind]) => kind === 'assertion').map(([id]) => id).sort()
}
