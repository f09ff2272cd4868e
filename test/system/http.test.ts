import { connect } from 'node:net'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { ROUTES } from '../../src/front/routes.ts'
import { encodeBatch } from '../../src/wire/batch.codec.ts'
import { claimSource } from '../support/history.claims.ts'
import { startServer, type RunningServer, type Settings } from '../support/server.ts'
import { requireTool } from '../support/tools.ts'
import { autocannon } from './autocannon.ts'
import { curl, get, postJson, type CurlAnswer } from './curl.ts'

t.setTimeout(240_000)

// The HTTP API through a real socket, with clients that are not ours: curl and autocannon.

const AGENT = `58${'66'.repeat(31)}`
let made = 0
const claim = (more: Record<string, unknown> = {}): Record<string, unknown> =>
  ({ subject: 'drug/aspirin/safety', predicate: 'max_daily_dose', object: 4000, confidence: 0.9, agent: AGENT, asserted_at: 1_700_000_000_000 + made++, ...more })

async function serve(t: Test, settings: Settings = {}): Promise<RunningServer> {
  const dataDir = mkdtempSync(join(tmpdir(), 'stemedb-http-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  const server = await startServer({ dataDir, settings: { signatures: 'optional', walSegmentBytes: 16 * 2 ** 20, ...settings } })
  t.teardown(() => server.kill9())
  return server
}

/** RFC 9457, and what we promise beyond it. */
function isProblem(t: Test, answer: CurlAnswer, status: number, code: string): Record<string, unknown> {
  t.equal(answer.status, status, `${code}: status`)
  t.match(answer.headers.get('content-type'), /^application\/problem\+json/, `${code}: media type`)
  const body = answer.json()
  t.match(body, { code, status, type: `/problems/${code}`, title: String, detail: String, request_id: String, retryable: Boolean }, `${code}: members`)
  return body
}

if (!requireTool(t, 'curl')) process.exit()

t.test('one assertion', async (t) => {
  const server = await serve(t)
  const url = `${server.url}/v1/assert`
  const body = claim()
  const first = await postJson(url, body)
  t.equal(first.status, 201)
  const created = first.json() as { id: string, lsn: number, hlc: string, status: string }
  t.match(created, { id: /^[0-9a-f]{64}$/, status: 'created', lsn: 1, hlc: /^\d+$/ })
  t.equal(first.headers.get('location'), `/v1/assertions/${created.id}`)

  const again = await postJson(url, body)
  t.equal(again.status, 200, 'the same again is a duplicate')
  t.match(again.json(), { id: created.id, lsn: created.lsn, hlc: created.hlc, status: 'duplicate' }, 'with the receipt of the first')

  await t.test('is read back by its id', async (t) => {
    const read = await get(`${server.url}/v1/query?subject=drug/aspirin/safety&min_lsn=${created.lsn}`)
    t.equal(read.status, 200)
    const answers = read.json()['answers'] as Record<string, unknown>[]
    t.match(answers, [{ subject: 'drug/aspirin/safety', predicate: 'max_daily_dose', candidates: 1, winner: { id: created.id } }])
    const found = await get(`${server.url}/v1/assertions/${created.id}`)
    t.equal(found.status, 200)
    t.equal(found.headers.get('etag'), `"${created.id}"`)
    t.match(found.headers.get('cache-control'), /immutable/)
    t.match(found.json(), { id: created.id, lsn: created.lsn, hlc: created.hlc, assertion: { subject: body['subject'], confidence: 0.9 } })
    const fresh = await get(`${server.url}/v1/assertions/${created.id}`, '-H', `if-none-match: "${created.id}"`)
    t.equal(fresh.status, 304)
    t.equal(fresh.body, '')
    const head = await get(`${server.url}/v1/assertions/${created.id}`, '--head')
    t.equal(head.status, 200)
    isProblem(t, await get(`${server.url}/v1/assertions/${'00'.repeat(32)}`), 404, 'not_found')
    isProblem(t, await get(`${server.url}/v1/assertions/nonsense`), 400, 'parameter_invalid')
    isProblem(t, await get(`${server.url}/v1/assertions/${created.id}`, '-H', 'accept: text/html'), 406, 'not_acceptable')
  })

  await t.test('and wins or loses against others', async (t) => {
    await postJson(url, claim({ object: 3000, agent: `${AGENT.slice(0, 62)}66`, confidence: 0.5 }))
    const last = (await postJson(url, claim({ object: 'not more than four grams' }))).json() as { id: string, lsn: number }
    const answer = await get(`${server.url}/v1/query?subject=drug/aspirin/safety&predicate=max_daily_dose&lens=recency&min_lsn=${last.lsn}`)
    t.match(answer.json(), { seen_lsn: last.lsn, answers: [{ candidates: 3, winner: { id: last.id }, why: /./ }] })
    const byPrefix = await get(`${server.url}/v1/query?prefix=drug/&min_lsn=${last.lsn}`)
    t.equal((byPrefix.json()['answers'] as unknown[]).length, 1)
  })
})

t.test('what is wrong with a body is said with a pointer to it', async (t) => {
  const server = await serve(t)
  const url = `${server.url}/v1/assert`
  isProblem(t, await postJson(url, '{"subject":'), 400, 'malformed_json')
  isProblem(t, await postJson(url, Buffer.from('{"subject":"\xff"}', 'latin1').toString('latin1')), 400, 'field_missing')
  const without = claim()
  delete without['predicate']
  t.match(isProblem(t, await postJson(url, without), 400, 'field_missing'), { pointer: '/predicate' })
  t.match(isProblem(t, await postJson(url, claim({ confidence: 1.5 })), 400, 'field_invalid'), { pointer: '/confidence' })
  t.match(isProblem(t, await postJson(url, claim({ object: null })), 422, 'object_null'), { pointer: '/object' })
  t.match(isProblem(t, await postJson(url, claim({ subject: 'x'.repeat(2000) })), 400, 'field_too_long'), { pointer: '/subject' })
  t.match(isProblem(t, await postJson(url, claim({ colour: 'red' })), 400, 'field_invalid'), { pointer: '/colour' })
  t.match(isProblem(t, await postJson(url, claim({ agent: '01'.padEnd(64, '0') })), 403, 'key_weak'), { code: 'key_weak' })
  isProblem(t, await postJson(url, []), 400, 'batch_empty')
  const utf8 = await curl(['-H', 'content-type: application/json', '--data-binary', '@-', url], Buffer.from([0x22, 0xff, 0xfe, 0x22]))
  isProblem(t, utf8, 400, 'text_not_utf8')
  const problem = await get(`${server.url}/problems/field_invalid`)
  t.equal(problem.status, 200)
  t.match(problem.json(), { code: 'field_invalid', status: 400, action: String })
})

t.test('an array is answered item by item', async (t) => {
  const server = await serve(t)
  const url = `${server.url}/v1/assert`
  const items = [claim(), claim(), claim()]
  const all = await postJson(url, items)
  t.equal(all.status, 201)
  t.match(all.json(), { created: 3, duplicate: 0, refused: 0 })
  const none = await postJson(url, items)
  t.equal(none.status, 200)
  const some = await postJson(url, [items[0], claim(), claim({ object: null })])
  t.equal(some.status, 207)
  t.match(some.json(), {
    created: 1, duplicate: 1, refused: 1,
    results: [{ index: 0, status: 'duplicate', lsn: 1 }, { index: 1, status: 'created', lsn: 4 }, { index: 2, status: 'refused', code: 'object_null', pointer: '/2/object' }],
  })
})

t.test('NDJSON of any length, and a batch as FlatBuffers', async (t) => {
  const server = await serve(t)
  const url = `${server.url}/v1/assert/batch`
  const lines = Array.from({ length: 5000 }, () => JSON.stringify(claim())).join('\n')
  const many = await curl(['-H', 'content-type: application/x-ndjson', '--data-binary', '@-', url], `${lines}\n{"subject":1}\n`)
  t.equal(many.status, 207)
  const results = many.body.trimEnd().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>)
  t.equal(results.length, 5002)
  t.match(results.at(-1), { done: true, created: 5000, refused: 1 })
  t.equal(new Set(results.filter((r) => r['status'] === 'created').map((r) => r['lsn'])).size, 5000, 'each with an LSN of its own')

  const claims = await claimSource(7, Date.now())
  const frame = encodeBatch({ requestId: 9n, items: Array.from({ length: 100 }, () => ({ assertion: claims.next().bytes })) })
  const type = ['-H', 'content-type: application/vnd.stemedb.batch'] as const
  const first = await curl([...type, '--data-binary', '@-', url], frame)
  t.equal(first.status, 201)
  const again = await curl([...type, '--data-binary', '@-', url], frame)
  t.equal(again.status, 200)
  isProblem(t, await curl([...type, '--data-binary', '@-', url], frame.subarray(0, 50)), 400, 'malformed_frame')
})

t.test('signatures=required', async (t) => {
  const server = await serve(t, { signatures: 'required' })
  const url = `${server.url}/v1/assert`
  const missing = await postJson(url, claim())
  isProblem(t, missing, 401, 'signature_missing')
  t.match(missing.headers.get('www-authenticate'), /StemeDB-Signature/)
  isProblem(t, await postJson(url, claim({ signature: `${'11'.repeat(32)}${'00'.repeat(32)}` })), 403, 'signature_invalid')
  isProblem(t, await postJson(url, claim({ signature: 'ff'.repeat(64) })), 403, 'signature_malformed')
})

t.test('paths, methods and media types', async (t) => {
  const server = await serve(t, { frameBytesMax: 64 * 1024 })
  isProblem(t, await get(`${server.url}/nowhere`), 404, 'not_found')
  const method = await get(`${server.url}/v1/assert`, '-X', 'DELETE')
  isProblem(t, method, 405, 'method_not_allowed')
  t.match(method.headers.get('allow'), /POST/)
  isProblem(t, await curl(['-H', 'content-type: text/plain', '--data-binary', 'x', `${server.url}/v1/assert`]), 415, 'media_type_unsupported')
  isProblem(t, await postJson(`${server.url}/v1/assert`, claim({ object: 'x'.repeat(100 * 1024) })), 413, 'frame_too_large')
  isProblem(t, await get(`${server.url}/v1/query`), 400, 'parameter_invalid')
  isProblem(t, await get(`${server.url}/v1/query?subject=a&lens=crystal`), 400, 'parameter_invalid')
  isProblem(t, await get(`${server.url}/v1/query?subject=a&min_lsn=1000`), 400, 'lsn_in_future')
  isProblem(t, await get(`${server.url}/v1/stream`), 400, 'protocol_unsupported')
  for (const path of ['/livez', '/readyz', '/readyz?verbose', '/v1/health', '/metrics', '/openapi.json']) {
    t.equal((await get(`${server.url}${path}`)).status, 200, path)
  }
  const openapi = (await get(`${server.url}/openapi.json`)).json() as { openapi: string, paths: Record<string, Record<string, unknown>> }
  t.match(openapi.openapi, /^3\.1/)
  for (const { method, path } of ROUTES) t.ok(openapi.paths[path.replace('...}', '}')]?.[method.toLowerCase()], `${method} ${path} is described`)
})

t.test('429 where the rate is used up', async (t) => {
  const server = await serve(t, { ratePerSecond: 5 })
  const url = `${server.url}/v1/assert`
  let refused: CurlAnswer | undefined
  for (let i = 0; i < 20 && refused === undefined; i++) {
    const answer = await postJson(url, claim())
    if (answer.status === 429) refused = answer
    else t.ok(answer.headers.has('ratelimit') && answer.headers.has('ratelimit-policy'))
  }
  if (refused === undefined) throw new Error('20 at once went through')
  isProblem(t, refused, 429, 'rate_limited')
  t.match(refused.headers.get('retry-after'), /^\d+$/)
})

t.test('503 where too many requests are under way, and probes still work', async (t) => {
  const server = await serve(t, { httpRequestsMax: 1 })
  const slow = connect(server.port, '127.0.0.1')
  t.teardown(() => slow.destroy())
  slow.write('POST /v1/assert HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{')
  let answer: CurlAnswer | undefined
  for (let i = 0; i < 50 && answer?.status !== 503; i++) answer = await postJson(`${server.url}/v1/assert`, claim())
  isProblem(t, answer!, 503, 'overloaded')
  t.match(answer!.headers.get('retry-after'), /^\d+$/)
  t.equal((await get(`${server.url}/livez`)).status, 200)
  t.equal((await get(`${server.url}/readyz`)).status, 200)
})

t.test('autocannon: every request of a burst is answered as it should', async (t) => {
  const server = await serve(t)
  // autocannon puts an id of its own into every request.
  const body = JSON.stringify(claim({ subject: 'cannon/[<id>]' }))
  const result = await autocannon(['-c', '32', '-a', '4000', '-m', 'POST', '-H', 'content-type=application/json', '-I', '-b', body, `${server.url}/v1/assert`])
  t.equal(result['2xx'], 4000)
  t.same([result.errors, result.timeouts, result.non2xx], [0, 0, 0])
  const health = (await get(`${server.url}/v1/health`)).json()
  t.equal(health['durable_lsn'], 4000, 'and each was stored once')
  await postJson(`${server.url}/v1/assert`, claim())
  const reads = await autocannon(['-c', '16', '-a', '1000', `${server.url}/v1/query?subject=drug/aspirin/safety&limit=1`])
  t.equal(reads['2xx'], 1000)
})
