import { chmodSync, lstatSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, unlinkSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import { ERROR_CODES, type ErrorName } from '../../src/base/error-codes.ts'
import { EXIT } from '../../src/base/exit-codes.ts'
import { recordFault } from '../support/fault-record.ts'
import { pollutedClaims } from '../support/pollution.ts'
import { buildRoot, repoRoot } from '../support/root.ts'
import { StartFailure, startServer, type RunningServer, type ServerOptions } from '../support/server.ts'

t.setTimeout(240_000)

// Nothing that a stranger sends makes the server fail, tell of its insides, or leave its folder; and what it writes is its own.

const AGENT = `58${'66'.repeat(31)}`
const claim = (more: Record<string, unknown> = {}): Record<string, unknown> =>
  ({ subject: 'a/b', predicate: 'p', object: 1, confidence: 0.5, agent: AGENT, asserted_at: 1_700_000_000_000, ...more })

async function serve(t: Test, more: Partial<ServerOptions> = {}): Promise<{ server: RunningServer, dataDir: string }> {
  const parent = mkdtempSync(join(tmpdir(), 'stemedb-hygiene-'))
  const dataDir = join(parent, 'data')
  t.teardown(() => rmSync(parent, { recursive: true, force: true }))
  const server = await startServer({ dataDir, ...more, settings: { signatures: 'optional', walSegmentBytes: 16 * 2 ** 20, verifyThreads: 1, lensThreads: 1, ...more.settings } })
  t.teardown(() => server.kill9())
  return { server, dataDir }
}

interface Sent { readonly method: string, readonly path: string, readonly type?: string, readonly body?: string | Uint8Array, readonly headers?: Record<string, string> }
interface Answer { readonly status: number, readonly type: string, readonly body: string }

/** As it is given: `node:http` normalises no path. */
function send(server: RunningServer, agent: Agent, { method, path, type, body, headers = {} }: Sent): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port: server.port, agent, method, path, headers: { ...headers, ...(type === undefined ? {} : { 'content-type': type }), 'content-length': body === undefined ? 0 : Buffer.byteLength(body) } }
    const sent = request(options, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, type: response.headers['content-type'] ?? '', body: Buffer.concat(chunks).toString() }))
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

