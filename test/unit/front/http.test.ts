import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { ERROR_CODES } from '../../../src/base/error-codes.ts'
import { fromHex, toHex } from '../../../src/base/bytes.ts'
import { BODY_EVICT_AFTER_MS } from '../../../src/front/front-limits.ts'
import { SCHEMAS } from '../../../src/front/schemas.ts'
import { Acks } from '../../../src/fbs/stemedb/acks.ts'
import { assertionFromJson } from '../../../src/record/assertion.json.ts'
import { assertionIdOf } from '../../../src/record/claim.ts'
import { decodeAssertion } from '../../../src/wire/assertion.codec.ts'
import { ByteBuffer } from 'flatbuffers'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { batchOf, claim, claimJson, startFront } from './front-under-test.ts'

const ajv = new Ajv2020({ strict: false, validateFormats: false })
ajv.addSchema({ $id: 'root', components: { schemas: SCHEMAS } })

/** Whether a body is what openapi.json says it is. */
function isA(name: string, value: unknown): boolean {
  return ajv.validate({ $ref: `root#/components/schemas/${name}` }, value)
}

interface Answer {
  status: number
  headers: Headers
  body: Record<string, unknown> & { results: Record<string, unknown>[] }
}

async function call(url: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(url, init)
  const text = await response.text()
  const type = response.headers.get('content-type') ?? ''
  const body = (type.includes('json') && text !== '' ? JSON.parse(text) : { text }) as Answer['body']
  return { status: response.status, headers: response.headers, body }
}

const post = (url: string, value: unknown, type = 'application/json'): Promise<Answer> =>
  call(url, { method: 'POST', headers: { 'content-type': type }, body: typeof value === 'string' || value instanceof Uint8Array ? value as string : JSON.stringify(value) })

function problem(t: Test, { status, headers, body }: Answer, code: keyof typeof ERROR_CODES, more: object = {}): void {
  const { httpStatus, retryable, title } = ERROR_CODES[code]
  t.equal(status, httpStatus, code)
  t.equal(headers.get('content-type'), 'application/problem+json')
  t.match(body, { type: `/problems/${code}`, title, status: httpStatus, code, retryable, request_id: /^[0-9a-f]{24}$/, ...more })
  t.equal(headers.get('x-request-id'), body['request_id'])
  t.ok(isA('Problem', body))
  t.equal(headers.has('retry-after'), retryable)
}

t.test('one assertion: 201, then 200 with the original stamp', async (t) => {
  const { http } = await startFront(t)
  const json = claimJson()
  const id = toHex(assertionIdOf(assertionFromJson(json)))
  const created = await post(`${http}/v1/assert`, json)
  t.equal(created.status, 201)
  t.match(created.body, { id, lsn: 1, hlc: /^\d+$/, status: 'created' })
  t.ok(isA('Stored', created.body))
  t.equal(created.headers.get('location'), `/v1/assertions/${id}`)
  await post(`${http}/v1/assert`, claimJson())
  const again = await post(`${http}/v1/assert`, json)
  t.equal(again.status, 200)
  t.strictSame(again.body, { ...created.body, status: 'duplicate' })
})

