import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { DbError } from '../../../src/base/errors.ts'
import { EXIT } from '../../../src/base/exit-codes.ts'
import { newSecretKey } from '../../../src/client/client.ts'
import { stateTeller } from '../../../src/cli/connect.ts'
import { nodeSigner } from '../../../src/cli/node-signer.ts'
import { checkpointText, encodeTlogProof, headText, type TreeHead } from '../../../src/merkle/checkpoint.ts'
import { tlogLeafHash } from '../../../src/merkle/tlog.ts'
import { answer, FakeNode, STORED } from '../client/fake-node.ts'
import { run, testConsole, type Ran } from './test-console.ts'

// Whoever is on the other side: silent, hostile, or no node at all.

const ID = 'ab'.repeat(32)
/** Every command that asks and waits. */
const READS = [['query', 'drug/aspirin'], ['get', ID], ['trace', ID], ['concepts'], ['verify', ID]]

/** A peer that answers every request like this. */
async function peer(t: Test, onRequest: (url: string, response: ServerResponse) => void): Promise<string> {
  const http = createServer((request, response) => onRequest(request.url ?? '', response))
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    http.closeAllConnections()
    http.close()
  })
  return `http://127.0.0.1:${(http.address() as AddressInfo).port}`
}

/** Nothing that a terminal obeys, and one line each. */
function areTame(t: Test, { outLines, errLines }: Ran, about: string): void {
  // eslint-disable-next-line no-control-regex
  for (const line of [...outLines, ...errLines].flatMap((text) => text.split('\n'))) t.notMatch(line, /[\u0000-\u001f\u007f-\u009f\u202e]/, about)
  t.equal(errLines.filter((line) => line.startsWith('stemedb: ')).length, errLines.length, `${about}: errors of one line`)
}

t.test('a server that takes the request and says nothing: timeout', async (t) => {
  const silent = await peer(t, () => undefined)
  const halfway = await peer(t, (_url, response) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.write('{')
  })
  for (const url of [silent, halfway]) {
    for (const command of READS) {
      const { code, errLines } = await run([...command, '--url', url, '--timeout', '50ms'])
      t.equal(code, EXIT.unavailable, command.join(' '))
      t.match(errLines, [/gave no answer in 50 ms \[timeout\]/])
    }
  }
  for (const wrong of ['0', 'soon', '-1']) t.equal((await run(['get', ID, '--timeout', wrong])).code, EXIT.usage, wrong)
})

t.test('what is no node is said to be none', async (t) => {
  for (const [status, body] of [[502, '<html>Bad Gateway</html>'], [404, '<html>'], [404, { detail: 'Not Found' }], [500, { code: 'E42', error: 'x' }], [200, '<html>'], [200, ''],
    [200, { hello: 'world' }], [200, []], [200, { answers: [1], nodes: [1], edges: [], concepts: [1], seen_lsn: 1, id: 'x' }]] as const) {
    const url = await peer(t, (_url, response) => answer(response, status, body))
    for (const command of READS) {
      const { code, outLines, errLines } = await run([...command, '--url', url])
      const about = `${command.join(' ')}: ${status} ${JSON.stringify(body)}`
      t.strictSame([code, outLines], [EXIT.unavailable, []], about)
      t.match(errLines, [new RegExp(`that is no StemeDB node, or a proxy answered ${status} \\[unreachable\\]`)], about)
    }
  }
  const newer = await peer(t, (_url, response) => answer(response, 500, { code: 'moon_full', detail: 'Wait.', request_id: 'x' }))
  t.match((await run(['get', ID, '--url', newer])).errLines, [/Wait \[internal\]/], 'a code of a newer node')
})

const EVIL = 'a\u001b[2J\u009d0;x\u0007\nstemedb: fine \u202e'

