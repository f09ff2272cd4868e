import { once } from 'node:events'
import { request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { NDJSON_BATCHES_MAX, NDJSON_BATCH_ASSERTIONS_MAX } from '../../../src/front/front-limits.ts'
import { claimJson, startFront } from './front-under-test.ts'

interface Line {
  index?: number
  status?: string
  id?: string
  lsn?: number
  code?: string
  pointer?: string
  done?: boolean
  created?: number
  duplicate?: number
  refused?: number
  problem?: { code: string }
}

class Upload {
  readonly request: ClientRequest
  readonly response: Promise<IncomingMessage>

  constructor(port: number, headers: Record<string, string> = {}) {
    this.request = httpRequest({
      port, host: '127.0.0.1', method: 'POST', path: '/v1/assert/batch', headers: { 'content-type': 'application/x-ndjson', ...headers }, agent: false,
    })
    this.request.on('error', () => {})
    this.response = once(this.request, 'response').then(([response]) => response as IncomingMessage)
  }

  write(text: string): boolean {
    return this.request.write(text)
  }

  async finish(): Promise<{ status: number, lines: Line[] }> {
    this.request.end()
    return this.read()
  }

  async read(): Promise<{ status: number, lines: Line[] }> {
    const response = await this.response
    let text = ''
    for await (const chunk of response) text += String(chunk)
    return { status: response.statusCode ?? 0, lines: text.trim().split('\n').map((line) => JSON.parse(line) as Line) }
  }
}

const line = (more: Record<string, unknown> = {}): string => `${JSON.stringify(claimJson(more))}\n`
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

t.test('a result a line, whatever became of it, and a last line with the sums', async (t) => {
  const { port } = await startFront(t)
  const known = line()
  const first = new Upload(port)
  first.write(known)
  t.match((await first.finish()).lines, [{ index: 0, status: 'created', lsn: 1 }, { done: true, created: 1, duplicate: 0, refused: 0 }])
  const upload = new Upload(port)
  upload.write(line() + '\n  \n' + known + '{"subject":1}\r\n' + 'nonsense\n')
  upload.write(line({ note: 'refuse:key_weak' }) + line().trimEnd())
  const { status, lines } = await upload.finish()
  t.equal(status, 207)
  const last = lines.pop()
  t.match(last, { done: true, created: 2, duplicate: 1, refused: 3, request_id: /^[0-9a-f]{24}$/ })
  t.match(lines.sort((a, b) => a.index! - b.index!), [
    { index: 0, status: 'created' }, { index: 1, status: 'duplicate', lsn: 1 },
    { index: 2, status: 'refused', code: 'field_invalid', pointer: '/subject' }, { index: 3, status: 'refused', code: 'malformed_json' },
    { index: 4, status: 'refused', code: 'key_weak' }, { index: 5, status: 'created' },
  ])
  t.equal(lines.length, 6, 'empty lines are nothing')
})

t.test('lines are answered while the body is still open', async (t) => {
  const { port } = await startFront(t)
  const upload = new Upload(port)
  upload.write(line())
  const response = await upload.response
  const [chunk] = await once(response, 'data') as [Buffer]
  t.match(JSON.parse(chunk.toString()), { index: 0, status: 'created' })
  upload.write(line().slice(0, 20))
  await turn()
  upload.request.end('"}\n')
  const rest: Buffer[] = []
  for await (const part of response) rest.push(part as Buffer)
  t.match(Buffer.concat(rest).toString(), /field_missing.*\n.*"done":true/)
})

t.test('bodies with no line', async (t) => {
  const { http } = await startFront(t)
  for (const body of ['', '\n\n', '  ']) {
    const response = await fetch(`${http}/v1/assert/batch`, { method: 'POST', headers: { 'content-type': 'application/x-ndjson' }, body })
    t.equal(response.status, 400)
    t.match(await response.json(), { code: 'batch_empty' })
  }
})

t.test('back-pressure: what can not be taken is not read, and nothing is lost', async (t) => {
  const { port, pipeline } = await startFront(t)
  pipeline.held = true
  const upload = new Upload(port)
  const count = 5000
  const note = 'n'.repeat(3500)
  const lines = Array.from({ length: count }, () => line({ note }))
  let written = 0
  const all = (async () => {
    for (const one of lines) {
      written++
      if (!upload.write(one)) await once(upload.request, 'drain')
    }
    upload.request.end()
  })()
  while (pipeline.waiting.length < NDJSON_BATCHES_MAX) await turn()
  const reading = upload.read()
  // The sockets' buffers fill up, and then the client has to wait.
  for (let still = 0; still < 50;) {
    const before = written
    await turn()
    still = written === before ? still + 1 : 0
  }
  t.equal(pipeline.waiting.length, NDJSON_BATCHES_MAX, 'so many batches are under way, and no more')
  t.ok(written < count, `the client has written ${written} lines of ${count}`)
  const released = setInterval(() => pipeline.release(), 1)
  t.teardown(() => clearInterval(released))
  const { lines: results } = await reading
  clearInterval(released)
  await all
  t.match(results.at(-1), { done: true, created: count, duplicate: 0, refused: 0 })
  t.strictSame(results.slice(0, -1).map((result) => result.index).sort((a, b) => a! - b!), Array.from({ length: count }, (_, i) => i))
  t.ok(pipeline.batchSizes.every((size) => size <= NDJSON_BATCH_ASSERTIONS_MAX))
  t.equal(pipeline.stored.size, count)
})

t.test('full rings are waited for', async (t) => {
  const { port, pipeline } = await startFront(t)
  pipeline.full = true
  const upload = new Upload(port)
  upload.write(line() + line())
  while (pipeline.submitCount < 3) await turn()
  pipeline.full = false
  const { lines } = await upload.finish()
  t.match(lines.at(-1), { done: true, created: 2 })
})

t.test('full rings are not waited for for ever', async (t) => {
  const { port, pipeline } = await startFront(t, { processingTimeoutMs: 100 })
  pipeline.full = true
  const upload = new Upload(port)
  upload.write(line())
  const { status, lines } = await upload.read()
  t.equal(status, 503)
  t.match(lines, [{ code: 'overloaded' }])
})

t.test('a node that stops taking writes in the middle', async (t) => {
  const { port, pipeline } = await startFront(t)
  const upload = new Upload(port)
  upload.write(line())
  const response = await upload.response
  pipeline.writable = 'disk_full'
  upload.write(line() + line())
  let text = ''
  for await (const chunk of response) text += String(chunk)
  const lines = text.trim().split('\n').map((one) => JSON.parse(one) as Line)
  t.match(lines, [
    { index: 0, status: 'created' }, { index: 1, status: 'refused', code: 'disk_full' }, { index: 2, status: 'refused', code: 'disk_full' },
    { done: false, created: 1, refused: 2, problem: { code: 'disk_full' } },
  ])
})

t.test('acks that do not come', async (t) => {
  const { port, pipeline } = await startFront(t, { processingTimeoutMs: 100 })
  pipeline.held = true
  const upload = new Upload(port)
  upload.write(line())
  const { lines } = await upload.read()
  t.match(lines, [{ index: 0, status: 'refused', code: 'timeout' }, { done: false, problem: { code: 'timeout' } }])
  pipeline.release()
})

t.test('a line that never ends', async (t) => {
  const { port } = await startFront(t, { frameBytesMax: 64 * 1024 })
  const upload = new Upload(port)
  const writing = setInterval(() => upload.write('x'.repeat(8192)), 1)
  t.teardown(() => clearInterval(writing))
  const { status, lines } = await upload.read()
  clearInterval(writing)
  t.equal(status, 413)
  t.match(lines, [{ code: 'frame_too_large' }])
  upload.request.destroy()
})

t.test('a stream that stalls after its first line', async (t) => {
  const { port } = await startFront(t, { ingressTimeoutMs: 150 })
  const upload = new Upload(port)
  upload.write(line())
  const { status, lines } = await upload.read()
  t.equal(status, 207)
  t.match(lines, [{ index: 0, status: 'created' }, { done: false, created: 1, problem: { code: 'body_timeout' } }])
  upload.request.destroy()
})

t.test('a trickle of lines that are no assertions', async (t) => {
  const { port } = await startFront(t, { ingressTimeoutMs: 200 })
  for (const drop of ['\n', '1\n']) {
    const upload = new Upload(port)
    const writing = setInterval(() => upload.write(drop), 20)
    t.teardown(() => clearInterval(writing))
    const { lines } = await upload.read()
    clearInterval(writing)
    t.match(JSON.stringify(lines.at(-1)), /"code":"body_timeout"/, `${JSON.stringify(drop)} keeps no connection`)
    upload.request.destroy()
  }
  const patient = await startFront(t, { ingressTimeoutMs: 2000 })
  const upload = new Upload(patient.port)
  for (let i = 0; i < 15; i++) {
    upload.write(line())
    await sleep(150)
  }
  upload.request.end()
  t.match((await upload.read()).lines.at(-1), { done: true, created: 15 }, 'one of assertions does, for as long as it likes')
})

t.test('a client that sends and never reads loses its connection, and the memory is bounded meanwhile', async (t) => {
  const { port, pipeline } = await startFront(t, { processingTimeoutMs: 300 })
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  socket.pause()
  socket.write('POST /v1/assert/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n')
  // Each bad line of 2 bytes is answered with a hundred times as much.
  const part = '{\n'.repeat(16 * 1024)
  const chunk = `${part.length.toString(16)}\r\n${part}\r\n`
  let stopped = false
  const closed = new Promise<void>((resolve) => {
    socket.on('close', () => {
      stopped = true
      resolve()
    })
  })
  let written = 0
  while (!stopped && written < 4000) {
    written++
    if (!socket.write(chunk)) await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), closed])
  }
  await closed
  t.ok(written < 4000, `cut after ${written} parts`)
  t.equal(pipeline.submitCount, 0)
})

t.test('under a rate limit a stream is slowed down, not refused', async (t) => {
  const { port } = await startFront(t, { ratePerSecond: 400 })
  const upload = new Upload(port)
  for (let i = 0; i < 900; i++) upload.write(line())
  const { lines } = await upload.finish()
  t.match(lines.at(-1), { done: true, created: 900, refused: 0 })
})

t.test('a drain lets a stream go with what it has', async (t) => {
  const { port, front } = await startFront(t)
  const upload = new Upload(port)
  upload.write(line())
  const response = await upload.response
  const drained = front.drain()
  upload.write(line())
  let text = ''
  for await (const chunk of response) text += String(chunk)
  t.match(text, /"status":"created"[^]*"code":"shutting_down"[^]*"done":false/)
  await drained
})
