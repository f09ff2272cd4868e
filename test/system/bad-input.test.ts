import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { seededRandom } from '../../src/base/random.ts'
import { BadRequests, operationsOf, type ApiRequest, type Operation } from '../support/openapi.bad.ts'
import { ApiClient, faultOf } from '../support/openapi.judge.ts'
import type { ApiDocument, Hints } from '../support/openapi.sample.ts'
import { startServer } from '../support/server.ts'

t.setTimeout(280_000)

/*
 * Bad input to every endpoint, made from the node's own openapi.json: never a 5xx, never a changed state, always a problem document with a stable code that the
 * document names. An endpoint that is added later is tested by itself; where a value must exist for a request to be good, its name gets a line in `hints`.
 *
 * `node dist/test/system/bad-input.test.js 7` takes another seed for the combinations that are made by chance.
 */
const SEED = Number(process.argv[2] ?? 1)
const AGENT = `58${'66'.repeat(31)}`
/** Of faults of one operation, how many are shown. */
const FAULTS_SHOWN_MAX = 8

interface Claim { readonly id: string, readonly lsn: number }

/** Claims that contradict each other: what must be the same afterwards. */
async function seed(client: ApiClient): Promise<Claim> {
  const objects = ['safe', 'unsafe', 3, true]
  const body = objects.map((object, i) => ({
    subject: 'drug/aspirin', predicate: 'verdict', object, confidence: 0.2 * (i + 1), agent: AGENT, source_class: i, asserted_at: 1_700_000_000_000 + i,
  }))
  const answer = await client.send(post('/v1/assert', body))
  t.equal(answer.status, 201, answer.body)
  return (JSON.parse(answer.body) as { results: Claim[] }).results[0]!
}

const post = (target: string, body: unknown): ApiRequest =>
  ({ operationId: '', method: 'POST', target, headers: { 'content-type': 'application/json' }, body: new TextEncoder().encode(JSON.stringify(body)) })

/** Of what is really there. Names of parameters and of members. */
const hintsOf = ({ id }: Claim): Hints => ({
  subject: 'drug/aspirin', predicate: 'verdict', prefix: 'drug/', id, assertion: id, agent: AGENT, key: AGENT, reporter: AGENT, code: 'timeout', asserted_at: 1_700_000_000_000, limit: 5, min_lsn: 0, query_id: '0'.repeat(24),
  hash: 'ab'.repeat(32), path: '0/000',
})

interface Node { readonly document: ApiDocument, readonly client: ApiClient, readonly hints: Hints }

const isStream = ({ operation }: Operation): boolean => 'text/event-stream' in (operation.responses['200']?.content ?? {}) || operation.responses['101'] !== undefined

/** All that reads say, as one text: answers of every operation that reads, to its valid request, with what changes by itself left out. */
async function stateOf({ document, client }: Node, requests: BadRequests): Promise<Map<string, string>> {
  const state = new Map<string, string>()
  const health = JSON.parse((await client.send({ operationId: '', method: 'GET', target: '/v1/health', headers: {} })).body) as { durable_lsn: number }
  state.set('durable_lsn', String(health.durable_lsn))
  const everything = await client.send({ operationId: '', method: 'GET', target: '/v1/query?prefix=drug/&limit=100', headers: {} })
  state.set('everything', everything.body)
  for (const operation of operationsOf(document)) {
    if (operation.method !== 'GET' || !operation.operation.tags.includes('read') || isStream(operation)) continue
    for (const request of requests.valid(operation)) {
      const { status, body } = await client.send(request)
      state.set(`${request.operationId} ${request.target}`, `${status} ${createHash('sha256').update(body.replace(/"request_id":"[0-9a-f]+"/, '')).digest('hex')}`)
    }
  }
  return state
}

/** Faults found in one operation's answers. `refused`: how many bad requests there were. */
async function attack(node: Node, requests: BadRequests, operation: Operation, must: 'refused' | 'odd'): Promise<{ faults: string[], sent: number }> {
  const faults: string[] = []
  let sent = 0
  for (const request of requests.bad(operation)) {
    if (request.must !== must) continue
    sent++
    const asked = `${request.method} ${request.target.slice(0, 160)}: ${request.what.slice(0, 120)}`
    try {
      const fault = faultOf(request, await node.client.send(request), operation.operation)
      if (fault !== undefined) faults.push(`${asked} -> ${fault}`)
    } catch (error) {
      faults.push(`${asked} -> ${String(error)}`)
    }
  }
  return { faults, sent }
}

async function connect(url: string, hints: (client: ApiClient) => Promise<Hints>): Promise<Node> {
  const client = new ApiClient(url)
  const document = JSON.parse((await client.send({ operationId: '', method: 'GET', target: '/openapi.json', headers: {} })).body) as ApiDocument
  return { client, document, hints: await hints(client) }
}

const requestsOf = ({ document, hints }: Node): BadRequests => new BadRequests(document, hints, seededRandom(SEED))

