import { connect } from 'node:net'
import t from 'tap'
import { claimJson, startFront } from './front-under-test.ts'

// Requests byte by byte, as no HTTP client sends them.

interface RawAnswer {
  /** Status lines, in the order of the answers. */
  readonly statuses: readonly number[]
  readonly text: string
  /** The node has closed the connection. */
  readonly closed: boolean
}

/** Sends the bytes of `text` (latin1), and reads until the other side closes, or `answers` have come. */
function raw(port: number, text: string, answers = Infinity): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    let got = ''
    const end = (closed: boolean): void => {
      socket.destroy()
      resolve({ statuses: statusesOf(got), text: got, closed })
    }
    socket.setEncoding('latin1')
    socket.on('error', reject)
    socket.on('data', (data: string) => {
      got += data
      if (statusesOf(got).length >= answers) end(false)
    })
    socket.on('end', () => end(true))
    socket.write(Buffer.from(text, 'latin1'))
  })
}

const statusesOf = (text: string): number[] => [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => Number(status))

const problemOf = ({ text }: RawAnswer): Record<string, unknown> => JSON.parse(text.slice(text.indexOf('\r\n\r\n') + 4)) as Record<string, unknown>

const BODY = JSON.stringify(claimJson())
const POST = 'POST /v1/assert HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n'
const LENGTH = `content-length: ${BODY.length}\r\n`

t.test('where a body ends has one answer, or the request is refused and its connection closed', async (t) => {
  const { port, pipeline } = await startFront(t)
  const chunked = `transfer-encoding: chunked\r\n\r\n${BODY.length.toString(16)}\r\n${BODY}\r\n0\r\n\r\n`
  for (const [name, rest] of Object.entries({
    'two lengths, the right one first': `${LENGTH}content-length: 3\r\n\r\n${BODY}`,
    'two lengths, the right one last': `content-length: 3\r\n${LENGTH}\r\n${BODY}`,
    'the same length twice': `${LENGTH}Content-Length: ${BODY.length}\r\n\r\n${BODY}`,
    'an empty length, and one': `content-length: \r\n${LENGTH}\r\n${BODY}`,
    'an empty length': `content-length:\r\n\r\n${BODY}`,
    'another coding': chunked.replace('chunked', 'gzip'),
    'another coding, and chunked': `transfer-encoding: gzip\r\n${chunked}`,
    'something like chunked': chunked.replace('chunked', 'xchunked'),
    'no coding, and a length': `transfer-encoding: \r\n${LENGTH}\r\n${BODY}`,
  })) {
    const answer = await raw(port, `${POST}${rest}`)
    t.strictSame([answer.statuses, answer.closed], [[400], true], name)
    t.match(answer.text, /content-type: application\/problem\+json/, name)
    t.match(problemOf(answer), { code: 'parameter_invalid', parameter: /^content-length$|^transfer-encoding$/ }, name)
    const followed = await raw(port, `${POST}${rest}${POST}${LENGTH}\r\n${BODY}`)
    t.strictSame([followed.statuses.filter((status) => status !== 400), followed.closed], [[], true], `${name}: what follows is no request`)
  }
  t.equal(pipeline.submitCount, 0, 'nothing was submitted')
  for (const method of ['GET', 'HEAD', 'OPTIONS', 'DELETE']) {
    const answer = await raw(port, `${method} /livez HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 3\r\n\r\nhello`)
    t.strictSame([answer.statuses, answer.closed], [[400], true], method)
  }
  for (const rest of [`${LENGTH}\r\n${BODY}`, chunked, chunked.replace('chunked', 'Chunked')]) {
    const good = await raw(port, `${POST}${rest}`, 1)
    t.strictSame(good.statuses.map((status) => status < 300), [true], 'others are taken')
  }
})

t.test('a request target with other bytes than visible ASCII is refused, not bent', async (t) => {
  const { port } = await startFront(t)
  for (const target of ['/v1/query?subject=t26/\xff', '/v1/query?subject=caf\xc3\xa9', '/v1/query?s\xff=1', '/v1/assertions/\xff', '/\xef\xbf\xbd', '/v1/feed?prefix=\x80']) {
    const answer = await raw(port, `GET ${target} HTTP/1.1\r\nhost: a\r\n\r\n`, 1)
    t.strictSame(answer.statuses, [400], JSON.stringify(target))
    t.match(problemOf(answer), { code: 'parameter_invalid', parameter: 'target' })
  }
  const encoded = await raw(port, 'GET /v1/query?subject=caf%C3%A9/%EF%BF%BD HTTP/1.1\r\nhost: a\r\n\r\n', 1)
  t.strictSame(encoded.statuses, [200], 'encoded, it is asked about what was meant')
})

t.test('what the HTTP library answers by itself is what http-api.md says', async (t) => {
  const { port } = await startFront(t)
  const get = 'GET /livez HTTP/1.1\r\nhost: a\r\n'
  const fields = (count: number): string => Array.from({ length: count }, (_, i) => `h${i}: x\r\n`).join('')
  for (const [status, requests] of Object.entries({
    400: [
      `${POST}content-length: x\r\n\r\n`, `${POST}content-length: 5, 5\r\n\r\nhello`, `${POST}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
      `${POST}transfer-encoding: chunked\r\n\r\nzz\r\n`,
    ],
    431: [`${get}a: ${'x'.repeat(5000)}\r\n\r\n`, `${get}${fields(98)}\r\n`],
    505: [
      get.replace('1.1', '1.0') + '\r\n', get.replace('1.1', '1.2') + '\r\n', get.replaceAll('\r', '') + '\n', get.replace('/livez', 'http://a/livez') + '\r\n',
      get.replace('livez', '\x01') + '\r\n', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
    ],
  })) {
    for (const request of requests) {
      const answer = await raw(port, request)
      t.strictSame([answer.statuses, answer.closed], [[Number(status)], true], JSON.stringify(request.slice(0, 60)))
      t.match(answer.text, /<h1>/)
      t.notMatch(answer.text, /x-request-id/)
    }
  }
  t.strictSame((await raw(port, `${get}${fields(97)}\r\n`, 1)).statuses, [200], '98 fields are taken')
})