t.test('arrays: 201, 200, 207, and a problem where nothing was stored', async (t) => {
  const { http } = await startFront(t, { batchAssertionsMax: 300 })
  const url = `${http}/v1/assert`
  const items = [claimJson(), claimJson(), claimJson()]
  const created = await post(url, items)
  t.equal(created.status, 201)
  t.ok(isA('Results', created.body))
  t.match(created.body, { created: 3, duplicate: 0, refused: 0 })
  t.strictSame(created.body.results.map((r) => [r['index'], r['lsn'], r['status']]), [[0, 1, 'created'], [1, 2, 'created'], [2, 3, 'created']])
  const again = await post(url, items)
  t.equal(again.status, 200)
  t.match(again.body, { created: 0, duplicate: 3, refused: 0 })
  const mixed = await post(url, [items[1], claimJson(), { ...claimJson(), confidence: 7 }, claimJson({ note: 'refuse:key_weak' }), claimJson()])
  t.equal(mixed.status, 207)
  t.ok(isA('Results', mixed.body))
  t.match(mixed.body, { created: 2, duplicate: 1, refused: 2 })
  t.match(mixed.body.results, [
    { index: 0, status: 'duplicate', lsn: 2 }, { index: 1, status: 'created', lsn: 4 },
    { index: 2, status: 'refused', code: 'field_invalid', pointer: '/2/confidence' },
    { index: 3, status: 'refused', code: 'key_weak', id: /^[0-9a-f]{64}$/ }, { index: 4, status: 'created', lsn: 5 },
  ])
  const none = await post(url, [claimJson({ confidence: 7 }), claimJson({ note: 'refuse:key_weak' })])
  problem(t, none, 'field_invalid', { pointer: '/0/confidence' })
  t.equal(none.body.results.length, 2)
  const many = await post(url, Array.from({ length: 300 }, () => claimJson()))
  t.equal(many.status, 201, 'more than a slice')
  t.equal(many.body.results.length, 300)
  problem(t, await post(url, Array.from({ length: 301 }, () => claimJson())), 'batch_too_large')
  problem(t, await post(url, []), 'batch_empty')
})

t.test('what is wrong with an assertion is named by a pointer', async (t) => {
  const { http, pipeline } = await startFront(t)
  const url = `${http}/v1/assert`
  const cases: [unknown, keyof typeof ERROR_CODES, string][] = [
    [claimJson({ subject: undefined }), 'field_missing', '/subject'],
    [claimJson({ subject: 'a//b' }), 'field_invalid', '/subject'],
    [claimJson({ predicate: 'p'.repeat(300) }), 'field_too_long', '/predicate'],
    [claimJson({ object: null }), 'object_null', '/object'],
    [claimJson({ surplus: 1 }), 'field_invalid', '/surplus'],
    [claimJson({ agent: 'me' }), 'field_invalid', '/agent'],
    [claimJson({ signature: 'abc' }), 'field_invalid', '/signature'],
    ['[]x', 'malformed_json', ''],
    ['', 'malformed_json', ''],
    ['"text"', 'field_invalid', ''],
    [JSON.stringify(claimJson({ note: '\ud800' })), 'text_not_utf8', '/note'],
    [JSON.stringify(claimJson()).replace('0.5', '1e999'), 'number_not_finite', '/confidence'],
  ]
  for (const [value, code, pointer] of cases) problem(t, await post(url, value), code, { pointer })
  const notUtf8 = await post(url, Uint8Array.from([0x22, 0xff, 0x22]))
  problem(t, notUtf8, 'text_not_utf8')
  t.equal(pipeline.submitCount, 0)
})

t.test('refusals of the stages behind', async (t) => {
  const { http, pipeline } = await startFront(t, { realm: 'r"x' })
  const url = `${http}/v1/assert`
  const missing = await post(url, claimJson({ note: 'refuse:signature_missing' }))
  problem(t, missing, 'signature_missing')
  t.equal(missing.headers.get('www-authenticate'), 'StemeDB-Signature realm="r_x"')
  for (const code of ['signature_invalid', 'signature_malformed', 'key_weak', 'agent_mismatch'] as const) {
    problem(t, await post(url, claimJson({ note: `refuse:${code}` })), code)
  }
  for (const code of ['durability_failed', 'disk_full', 'internal'] as const) {
    pipeline.refuseBatches = code
    problem(t, await post(url, claimJson()), code, { retry_after_ms: 1500 })
  }
  pipeline.refuseBatches = undefined
  for (const code of ['disk_full', 'read_only', 'starting', 'shutting_down'] as const) {
    pipeline.writable = code
    problem(t, await post(url, claimJson()), code)
    problem(t, await post(`${http}/v1/assert/batch`, '{}', 'application/x-ndjson'), code)
  }
  pipeline.writable = 'yes'
  pipeline.full = true
  const overloaded = await post(url, claimJson())
  problem(t, overloaded, 'overloaded')
  t.equal(overloaded.headers.get('retry-after'), '1')
  pipeline.full = false
  t.equal((await post(url, claimJson())).status, 201)
})