t.test('what a server says in an error does not drive the terminal', async (t) => {
  const url = await peer(t, (_url, response) => answer(response, 503, { code: 'overloaded', detail: EVIL }))
  for (const command of READS) {
    const ran = await run([...command, '--url', url])
    t.equal(ran.code, EXIT.unavailable)
    areTame(t, ran, command.join(' '))
  }
  const stored = { ...STORED, assertion: { ...STORED.assertion, subject: EVIL, source_class: EVIL, lifecycle: EVIL, agent: `did:key:${EVIL}`, note: EVIL } }
  const liar = await peer(t, (path, response) => answer(response, 200, path.startsWith('/v1/query')
    ? { seen_lsn: 1, truncated: true, cursor: EVIL, listed: [stored], answers: [
      { subject: EVIL, predicate: EVIL, candidates: 1, winner: stored, why: EVIL, status: EVIL, sides: [{ label: EVIL, winner: stored, weight: 1, share: 1, candidates: 1, sources: 1, why: EVIL }],
        explanation: { considered: [{ id: EVIL, lsn: 1, hlc: '1', verdict: EVIL, weight: 1, why: EVIL }], truncated: false, entries_read: 1, claims_read: 1, index_us: 1, read_us: 1, resolve_us: 1, from_cache: false } }] }
    : path.startsWith('/v1/trace')
      ? { id: ID, depth: 1, nodes: [{ node: 'assertion', depth: 0, ...stored, id: EVIL }, { node: 'missing', id: EVIL, depth: 1 }], edges: [{ from: `assertion:${EVIL}`, to: `missing:${EVIL}`, kind: EVIL },
        { from: `assertion:${EVIL}`, to: 'nowhere', kind: 'parent' }], equivocations: [], unexpanded: 0, truncated: true, bounds: [EVIL] }
      : { ...stored, id: EVIL }))
  for (const command of [['query', 'x', '--explain'], ['trace', ID], ['get', ID]]) {
    const { outLines, errLines, code } = await run([...command, '--url', liar])
    t.equal(code, EXIT.ok, errLines.join())
    // eslint-disable-next-line no-control-regex
    for (const line of [...outLines, ...errLines].flatMap((text) => text.split('\n'))) t.notMatch(line, /[\u0000-\u001f\u007f-\u009f\u202e]/, command.join(' '))
  }
})

t.test('nor what it says when it goes away', async (t) => {
  const console = testConsole()
  const tell = stateTeller(console)
  tell({ state: 'up' })
  tell({ state: 'down', reason: new DbError('unreachable', EVIL), retryInMs: 1 })
  tell({ state: 'up' })
  t.match(console.errLines, [/trying again in 1 ms$/, 'connected again'])
  // eslint-disable-next-line no-control-regex
  t.notMatch(console.errLines[0], /[\u0000-\u001f\u007f-\u009f\u202e]/)
})

t.test('nor what a node says of a write', async (t) => {
  const node = await FakeNode.start()
  const dir = mkdtempSync(join(tmpdir(), 'stemedb-peers-'))
  t.teardown(async () => {
    await node.stop()
    rmSync(dir, { recursive: true })
  })
  const to = ['--url', node.url, '--key-file', join(dir, 'agent.key')]
  await run(['keygen', '--key-file', join(dir, 'agent.key')])
  node.refusalDetail = EVIL
  node.onBatch = (batch) => node.refuse(batch, 'signature_invalid')
  const refused = await run(['assert', 'sky', 'colour', 'red', ...to])
  t.equal(refused.code, EXIT.failed)
  t.match(refused.errLines, [/^refused: .*\[signature_invalid\]$/])
  // eslint-disable-next-line no-control-regex
  t.notMatch(refused.errLines[0], /[\u0000-\u001f\u007f-\u009f\u202e]/)
})