t.test('a node', async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'stemedb-bad-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  // Without decay, or reads would say something else from one millisecond to the next.
  const decayless = { decayHalfLifeDays: 'inf,inf,inf,inf,inf,inf', trustHalfLifeDays: 0 }
  const server = await startServer({ dataDir, settings: { signatures: 'optional', walSegmentBytes: 16 * 2 ** 20, ...decayless } })
  t.teardown(() => server.kill9())
  const node = await connect(server.url, async (client) => hintsOf(await seed(client)))
  t.teardown(() => node.client.close())
  const operations = operationsOf(node.document)
  t.ok(operations.length >= 11, `${operations.length} operations`)

  await t.test('takes what the bad requests are changes of', async (t) => {
    for (const operation of operations.filter((one) => !isStream(one))) {
      for (const request of requestsOf(node).valid(operation)) {
        const { status, body } = await node.client.send(request)
        // What is asked for may not be there: that is an answer, too.
        t.ok(status < 400 || status === 404, `${request.method} ${request.target}: ${status} ${body.slice(0, 300)} (if a value has to exist, add it to hintsOf)`)
      }
    }
  })

  const requests = requestsOf(node)
  const before = await stateOf(node, requests)
  const again = await stateOf(node, requests)
  // What says something else each time, with nothing written in between, says nothing of the state.
  const changing = [...before.keys()].filter((name) => before.get(name) !== again.get(name))
  t.strictSame(changing.filter((name) => !/audit/i.test(name)), [], 'reads are the same twice')

  await t.test('refuses all that is wrong', async (t) => {
    for (const operation of operations) {
      const { faults, sent } = await attack(node, requestsOf(node), operation, 'refused')
      t.strictSame(faults.slice(0, FAULTS_SHOWN_MAX), [], `${operation.operation.operationId}: ${sent} bad requests, ${faults.length} faults`)
      t.ok(sent >= 6, `${operation.operation.operationId}: ${sent} bad requests`)
    }
  })

  await t.test('and is as it was', async (t) => {
    const after = await stateOf(node, requests)
    for (const [name, value] of before) if (!changing.includes(name)) t.equal(after.get(name), value, name)
    t.equal(after.size, before.size)
  })

  await t.test('takes or refuses what is odd, and never fails', async (t) => {
    for (const operation of operations) {
      const { faults, sent } = await attack(node, requestsOf(node), operation, 'odd')
      t.strictSame(faults.slice(0, FAULTS_SHOWN_MAX), [], `${operation.operation.operationId}: ${sent} odd requests, ${faults.length} faults`)
    }
    t.match(await stateOf(node, requests), Map, 'and answers still')
    t.equal((await server.stop()).code, 0, 'and ends in order')
  })
})

/** A server with one thing wrong, for the same questions. */
async function serveMutant(t: Test, answer: (url: string, body: string) => { status: number, type: string, body: unknown }): Promise<Node> {
  const document: ApiDocument = {
    paths: {
      '/v1/thing': {
        get: { operationId: 'get', tags: ['read'], parameters: [{ name: 'limit', in: 'query', schema: { type: 'integer', minimum: 1, maximum: 10 } }], responses: { 200: { description: '' }, 400: { description: '`parameter_invalid`' } } },
        post: {
          operationId: 'post', tags: ['write'], requestBody: { content: { 'application/json': { schema: { type: 'object', properties: { a: { type: 'string' } }, required: ['a'], additionalProperties: false } } } },
          responses: { 201: { description: '' }, 400: { description: '`field_invalid` `parameter_invalid`' } },
        },
      },
    },
    components: { schemas: {} },
  }
  const server: Server = createServer((req, res) => {
    let body = ''
    req.setEncoding('utf8').on('data', (chunk: string) => { body += chunk }).on('end', () => {
      const given = req.url === '/openapi.json' ? { status: 200, type: 'application/json', body: document } : answer(req.url!, body)
      res.writeHead(given.status, { 'content-type': given.type, 'x-request-id': '1' }).end(JSON.stringify(given.body))
    })
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.closeAllConnections(); server.close() })
  const node = await connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, async () => ({}))
  t.teardown(() => node.client.close())
  return node
}

t.test('teeth: servers that do it wrong are found', async (t) => {
  const problem = (code: string, more: object = {}): { status: number, type: string, body: object } =>
    ({ status: 400, type: 'application/problem+json', body: { type: `/problems/${code}`, title: 'T', status: 400, detail: 'D', code, retryable: false, request_id: '1', ...more } })
  const good = problem('parameter_invalid')
  const mutants: Record<string, [RegExp, (url: string, body: string) => { status: number, type: string, body: unknown }]> = {
    'takes a limit of zero': [/limit is 0 -> it was taken/, (url) => (url.endsWith('limit=0') ? { status: 200, type: 'application/json', body: {} } : good)],
    'takes a parameter twice': [/limit twice -> it was taken/, (url) => (/limit=.*limit=/.test(url) ? { status: 200, type: 'application/json', body: {} } : good)],
    'fails on deep nesting': [/deep array -> a server error/, (_url, body) => (body.startsWith('[[[[') ? { ...good, status: 500 } : good)],
    'takes unknown members': [/unknown_member.* -> it was taken/, (_url, body) => (body.includes('unknown_member') ? { status: 201, type: 'application/json', body: {} } : good)],
    'answers with text': [/content-type text\/plain/, () => ({ ...good, type: 'text/plain' })],
    'has a code of its own': [/-> code own/, () => problem('own')],
    'has an undocumented code': [/400 batch_empty is not in openapi.json/, () => problem('batch_empty')],
    'shows its stack': [/shows the inside/, () => problem('parameter_invalid', { detail: 'at f (a.js:1:2)' })],
    'says another status': [/status 404 inside/, () => problem('parameter_invalid', { status: 404 })],
  }
  const faultsOf = async (answer: (url: string, body: string) => { status: number, type: string, body: unknown }): Promise<string[]> => {
    const node = await serveMutant(t, answer)
    const found: string[] = []
    for (const operation of operationsOf(node.document)) found.push(...(await attack(node, requestsOf(node), operation, 'refused')).faults)
    return found
  }
  t.strictSame(await faultsOf(() => good), [], 'one that is right is not accused')
  for (const [name, [expected, answer]] of Object.entries(mutants)) {
    const faults = await faultsOf(answer)
    t.ok(faults.some((fault) => expected.test(fault)), `${name}: ${faults.length} faults, ${faults[0] ?? ''}`)
  }
})