/** What an answer must not hold: frames of a stack, places in this program or machine. */
function leakOf(body: string, secrets: readonly string[]): string | undefined {
  const inside = /\n\s+at |\bat (async )?[\w.#<>]+ \(|\.(ts|js|mjs|node):\d+|node_modules|file:\/\/|\/(home|root|tmp|work|usr|etc|var|opt)\/\w|\.wal\b|\.sst\b|node\.key|root:x:/.exec(body)
  return inside?.[0] ?? secrets.find((secret) => body.includes(secret))
}

/** Undefined where an answer is as it should be. */
function faultOf(answer: Answer, method: string, secrets: readonly string[]): string | undefined {
  // What the client said itself may be said back to it.
  const leak = leakOf(answer.body.replaceAll('../../etc/passwd', ''), secrets)
  if (leak !== undefined) return `it tells ${leak}`
  if (answer.status >= 500 || answer.status < 200) return `status ${answer.status}`
  // The HTTP parser refuses heads over 4 KiB before anything of ours sees them, in its own words.
  if (answer.status < 400 || answer.status === 431) return undefined
  if (!answer.type.startsWith('application/problem+json')) return `a refusal as ${answer.type}`
  if (method === 'HEAD') return undefined
  const { code, status, type } = JSON.parse(answer.body) as { code: string, status: number, type: string }
  if (!Object.hasOwn(ERROR_CODES, code)) return `an unknown code ${code}`
  return ERROR_CODES[code as ErrorName].httpStatus === answer.status && status === answer.status && type === `/problems/${code}` ? undefined : `${code} with ${answer.status}`
}

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND']
const VALUES = ['', '%', '%00', '%ff', '%zz', '%C3%28', '__proto__', '-1', '1e309', '9'.repeat(30), 'x'.repeat(3000), '../../etc/passwd', '..%2f..%2fetc%2fpasswd', "'%20or%201=1--", '%0d%0ax:%20y', '{}', '[]', 'null', '%F0%9F%92%A7']
const BODIES: readonly (string | Uint8Array)[] = [
  '', ' ', '{', '}', '[', '[[]]', 'null', 'true', '1', '"x"', '{}', '[{}]', '[null]', '{"a":1,"a":2}', '{"subject":1}', `${'['.repeat(5000)}`, `${'[['.repeat(100)}${']]'.repeat(100)}`, '1e999', '{"confidence":1e999}',
  '"\\ud800"', '\u0000', '\ufeff{}', Uint8Array.of(0xff, 0xfe, 0x00), Uint8Array.of(0x1f, 0x8b, 8, 0), new Uint8Array(64), Buffer.from('\x14\0\0\0SBAT\xff\xff\xff\xff\0\0\0\0', 'latin1'),
  JSON.stringify(claim({ object: { type: 'nothing', value: 1 } })), JSON.stringify(claim({ vector: Array.from({ length: 5000 }, () => 1) })), JSON.stringify(claim({ asserted_at: 1e300 })), JSON.stringify([claim(), {}, null, 5]),
]
const TYPES = ['application/json', 'application/x-ndjson', 'application/vnd.stemedb.batch', 'text/plain', 'application/json; charset=latin1', 'application/json;;;=', ';', 'multipart/form-data; boundary=x']
const HEADERS = [{ accept: 'text/html' }, { accept: ';q=,,' }, { 'content-encoding': 'gzip' }, { 'if-none-match': '"'.repeat(100) }, { authorization: 'Bearer x' }, { range: 'bytes=0-' }, { 'x-forwarded-for': '::1' }, { cookie: 'a'.repeat(2000) }, { 'accept-encoding': 'gzip, deflate, br' }]

interface OpenApi { readonly paths: Record<string, Record<string, { parameters?: { name: string, in: string }[], requestBody?: object }>> }

/** Every path with every method, and with every wrong input for what the document says it takes. */
function requestsOf({ paths }: OpenApi): Sent[] {
  const all: Sent[] = []
  for (const [template, operations] of Object.entries(paths)) {
    const path = template.replaceAll(/\{\w+\}/g, 'x')
    for (const method of METHODS) for (const headers of [{}, ...HEADERS]) all.push({ method, path, headers })
    for (const value of VALUES) {
      all.push({ method: 'GET', path: `${path}?${value}` }, { method: 'GET', path: `${path}?${value}=1&verbose=${value}` })
      if (template.includes('{')) all.push({ method: 'GET', path: template.replaceAll(/\{\w+\}/g, value) })
    }
    for (const [method, { parameters = [], requestBody }] of Object.entries(operations)) {
      const inQuery = parameters.filter((one) => one.in === 'query').map(({ name }) => name)
      for (const name of inQuery) for (const value of VALUES) all.push({ method: method.toUpperCase(), path: `${path}?${name === 'subject' ? '' : 'subject=a&'}${name}=${value}` })
      if (requestBody !== undefined) for (const type of TYPES) for (const body of BODIES) all.push({ method: method.toUpperCase(), path, type, body })
    }
  }
  return all
}

const TRAVERSALS = ['/../../../etc/passwd', '/v1/assertions/../../../../etc/passwd', '/v1/assertions/..%2f..%2fnode.key', '/v1/assertions/%2e%2e/%2e%2e/data/node.key', '/problems/..%2f..%2f..%2fetc%2fpasswd',
  '/problems/....//....//etc/passwd', '/v1/assertions/..\\..\\node.key', '/openapi.json/../../node.key', '//etc/passwd', '/v1//query', '/v1/./health/', '/%2e%2e%2f%2e%2e%2fetc/passwd', '/v1/assertions/%00/etc/passwd', '/.git/config', '/data/node.key', '/node.key', '/wal/0000000001.wal']

/** Runs them over a few connections; gives what was wrong. */
async function judge(server: RunningServer, requests: readonly Sent[], secrets: readonly string[]): Promise<{ faults: string[], statuses: Map<number, number> }> {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 })
  const faults: string[] = []
  const statuses = new Map<number, number>()
  let next = 0
  await Promise.all(Array.from({ length: 8 }, async () => {
    while (next < requests.length) {
      const one = requests[next++]!
      const answer = await send(server, agent, one)
      statuses.set(answer.status, 1 + (statuses.get(answer.status) ?? 0))
      const fault = faultOf(answer, one.method, secrets)
      if (fault !== undefined) faults.push(`${one.method} ${one.path.slice(0, 80)} ${one.type ?? ''} ${String(one.body).slice(0, 60)}: ${fault}: ${answer.body.slice(0, 200)}`)
    }
  }))
  agent.destroy()
  return { faults, statuses }
}