t.test('what requests must be like', async (t) => {
  const { http, port } = await startFront(t, { frameBytesMax: 64 * 1024 })
  const url = `${http}/v1/assert`
  for (const type of ['text/plain', 'application/x-ndjson', 'application/json; charset=latin1', '']) {
    problem(t, await post(url, '{}', type), 'media_type_unsupported')
  }
  const zipped = await call(url, { method: 'POST', headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' }, body: 'x' })
  problem(t, zipped, 'media_type_unsupported')
  t.equal(zipped.headers.get('accept-post'), 'application/json')
  const method = await call(url, { method: 'PUT', body: 'x' })
  problem(t, method, 'method_not_allowed')
  t.equal(method.headers.get('allow'), 'POST, OPTIONS')
  t.equal((await call(`${http}/v1/query`, { method: 'OPTIONS' })).headers.get('allow'), 'GET, HEAD, POST, OPTIONS')
  problem(t, await call(`${http}/nothing/here`), 'not_found')
  problem(t, await call(`${http}/livez`, { method: 'POST' }), 'method_not_allowed')
  const large = JSON.stringify(claimJson({ note: 'x'.repeat(64 * 1024) }))
  problem(t, await post(url, large), 'frame_too_large')
  problem(t, await post(`${http}/v1/assert/batch`, Buffer.alloc(64 * 1024 + 1), 'application/vnd.stemedb.batch'), 'frame_too_large')
  // A length that is announced is refused before a byte of the body is read.
  const socket = connect(port, '127.0.0.1')
  socket.write('POST /v1/assert HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n')
  const [head] = await once(socket, 'data') as [Buffer]
  t.match(head.toString(), /^HTTP\/1.1 413 /)
  t.match(head.toString(), /"code":"frame_too_large"/)
  await once(socket, 'close')
  t.pass('and the connection is cut')
})

t.test('a chunked body that grows too large', async (t) => {
  const { port } = await startFront(t, { frameBytesMax: 64 * 1024 })
  const request = httpRequest({ port, host: '127.0.0.1', method: 'POST', path: '/v1/assert', headers: { 'content-type': 'application/json' } })
  request.on('error', () => {})
  const answered = once(request, 'response') as Promise<[IncomingMessage]>
  for (let i = 0; i < 70; i++) request.write('x'.repeat(1024))
  const [response] = await answered
  t.equal(response.statusCode, 413)
  request.destroy()
})

t.test('reading by id', async (t) => {
  const { http, pipeline } = await startFront(t)
  const json = claimJson({ signature: 'ab'.repeat(64), vector: [1, 2.5] })
  const { body: { id } } = await post(`${http}/v1/assert`, json)
  const url = `${http}/v1/assertions/${String(id)}`
  const found = await call(url)
  t.equal(found.status, 200)
  t.ok(isA('Found', found.body))
  const { signature, ...claimed } = json
  t.match(found.body, { id, lsn: 1, signed_by: 'assertion', signature })
  t.equal(toHex(assertionIdOf(assertionFromJson(found.body['assertion']))), id, 'what comes back has the same id')
  t.equal(toHex(assertionIdOf(assertionFromJson(claimed))), id)
  t.equal(found.headers.get('etag'), `"${String(id)}"`)
  t.match(found.headers.get('cache-control'), /immutable/)
  for (const tag of [`"${String(id)}"`, `W/"${String(id)}"`, `"x", "${String(id)}"`, '*']) {
    const same = await call(url, { headers: { 'if-none-match': tag } })
    t.equal(same.status, 304, tag)
    t.equal(same.headers.get('etag'), `"${String(id)}"`)
  }
  t.equal((await call(url, { headers: { 'if-none-match': '"other"' } })).status, 200)
  const raw = await fetch(url, { headers: { accept: 'application/vnd.stemedb.assertion' } })
  t.equal(raw.headers.get('content-type'), 'application/vnd.stemedb.assertion')
  t.equal(raw.headers.get('stemedb-lsn'), '1')
  t.equal(toHex(assertionIdOf(decodeAssertion(new Uint8Array(await raw.arrayBuffer())))), id)
  problem(t, await call(url, { headers: { accept: 'text/html' } }), 'not_acceptable')
  problem(t, await call(`${http}/v1/assertions/${'0'.repeat(64)}`), 'not_found')
  problem(t, await call(`${http}/v1/assertions/xyz`), 'parameter_invalid', { parameter: 'id' })
  pipeline.queriesFull = true
  problem(t, await call(url), 'overloaded')
  pipeline.queriesFull = false
  pipeline.refuseQueries = 'wal_corrupt'
  problem(t, await call(url), 'wal_corrupt', { detail: 'as the test said' })
})

t.test('queries', async (t) => {
  const { http, pipeline } = await startFront(t, { queryLimitMax: 3 })
  const subject = 'drug/añil/safety & more'
  for (const value of [1, 2]) await post(`${http}/v1/assert`, claimJson({ subject, predicate: 'p', object: value }))
  await post(`${http}/v1/assert`, claimJson({ subject, predicate: 'q' }))
  const query = (parameters: Record<string, string>): Promise<Answer> => call(`${http}/v1/query?${new URLSearchParams(parameters).toString()}`)
  const one = await query({ subject, predicate: 'p' })
  t.equal(one.status, 200)
  t.ok(isA('QueryReply', one.body))
  t.match(one.body, {
    seen_lsn: 3, truncated: false,
    answers: [{ subject, predicate: 'p', candidates: 2, why: 'latest of 2 by recency', winner: { lsn: 2, assertion: { object: { type: 'number', value: 2 } } } }],
  })
  t.equal((await query({ prefix: 'drug/a', limit: '1' })).body['truncated'], true)
  t.equal(((await query({ prefix: 'drug/a' })).body['answers'] as unknown[]).length, 2)
  t.strictSame((await query({ subject: 'nobody/knows' })).body['answers'], [])
  const invalid: [Record<string, string>, string][] = [
    [{}, 'subject'], [{ subject: '' }, 'subject'], [{ subject, prefix: subject }, 'prefix'], [{ subject, limit: '0' }, 'limit'],
    [{ subject, limit: '4' }, 'limit'], [{ subject, limit: 'x' }, 'limit'], [{ subject, limit: '-1' }, 'limit'], [{ subject, limit: '1e2' }, 'limit'],
    [{ subject, min_lsn: '1.5' }, 'min_lsn'], [{ subject, colour: 'red' }, 'colour'], [{ subject: 'x'.repeat(1025) }, 'subject'],
    [{ subject, predicate: '' }, 'predicate'], [{ subject, lens: '' }, 'lens'],
  ]
  for (const [parameters, parameter] of invalid) problem(t, await query(parameters), 'parameter_invalid', { parameter })
  problem(t, await call(`${http}/v1/query?subject=%ff`), 'parameter_invalid', { parameter: 'subject' })
  problem(t, await call(`${http}/v1/query?subject=a&subject=b`), 'parameter_invalid', { parameter: 'subject' })
  problem(t, await call(`${http}/v1/query?subject=a`, { headers: { accept: 'text/csv' } }), 'not_acceptable')
  pipeline.refuseQueries = 'parameter_invalid'
  problem(t, await query({ subject, lens: 'nonsense' }), 'parameter_invalid')
  pipeline.refuseQueries = undefined
  problem(t, await query({ subject, min_lsn: '4' }), 'lsn_in_future', { parameter: 'min_lsn' })
  pipeline.appliedLsn = 1
  const waiting = query({ subject, predicate: 'p', min_lsn: '3' })
  await new Promise(setImmediate)
  pipeline.appliedLsn = 3
  t.equal((await waiting).status, 200, 'it waits until the LSN is applied')
})

t.test('queries that wait in vain', async (t) => {
  const { http, pipeline } = await startFront(t, { processingTimeoutMs: 100 })
  while ((await post(`${http}/v1/assert`, claimJson())).status !== 201);
  pipeline.appliedLsn = 0
  problem(t, await call(`${http}/v1/query?subject=a&min_lsn=1`), 'lsn_not_reached')
  pipeline.silent = true
  problem(t, await call(`${http}/v1/query?subject=a`), 'timeout')
  problem(t, await call(`${http}/v1/assertions/${'0'.repeat(64)}`), 'timeout')
})

t.test('probes, metrics, descriptions', async (t) => {
  let ok = true
  const health = { report: () => ({ ok, checks: [{ name: 'wal', ok: true }, ok ? { name: 'ingest', ok } : { name: 'ingest', ok, detail: '300 MiB behind' }] }) }
  let metrics = (): Promise<string> => Promise.resolve('stemedb_x 1\n')
  const { http, faults } = await startFront(t, {}, { health, metricsText: () => metrics() })
  for (const path of ['/livez', '/readyz']) {
    t.match(await call(`${http}${path}`), { status: 200, body: { text: 'ok\n' } })
    t.match((await call(`${http}${path}?verbose`)).body['text'], /^\[\+\]wal ok\n/)
  }
  const healthy = await call(`${http}/v1/health`)
  t.equal(healthy.status, 200)
  t.ok(isA('Health', healthy.body))
  t.match(healthy.body, { status: 'ok', writable: 'yes', node_id: '07'.repeat(32), version: '0.0.0-test' })
  ok = false
  t.match(await call(`${http}/readyz`), { status: 503, body: { text: /\[-\]ingest failed: 300 MiB behind/ } })
  t.match(await call(`${http}/v1/health`), { status: 503, body: { status: 'unavailable' } })
  t.match(await call(`${http}/metrics`), { status: 200, body: { text: 'stemedb_x 1\n' } })
  metrics = () => Promise.reject(new Error('secret detail'))
  const failed = await call(`${http}/metrics`)
  problem(t, failed, 'internal')
  t.notMatch(JSON.stringify(failed.body), /secret/)
  t.equal(faults.length, 1)
  const described = await call(`${http}/problems/disk_full`)
  t.ok(isA('ErrorCode', described.body))
  t.match(described.body, { code: 'disk_full', status: 507, retryable: true })
  problem(t, await call(`${http}/problems/constructor`), 'not_found')
  const head = await fetch(`${http}/openapi.json`, { method: 'HEAD' })
  const get = await fetch(`${http}/openapi.json`)
  t.equal(head.status, 200)
  t.equal(head.headers.get('content-length'), get.headers.get('content-length'))
  t.equal((await get.json() as { openapi: string }).openapi, '3.1.0')
})

t.test('the rate of an address', async (t) => {
  const { http, pipeline } = await startFront(t, { ratePerSecond: 2 })
  // A debt that no stall of the machine pays off before the test is over.
  const first = await post(`${http}/v1/assert`, Array.from({ length: 500 }, () => claimJson()))
  t.equal(first.status, 201)
  t.equal(first.headers.get('ratelimit-policy'), '"assertions";q=2;w=1')
  t.match(first.headers.get('ratelimit'), /^"assertions";r=0;t=\d+$/)
  const second = await post(`${http}/v1/assert`, claimJson())
  problem(t, second, 'rate_limited')
  t.equal(second.headers.get('retry-after'), String(Math.ceil(Number(second.body['retry_after_ms']) / 1000)))
  t.ok(Number(second.body['retry_after_ms']) > 1000)
  t.equal(pipeline.stored.size, 500)
  t.notOk((await call(`${http}/livez`)).headers.has('ratelimit'), 'reads are not limited')
})

t.test('timeouts: a body that does not come, an ack that does not come', async (t) => {
  const { http, port, pipeline } = await startFront(t, { ingressTimeoutMs: 150, processingTimeoutMs: 150 })
  for (const [path, type] of [['/v1/assert', 'application/json'], ['/v1/assert/batch', 'application/x-ndjson'], ['/v1/assert/batch', 'application/vnd.stemedb.batch']]) {
    const socket = connect(port, '127.0.0.1')
    socket.write(`POST ${path!} HTTP/1.1\r\nHost: x\r\nContent-Type: ${type!}\r\nContent-Length: 100\r\n\r\n{`)
    const [data] = await once(socket, 'data') as [Buffer]
    t.match(data.toString(), /^HTTP\/1.1 408 /)
    t.match(data.toString(), /"code":"body_timeout"/)
    // By the front: uWebSockets itself would take 8 s.
    await once(socket, 'close', { signal: AbortSignal.timeout(5000) })
  }
  pipeline.held = true
  problem(t, await post(`${http}/v1/assert`, claimJson()), 'timeout')
  problem(t, await post(`${http}/v1/assert/batch`, batchOf(1n, [claim()]), 'application/vnd.stemedb.batch'), 'timeout')
  t.equal(pipeline.waiting.length, 2)
  pipeline.release()
  pipeline.held = false
  while ((await post(`${http}/v1/assert`, claimJson())).status !== 201);
  t.pass('late acks disturb nobody')
})

t.test('bodies that do not come shut nobody out', async (t) => {
  const { http, port, pipeline } = await startFront(t, { httpRequestsMax: 3 })
  const slow = async (): Promise<Socket> => {
    const socket = connect(port, '127.0.0.1').on('error', () => {})
    socket.write('POST /v1/assert HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{')
    await once(socket, 'connect')
    return socket
  }
  const sockets = [await slow(), await slow(), await slow()]
  const answers = sockets.map((socket) => once(socket, 'data').then(([data]) => String(data)))
  t.equal((await call(`${http}/v1/query?subject=x`)).status, 200, 'reads need no body')
  let refused = 0
  for (let answer = await post(`${http}/v1/assert`, claimJson()); answer.status !== 201; answer = await post(`${http}/v1/assert`, claimJson())) {
    if (refused++ === 0) problem(t, answer, 'overloaded')
    await sleep(BODY_EVICT_AFTER_MS / 20)
  }
  t.match(await answers[0], /^HTTP\/1.1 408 [^]*"code":"body_timeout"/, 'the slowest made room')
  pipeline.held = true
  const waiting = Array.from({ length: 3 }, () => post(`${http}/v1/assert`, claimJson()))
  while (pipeline.waiting.length < 3) await new Promise(setImmediate)
  problem(t, await call(`${http}/v1/query?subject=x`), 'overloaded')
  pipeline.release()
  t.strictSame((await Promise.all(waiting)).map(({ status }) => status), [201, 201, 201])
  for (const socket of sockets) socket.destroy()
})

t.test('too many requests at a time; probes still answer', async (t) => {
  const { http, pipeline } = await startFront(t, { httpRequestsMax: 3 })
  pipeline.held = true
  const waiting = Array.from({ length: 3 }, () => post(`${http}/v1/assert`, claimJson()))
  while (pipeline.waiting.length < 3) await new Promise(setImmediate)
  problem(t, await post(`${http}/v1/assert`, claimJson()), 'overloaded')
  t.equal((await call(`${http}/livez`)).status, 200)
  t.equal((await call(`${http}/metrics`)).status, 200)
  pipeline.release()
  t.strictSame((await Promise.all(waiting)).map(({ status }) => status), [201, 201, 201])
  pipeline.held = false
  t.equal((await post(`${http}/v1/assert`, claimJson())).status, 201)
})

t.test('a client that goes in the middle of its body, or before its answer', async (t) => {
  const { http, port, pipeline, faults } = await startFront(t)
  pipeline.held = true
  for (let i = 0; i < 20; i++) {
    const type = ['application/json', 'application/x-ndjson', 'application/vnd.stemedb.batch'][i % 3]!
    const path = i % 3 === 0 ? '/v1/assert' : '/v1/assert/batch'
    const socket = connect(port, '127.0.0.1')
    const line = `${JSON.stringify(claimJson())}\n`
    socket.write(`POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: ${type}\r\nContent-Length: ${i < 10 ? 5000 : line.length}\r\n\r\n${line}`)
    await new Promise(setImmediate)
    socket.resetAndDestroy()
    await once(socket, 'close')
  }
  pipeline.held = false
  pipeline.release()
  t.equal((await post(`${http}/v1/assert`, claimJson())).status, 201)
  t.equal(faults.length, 0)
})

t.test('a FlatBuffers batch', async (t) => {
  const { http } = await startFront(t)
  const url = `${http}/v1/assert/batch`
  const type = 'application/vnd.stemedb.batch'
  const claims = [claim(), claim(), claim()]
  const created = await post(url, batchOf(42n, claims), type)
  t.equal(created.status, 201)
  t.ok(isA('BatchResult', created.body))
  t.match(created.body, { created: 3, duplicate: 0, refused: 0, first_lsn: 1, outcomes: [] })
  const again = await post(url, batchOf(42n, claims), type)
  t.equal(again.status, 200)
  t.match(again.body, { created: 0, duplicate: 3, outcomes: [{ index: 0, status: 'duplicate', lsn: 1 }, { lsn: 2 }, { lsn: 3 }] })
  const mixed = await post(url, batchOf(43n, [claims[0]!, claim(), claim({ note: 'refuse:key_weak' })]), type)
  t.equal(mixed.status, 207)
  t.match(mixed.body, { created: 1, duplicate: 1, refused: 1, first_lsn: 4, outcomes: [{ index: 0, status: 'duplicate' }, { index: 2, status: 'refused', code: 'key_weak' }] })
  problem(t, await post(url, batchOf(44n, [claim({ note: 'refuse:key_weak' })]), type), 'key_weak')
  problem(t, await post(url, Buffer.from('nonsense'), type), 'malformed_frame')
  const broken = batchOf(45n, [claim()])
  broken.fill(0xee, 12)
  problem(t, await post(url, broken, type), 'malformed_frame')
  const raw = await fetch(url, { method: 'POST', headers: { 'content-type': type, accept: 'application/vnd.stemedb.acks' }, body: batchOf(46n, [claim()]) as Uint8Array<ArrayBuffer> })
  t.equal(raw.status, 201)
  const acks = Acks.getRootAsAcks(new ByteBuffer(new Uint8Array(await raw.arrayBuffer())))
  t.strictSame([acks.acksLength(), acks.acks(0)!.requestId(), acks.acks(0)!.accepted()], [1, 46n, 1])
  problem(t, await call(url, { method: 'POST', headers: { 'content-type': type, accept: 'text/html' }, body: 'x' }), 'not_acceptable')
})

t.test('an id is lower case hex whatever came', async (t) => {
  const { http } = await startFront(t)
  const { body: { id } } = await post(`${http}/v1/assert`, claimJson())
  const upper = await call(`${http}/v1/assertions/${String(id).toUpperCase()}`)
  t.equal(upper.body['id'], id)
  t.equal(fromHex(String(id))?.length, 32)
})