t.test('a proof file with another origin than a node\'s', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'stemedb-proofs-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  const signer = nodeSigner(newSecretKey())
  const id = new Uint8Array(32).fill(0xab)
  const proofOf = (origin: string): string => {
    const head: TreeHead = { origin, size: 1, root: tlogLeafHash(id) }
    return encodeTlogProof({ extra: undefined, index: 0, path: [], checkpoint: checkpointText(head, signer.publicKey, signer.sign(new TextEncoder().encode(headText(head)))) })
  }
  const path = join(dir, 'x.tlog-proof')
  const key = Buffer.from(signer.publicKey).toString('hex')
  const verify = async (origin: string): Promise<Ran> => {
    writeFileSync(path, proofOf(origin))
    return run(['verify', path, '--id', ID])
  }
  t.equal((await verify(`stemedb/default/${key}`)).code, EXIT.ok)
  for (const control of ['\u009b', '\u009d', '\u007f']) t.equal((await verify(`stemedb/a${control}2J/${key}`)).code, EXIT.failed, 'control characters are in no checkpoint')
  const turned = await verify(`stemedb/a\u202eb/${key}`)
  t.equal(turned.code, EXIT.ok)
  t.notMatch([...turned.outLines, ...turned.errLines].join('\n'), /\u202e/)
  writeFileSync(path, proofOf('stemedb/a\u202eb/x'))
  areTame(t, await run(['verify', path, '--id', ID, '--key', key, '--realm', 'other']), 'an error')
})

t.test('what is not there: an error, in the form that was asked for', async (t) => {
  const url = await peer(t, (path, response) => (path.startsWith('/v1/concepts') ? answer(response, 200, { concepts: [] }) : answer(response, 404, { code: 'not_found', detail: 'No.', request_id: 'x' })))
  for (const command of [['get', ID], ['trace', ID], ['concepts', 'nothing']]) {
    const json = await run([...command, '--url', url, '--json'])
    t.strictSame([json.code, json.outLines, json.errLines.length], [EXIT.failed, [], 1])
    t.match(JSON.parse(json.errLines[0]!), { error: { code: 'not_found' } })
    t.match((await run([...command, '--url', url])).errLines, [/^stemedb: no .* \[not_found\]/])
  }
  const more = await peer(t, (_path, response) => answer(response, 200, { concepts: [{ path: 'a/', kind: 'prefix' }], cursor: 'x' }))
  t.strictSame(JSON.parse((await run(['concepts', '--limit', '1', '--json', '--url', more])).errLines[0]!), { truncated: true, shown: 1 })
})

t.test('explanations: whose, of what value, and ids that other commands take', async (t) => {
  const considered = (digit: string, verdict: string): object => ({ id: digit.repeat(64), lsn: 1, hlc: '1', verdict, weight: 1, why: 'So.' })
  const explained = (subject: string): object => ({
    subject, predicate: 'dose', candidates: 2, why: '', winner: STORED,
    explanation: { considered: [considered('a', 'won'), considered('b', 'lost')], truncated: false, entries_read: 2, claims_read: 2, index_us: 1, read_us: 1, resolve_us: 1, from_cache: false },
  })
  let subjects = ['drug/a', 'drug/b']
  const url = await peer(t, (path, response) => {
    if (path.startsWith('/v1/query')) return answer(response, 200, { seen_lsn: 1, truncated: false, answers: subjects.map(explained) })
    const id = path.slice(-64)
    return answer(response, 200, { ...STORED, id, assertion: { ...STORED.assertion, object: { type: 'text', value: id.startsWith('b') ? 'the loser' : 'the winner' } } })
  })
  const args = ['query', 'drug/', '--prefix', '--explain', '--url', url]
  const { outLines } = await run(args)
  const [first, second] = ['drug/a  dose', 'drug/b  dose'].map((heading) => outLines.indexOf(heading))
  t.ok(first! > 0 && second! > first! + 2, 'a heading each')
  t.match(outLines[first! + 1], `  won      ${'a'.repeat(64)}  1      the winner  So.`)
  t.match(outLines[first! + 2], `  lost     ${'b'.repeat(64)}  1      the loser  So.`)
  const onTerminal = (await run(args, '', 200)).outLines.join('\n')
  t.match(onTerminal, /lost {5}b{12}… /)
  t.match((await run([...args, '--full-ids'], '', 200)).outLines.join('\n'), `lost     ${'b'.repeat(64)} `)
  subjects = ['drug/a']
  t.notOk((await run(args)).outLines.includes('drug/a  dose'), 'one answer needs none')
})
