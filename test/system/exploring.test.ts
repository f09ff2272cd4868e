import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { connect, createSigner, realmHashOf, toHex, verifyEquivocation, type Equivocations } from '../../src/client/client.ts'
import { verifySignature } from '../../src/verify/ed25519.ts'
import { startServer, type RunningServer, type Settings } from '../support/server.ts'
import { requireTool } from '../support/tools.ts'
import { clientEnv, stemedb } from './command.ts'
import { curl, get, postJson, type CurlAnswer } from './curl.ts'

t.setTimeout(240_000)

// How claims hang together, what they are about, who contradicts itself, and who asked: through real HTTP.

if (!requireTool(t, 'curl')) process.exit()

const AGENT = `58${'66'.repeat(31)}`
const OTHER = `${'66'.repeat(31)}58`

function folderFor(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'stemedb-exploring-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

async function serve(t: Test, dataDir: string, settings: Settings = {}): Promise<RunningServer> {
  const server = await startServer({ dataDir, settings: { signatures: 'optional', walSegmentBytes: 16 * 2 ** 20, ...settings } })
  t.teardown(() => server.kill9())
  return server
}

let made = 0
async function claim(server: RunningServer, more: Record<string, unknown> = {}): Promise<{ id: string, lsn: number }> {
  const answer = await postJson(`${server.url}/v1/assert`,
    { subject: 'drug/aspirin', predicate: 'dose', object: 500, confidence: 0.9, agent: AGENT, asserted_at: 1_700_000_000_000 + made++, ...more })
  t.equal(answer.status, 201, answer.body)
  return answer.json() as { id: string, lsn: number }
}

function isProblem(t: Test, answer: CurlAnswer, status: number, code: string, about: string): void {
  t.match({ status: answer.status, type: answer.headers.get('content-type') }, { status, type: /^application\/problem\+json/ }, about)
  t.match(answer.json(), { code, status, request_id: String }, about)
}

type Edge = { from: string, to: string, kind: string }

t.test('trace: the graph, at once after a write, as of a moment, and as a tree', async (t) => {
  const server = await serve(t, folderFor(t))
  const first = await claim(server, { source_hash: '77'.repeat(32), source_uri: 'https://example.org/label' })
  const between = (await get(`${server.url}/v1/assertions/${first.id}`)).json()['hlc'] as string
  const second = await claim(server, { object: 250, parent: first.id })
  const vote = await claim(server, { subject: `steme://assertion/${first.id}`, predicate: 'vote', object: 0.5, agent: OTHER, confidence: 1 })
  const answer = await get(`${server.url}/v1/trace/${first.id.toUpperCase()}?min_lsn=${vote.lsn}`)
  t.equal(answer.status, 200, answer.body)
  t.equal(answer.headers.get('stemedb-seen-lsn'), String(vote.lsn))
  const edges = (answer.json()['edges'] as Edge[]).map(({ from, to, kind }) => `${from} ${kind} ${to}`)
  for (const edge of [
    `assertion:${first.id} asserted_by agent:${AGENT}`, `assertion:${first.id} cites source:${'77'.repeat(32)}`,
    `assertion:${second.id} parent assertion:${first.id}`, `assertion:${vote.id} votes_on assertion:${first.id}`, `assertion:${vote.id} asserted_by agent:${OTHER}`,
  ]) t.ok(edges.includes(edge), edge)
  t.equal(edges.length, 6, 'and the agent of the version')
  const early = (await get(`${server.url}/v1/trace/${first.id}?as_of=${between}`)).json()['edges'] as Edge[]
  t.equal(early.length, 2, 'its agent and source; what came later is not seen')
  isProblem(t, await get(`${server.url}/v1/trace/${second.id}?as_of=${between}`), 404, 'not_found', 'not there yet')

  const env = clientEnv(server, join(folderFor(t), 'agent.key'))
  const tree = await stemedb(['trace', first.id], { env })
  t.equal(tree.code, 0, tree.stderr)
  t.match(tree.stdout, /drug\/aspirin {2}dose {2}500/)
  t.match(tree.stdout, /[├└]─ followed by drug\/aspirin {2}dose {2}250/)
  t.match(tree.stdout, /[├└]─ vote \+0\.5 by /)
  // eslint-disable-next-line no-control-regex
  t.notMatch(tree.stdout, /\u001b/, 'no colours where there is no terminal')
  t.match((await stemedb(['trace', first.id, '--json', '--depth', '1'], { env })).lines(), [{ id: first.id, depth: 1 }])
  t.equal((await stemedb(['trace', '00'.repeat(32)], { env })).code, 1)

  const url = `${server.url}/v1/trace`
  isProblem(t, await get(`${url}/${'00'.repeat(32)}`), 404, 'not_found', 'nobody\'s id')
  for (const wrong of ['xyz', `${first.id}0`, `${first.id}?depth=0`, `${first.id}?depth=17`, `${first.id}?depth=x`, `${first.id}?depth=1&depth=2`, `${first.id}?as_of=`,
    `${first.id}?as_of=yesterday`, `${first.id}?as_of=99999999999999999999`, `${first.id}?min_lsn=-1`, `${first.id}?nonsense=1`, `${first.id}?as_of=%ff`]) {
    isProblem(t, await get(`${url}/${wrong}`), 400, 'parameter_invalid', wrong)
  }
  isProblem(t, await get(`${url}/${first.id}?min_lsn=999999`), 400, 'lsn_in_future', 'an LSN that nobody has')
  isProblem(t, await get(`${url}/${first.id}`, '-H', 'accept: text/html'), 406, 'not_acceptable', 'another media type')
  isProblem(t, await curl(['-X', 'POST', `${url}/${first.id}`]), 405, 'method_not_allowed', 'another method')
})

t.test('concepts: a level at a time, in pages, records left out', async (t) => {
  const server = await serve(t, folderFor(t))
  let last = { id: '', lsn: 0 }
  for (const subject of ['drug/aspirin', 'drug/aspirin/dose', 'drug/ibuprofen/dose', 'rfc://9162/section/2', 'sky', 'ärzte/köln']) last = await claim(server, { subject })
  await claim(server, { subject: `steme://assertion/${last.id}`, predicate: 'vote', object: 1 })
  const url = `${server.url}/v1/concepts`
  type Page = { concepts: { path: string, kind: string }[], cursor?: string }
  const pathsOf = (answer: CurlAnswer): string[] => (answer.json() as unknown as Page).concepts.map(({ path }) => path)
  t.strictSame(pathsOf(await get(`${url}?min_lsn=${last.lsn}`)), ['drug/', 'rfc://', 'sky', 'ärzte/'])
  t.strictSame(pathsOf(await get(`${url}?prefix=drug/`)), ['drug/aspirin', 'drug/aspirin/', 'drug/ibuprofen/'])
  t.strictSame(pathsOf(await get(`${url}?prefix=%C3%A4rzte/`)), ['ärzte/köln'])
  const paged: string[] = []
  for (let cursor: string | undefined, pages = 0; pages === 0 || cursor !== undefined; pages++) {
    const answer = await get(`${url}?prefix=drug/&limit=1${cursor === undefined ? '' : `&cursor=${cursor}`}`)
    paged.push(...pathsOf(answer))
    cursor = (answer.json() as unknown as Page).cursor
  }
  t.strictSame(paged, ['drug/aspirin', 'drug/aspirin/', 'drug/ibuprofen/'])

  const env = clientEnv(server, join(folderFor(t), 'agent.key'))
  const shown = await stemedb(['concepts', 'drug/'], { env })
  t.strictSame(shown.stdout.split('\n').map((line) => line.split('  ')[0]), ['drug/aspirin', 'drug/aspirin/', 'drug/ibuprofen/', ''])
  t.match(shown.stdout, /^drug\/aspirin {2}dose \(1\) {2}\d{4}-/)
  t.match((await stemedb(['concepts', '--json', '--limit', '1'], { env })).lines(), [{ path: 'drug/', kind: 'prefix' }])
  t.equal((await stemedb(['concepts', 'nothing/'], { env })).code, 1)

  for (const wrong of ['limit=0', 'limit=100001', 'limit=1001', 'limit=4294967297', 'cursor=', 'cursor=%21', 'cursor=AAAA', `prefix=${'a'.repeat(1100)}`, 'prefix=a%00b', 'prefix=%80', 'delimiter=x']) {
    isProblem(t, await get(`${url}?${wrong}`), 400, 'parameter_invalid', wrong)
  }
})

t.test('equivocations: a key that signed two things is proven to have, by anybody', async (t) => {
  const dataDir = folderFor(t)
  const server = await serve(t, dataDir, { signatures: 'required' })
  const signer = await createSigner(new Uint8Array(32).fill(3))
  const client = await connect(server.wsUrl, { signer, WebSocket })
  const draft = { subject: 'drug/aspirin', predicate: 'dose', confidence: 1, assertedAtMs: 1_700_000_000_000 }
  const results = await Promise.all([500, 250, 500].map((object, i) => client.assert({ ...draft, object, ...(i === 2 ? { predicate: 'price' } : {}) })))
  const lsn = Math.max(...results.map((result) => result.lsn))
  await client.close()
  const url = `${server.url}/v1/equivocations?subject=drug/aspirin&predicate=dose`
  const document = (await get(`${url}&min_lsn=${lsn}`)).json() as unknown as Equivocations
  t.match(document, { claims: 2, truncated: false, agents: [toHex(signer.publicKey)], equivocations: { length: 1 } })
  t.ok(verifyEquivocation(document.equivocations[0]!, realmHashOf('default'), (...given) => verifySignature(...given) === 0))
  const trace = (await get(`${server.url}/v1/trace/${document.equivocations[0]!.statements[0].id}`)).json()
  t.match(trace['equivocations'], document.equivocations)
  t.match((await get(`${server.url}/v1/equivocations?subject=drug/aspirin&predicate=price`)).json(), { claims: 1, equivocations: [] })
  for (const wrong of ['', '?subject=a', '?predicate=a', '?subject=&predicate=a', `?subject=a&predicate=${'p'.repeat(257)}`, `?subject=${'a'.repeat(1025)}&predicate=p`, '?subject=a&predicate=b&limit=0']) {
    isProblem(t, await get(`${server.url}/v1/equivocations${wrong}`), 400, 'parameter_invalid', wrong)
  }
})

interface Shown { query_id: string, who: { agent?: string, address: string }, parameters: Record<string, unknown>, winners: string[], outcome: string, at: number }

t.test('audit: who asked what, and what won; over a kill -9 with a torn line; within its bound', async (t) => {
  const dataDir = folderFor(t)
  const settings = { auditMode: 'full', auditBytesMax: 2 ** 20 }
  const server = await serve(t, dataDir, settings)
  const { id, lsn } = await claim(server)
  const asked = await get(`${server.url}/v1/query?subject=drug/aspirin&min_lsn=${lsn}`, '-H', `x-agent-id: ${AGENT}`)
  const queryId = asked.headers.get('stemedb-query-id')!
  t.match(queryId, /^[0-9a-f]{24}$/)
  t.match((await get(`${server.url}/v1/audit/${queryId}`)).json(), {
    query_id: queryId, who: { agent: AGENT, address: '127.0.0.1' }, endpoint: 'query', parameters: { kind: 2, subject: 'drug/aspirin', lens: 'recency' },
    outcome: 'answered', answers: 1, candidates: 1, winners: [id], seen_lsn: lsn,
  })
  const refused = await get(`${server.url}/v1/query?subject=drug/aspirin&lens=nonsense`)
  t.equal(refused.status, 400)
  t.match((await get(`${server.url}/v1/audit/${refused.headers.get('stemedb-query-id')}`)).json(), { outcome: 'parameter_invalid', winners: [], who: { address: '127.0.0.1' } })
  t.equal((await get(`${server.url}/v1/audit`)).headers.get('stemedb-query-id'), undefined, 'reading the audit is no query')
  await get(`${server.url}/v1/trace/${id}`)
  const page = (await get(`${server.url}/v1/audit?limit=2`)).json() as unknown as { mode: string, records: Shown[], cursor: string }
  t.match(page, { mode: 'full', records: [{ parameters: { kind: 4, id } }, { outcome: 'parameter_invalid' }], cursor: String })
  t.match((await get(`${server.url}/v1/audit?limit=2&cursor=${page.cursor}`)).json(), { records: [{ query_id: queryId }], cursor: undefined })
  t.match((await get(`${server.url}/v1/audit?agent=${AGENT}`)).json()['records'], [{ query_id: queryId }])
  t.match((await get(`${server.url}/v1/audit?until=${page.records[1]!.at + 1}&from=2001-01-01T00:00:00Z`)).json()['records'], [{ outcome: 'parameter_invalid' }, { query_id: queryId }])

  await server.kill9()
  const audit = join(dataDir, 'audit')
  const [file] = readdirSync(audit)
  appendFileSync(join(audit, file!), '{"query_id":"0123456789abcdef01234567","at":1')
  const again = await serve(t, dataDir, settings)
  const found = (await get(`${again.url}/v1/audit`)).json()['records'] as Shown[]
  t.equal(found.length, 3, 'the torn line is none of them')
  t.match(found[2], { query_id: queryId, winners: [id] })
  t.equal((await get(`${again.url}/v1/audit/${queryId}`)).status, 200)
  isProblem(t, await get(`${again.url}/v1/audit/0123456789abcdef01234567`), 404, 'not_found', 'the torn one')

  const long = encodeURIComponent('x'.repeat(1000))
  const burst = async (): Promise<void> => {
    for (let i = 0; i < 100; i++) {
      const response = await fetch(`${again.url}/v1/query?subject=${long}`, { headers: { 'x-agent-id': OTHER } })
      await response.arrayBuffer()
    }
  }
  await Promise.all(Array.from({ length: 12 }, burst))
  const kept = (await get(`${again.url}/v1/audit?agent=${OTHER}&limit=1000`)).json()['records'] as Shown[]
  t.ok(kept.length > 300 && kept.length < 1000, `${kept.length} of 1200 are kept`)
  const bytes = readdirSync(audit).reduce((sum, name) => sum + statSync(join(audit, name)).size, 0)
  t.ok(bytes <= 2 ** 20, `${bytes} bytes`)
  isProblem(t, await get(`${again.url}/v1/audit/${queryId}`), 404, 'not_found', 'rotated away')
  isProblem(t, await get(`${again.url}/v1/audit?cursor=1-0`), 400, 'parameter_invalid', 'a cursor into what is gone')

  for (const wrong of ['limit=0', 'limit=1001', 'agent=x', 'from=x', 'until=-1', 'cursor=x', 'cursor=99-1', 'who=me']) {
    isProblem(t, await get(`${again.url}/v1/audit?${wrong}`), 400, 'parameter_invalid', wrong)
  }
  for (const wrong of ['x', queryId.toUpperCase() === queryId ? 'y' : queryId.toUpperCase(), `${queryId}0`, '..%2f..%2fnode.key']) {
    isProblem(t, await get(`${again.url}/v1/audit/${wrong}`), 400, 'parameter_invalid', wrong)
  }
  const exit = await again.stop()
  t.equal(exit.code, 0)
  const lastFile = readdirSync(audit).sort().at(-1)!
  t.ok(readFileSync(join(audit, lastFile), 'utf8').endsWith('}\n'), 'a stop writes what was left')

  const off = await serve(t, dataDir)
  t.equal((await get(`${off.url}/v1/query?subject=drug/aspirin`)).headers.get('stemedb-query-id'), undefined)
  t.match((await get(`${off.url}/v1/audit?limit=1`)).json(), { mode: 'off', records: { length: 1 } }, 'what was recorded can still be read')
})