let asked = 0
let failed = 0

t.test('every route, every method, every wrong input: a problem with a stable code, never a failure', async (t) => {
  const { server, dataDir } = await serve(t)
  const secrets = [dataDir, repoRoot, readFileSync(join(dataDir, 'node.key'), 'latin1').trim()]
  const document = await (await fetch(`${server.url}/openapi.json`)).json() as OpenApi
  const requests = [...requestsOf(document), ...TRAVERSALS.flatMap((path) => ['GET', 'POST'].map((method) => ({ method, path })))]
  t.ok(requests.length > 1500, `${requests.length} requests`)
  const { faults, statuses } = await judge(server, requests, secrets)
  t.strictSame(faults, [])
  t.ok([200, 400, 404, 405, 415, 422].every((status) => (statuses.get(status) ?? 0) > 0), `statuses ${JSON.stringify([...statuses])}`)
  t.equal((await fetch(`${server.url}/livez`)).status, 200)
  asked += requests.length
  failed += faults.length
})

t.test('no JSON reaches a prototype of the server', async (t) => {
  const preload = [pathToFileURL(join(buildRoot, 'test', 'support', 'watch-prototypes.js')).href]
  const { server } = await serve(t, { preload })
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => agent.destroy())
  const texts = pollutedClaims(claim())
  for (const body of texts) {
    for (const [path, type] of [['/v1/assert', 'application/json'], ['/v1/assert/batch', 'application/x-ndjson']] as const) {
      const answer = await send(server, agent, { method: 'POST', path, type, body })
      const told = path.endsWith('batch') ? /"refused":1,/.test(answer.body) && /"created":0/.test(answer.body) : answer.status === 400 || answer.status === 422
      if (!told) t.fail(`${body} was answered ${answer.status} ${answer.body}`)
      asked++
    }
  }
  const without = await send(server, agent, { method: 'POST', path: '/v1/assert', type: 'application/json', body: '{}' })
  t.match(JSON.parse(without.body), { code: 'field_missing', pointer: '/subject' }, 'nothing is inherited')
  t.match(await send(server, agent, { method: 'GET', path: '/problems/polluted' }), { status: 404 })
  t.match(await send(server, agent, { method: 'GET', path: '/v1/query?subject=a&__proto__=1' }), { status: 400 })
  t.match(await send(server, agent, { method: 'POST', path: '/v1/assert', type: 'application/json', body: JSON.stringify(claim()) }), { status: 201 }, 'the control: the claim itself is taken')
  await new Promise((resolve) => setTimeout(resolve, 200))
  t.notMatch(server.logs(), /PROTOTYPE POLLUTED/)

  const pollute = `data:text/javascript,${encodeURIComponent('setTimeout(() => Object.defineProperty(Object.prototype, "polluted", { value: 1 }), 100)')}`
  const { server: mutant } = await serve(t, { preload: [...preload, pollute] })
  for (let i = 0; i < 100 && !mutant.logs().includes('PROTOTYPE POLLUTED'); i++) await new Promise((resolve) => setTimeout(resolve, 100))
  t.match(mutant.logs(), /PROTOTYPE POLLUTED/, 'the tooth: the watch in the server sees it')
})

t.test('what a failing disk says stays in the log', async (t) => {
  const { server, dataDir } = await serve(t)
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => agent.destroy())
  const stored = JSON.parse((await send(server, agent, { method: 'POST', path: '/v1/assert', type: 'application/json', body: JSON.stringify(claim()) })).body) as { id: string, lsn: number }
  await send(server, agent, { method: 'GET', path: `/v1/query?subject=none&min_lsn=${stored.lsn}` })
  // The threads that answer have not opened the segment yet: to them its name leads in a circle.
  const segment = join(dataDir, 'wal', '0000000001.wal')
  unlinkSync(segment)
  symlinkSync(segment, segment)
  const answer = await send(server, agent, { method: 'GET', path: `/v1/assertions/${stored.id}` })
  t.match([answer.status, JSON.parse(answer.body)], [500, { code: 'io_error' }])
  t.equal(leakOf(answer.body, [dataDir]), undefined, answer.body)
  for (let i = 0; i < 50 && !/ELOOP/.test(server.logs()); i++) await new Promise((resolve) => setTimeout(resolve, 100))
  t.match(server.logs(), /ELOOP/, 'the log has it')
  t.ok(leakOf(`{"detail":"ELOOP: too many symbolic links, open '${segment}'"}`, []) !== undefined, 'the tooth: the error as it is would be a leak')
  t.ok(leakOf('Error: x\n    at run (src/a.ts:1:2)', []) !== undefined, 'and a stack, too')
})

/** Modes of everything in a folder that others may use. */
function open(dir: string): string[] {
  const names = ['', ...readdirSync(dir, { recursive: true, encoding: 'utf8' })]
  return names.flatMap((name) => {
    const { mode } = lstatSync(join(dir, name))
    return (mode & 0o077) === 0 ? [] : [`${name || '.'} ${(mode & 0o777).toString(8)}`]
  })
}

t.test('what it writes is for its owner, whatever the umask; a key that others may read is refused', async (t) => {
  const { server, dataDir } = await serve(t, { wrapper: ['sh', '-c', 'umask 000; exec "$@"', 'sh'] })
  const stored = await fetch(`${server.url}/v1/assert`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(claim()) })
  t.equal(stored.status, 201)
  await server.stop()
  t.strictSame(open(dataDir), [])
  t.ok(readdirSync(join(dataDir, 'db')).length > 0 && readdirSync(join(dataDir, 'wal')).length > 0)
  for (const mode of [0o640, 0o604, 0o660]) {
    chmodSync(join(dataDir, 'node.key'), mode)
    t.strictSame(open(dataDir), [`node.key ${mode.toString(8)}`], 'the tooth: it shows')
    const refusal = await startServer({ dataDir, settings: { walSegmentBytes: 16 * 2 ** 20 } }).then(() => undefined, (error: unknown) => error)
    t.ok(refusal instanceof StartFailure && refusal.exit?.code === EXIT.config && /can be read by others/.test(refusal.logs), mode.toString(8))
  }
})

/** The head of the answer to an upgrade that offers these extensions. */
function upgrade(server: RunningServer, extensions: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(server.port, '127.0.0.1')
    socket.once('data', (data) => {
      resolve(data.toString('latin1').split('\r\n\r\n')[0]!)
      socket.destroy()
    })
    socket.once('error', reject)
    socket.write(`GET /v1/stream HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: stemedb.v1\r\nsec-websocket-extensions: ${extensions}\r\n\r\n`)
  })
}

t.test('compression is never agreed on', async (t) => {
  const { server } = await serve(t)
  for (const offered of ['permessage-deflate', 'permessage-deflate; client_max_window_bits', 'permessage-deflate; server_no_context_takeover; client_no_context_takeover', 'x-webkit-deflate-frame', 'permessage-deflate, permessage-bzip2']) {
    const head = await upgrade(server, offered)
    t.match(head, /^HTTP\/1\.1 101 /, offered)
    t.notMatch(head, /sec-websocket-extensions/i, offered)
  }
})

t.test('what is installed is what was locked, on a Node that is said to be right', async (t) => {
  const read = (path: string): string => readFileSync(join(repoRoot, path), 'utf8')
  for (const path of ['.ci/run', 'deploy/Dockerfile', 'README.md']) {
    t.match(read(path), /npm ci\b/, path)
    t.notMatch(read(path), /npm (install|i|update|add)\b|npx (--yes|-y)/, path)
  }
  const { engines: { node } } = JSON.parse(read('package.json')) as { engines: { node: string } }
  const lines = node.split('||').map((range) => /^\s*\^(\d+)\.(\d+)\.\d+\s*$/.exec(range)?.slice(1).map(Number) ?? [])
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  t.ok(lines.some(([wantedMajor, least]) => major === wantedMajor && minor >= least!), `Node ${process.versions.node} is in ${node}`)
  for (const [wantedMajor, least] of lines) t.match(read('README.md'), new RegExp(`\\b${wantedMajor}\\.${least}\\b`), 'and the first page says so')
  recordFault({
    id: 'S10', title: 'every route, method and wrong input; prototypes; paths; modes; compression', trials: asked, unit: 'requests', failures: failed,
    tooth: 'a prototype written to in the server is seen; a path or a stack in a body is seen; a readable key is refused',
  })
})
