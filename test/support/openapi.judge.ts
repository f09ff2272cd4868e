import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import { ERROR_CODES } from '../../src/base/error-codes.ts'
import type { ApiRequest, BadRequest } from './openapi.bad.ts'
import type { ApiOperation } from './openapi.sample.ts'

/** What came back. */
export interface ApiAnswer {
  readonly status: number
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

const PROBLEM_TYPE = 'application/problem+json'
const ANSWER_MS_MAX = 20_000
/** Of a stream without an end, enough to know that it is one. */
const STREAM_TYPE = 'text/event-stream'

/** A client that lets anything pass which can be written into a request. Connections are kept and reused. */
export class ApiClient {
  readonly #url: URL
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })

  /** @param url `http://127.0.0.1:port` */
  constructor(url: string) {
    this.#url = new URL(url)
  }

  /** @throws {Error} where there is no answer. */
  async send(request: ApiRequest): Promise<ApiAnswer> {
    try {
      return await this.#once(request)
    } catch (error) {
      // The node closes connections whose body it does not want to read; that may meet the next request on it.
      if (!['ECONNRESET', 'EPIPE'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
      return await this.#once(request)
    }
  }

  close(): void {
    this.#agent.destroy()
  }

  #once({ method, target, headers, body }: ApiRequest): Promise<ApiAnswer> {
    return new Promise((resolve, reject) => {
      let answer: IncomingMessage | undefined
      const sent = httpRequest({
        agent: this.#agent, host: this.#url.hostname, port: this.#url.port, method, path: target, timeout: ANSWER_MS_MAX,
        headers: { ...headers, ...(body === undefined ? {} : { 'content-length': String(body.length) }) },
      }, (message) => {
        answer = message
        readAll(message).then(resolve, reject)
      })
      sent.on('timeout', () => sent.destroy(new Error(`no answer within ${ANSWER_MS_MAX} ms`)))
      // An answer may come before the body was taken, and the connection go then: what counts is the answer.
      sent.on('error', (error) => { if (answer === undefined) reject(error) })
      sent.end(body)
    })
  }
}

async function readAll(message: IncomingMessage): Promise<ApiAnswer> {
  const headers = Object.fromEntries(Object.entries(message.headers).map(([name, value]) => [name, String(value)]))
  const status = message.statusCode ?? 0
  if (headers['content-type']?.startsWith(STREAM_TYPE) === true) {
    message.destroy()
    return { status, headers, body: '' }
  }
  const chunks: Buffer[] = []
  for await (const chunk of message) chunks.push(chunk as Buffer)
  return { status, headers, body: Buffer.concat(chunks).toString('utf8') }
}

interface Problem {
  readonly type?: unknown
  readonly title?: unknown
  readonly status?: unknown
  readonly detail?: unknown
  readonly code?: unknown
  readonly retryable?: unknown
  readonly request_id?: unknown
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch {
    return undefined // SyntaxError: it is no JSON
  }
}

/** What is wrong with a problem document (RFC 9457, and docs/reference/http-api.md). */
function faultOfProblem({ status, headers, body }: ApiAnswer, isHead: boolean, operation: ApiOperation | undefined): string | undefined {
  if (headers['content-type']?.split(';')[0] !== PROBLEM_TYPE) return `content-type ${headers['content-type']}`
  if (headers['x-request-id'] === undefined) return 'no x-request-id'
  if (isHead) return body === '' ? undefined : 'a HEAD was answered with a body'
  const problem = parsed(body) as Problem | null | undefined
  if (typeof problem !== 'object' || problem === null) return 'no JSON object'
  const { code } = problem
  if (typeof code !== 'string' || !(code in ERROR_CODES)) return `code ${String(code)}`
  if (problem.status !== status) return `status ${String(problem.status)} inside`
  if (problem.type !== `/problems/${code}`) return `type ${String(problem.type)}`
  if (problem.request_id !== headers['x-request-id']) return 'another request_id than in the header'
  if (typeof problem.title !== 'string' || typeof problem.detail !== 'string' || problem.detail === '' || typeof problem.retryable !== 'boolean') return 'title, detail or retryable is missing'
  if (/\bat .*:\d+:\d+|\/src\/|node_modules/.test(problem.detail)) return `it shows the inside: ${problem.detail}`
  const documented = operation?.responses[String(status)]
  if (operation !== undefined && documented?.description.includes(`\`${code}\``) !== true) return `${status} ${code} is not in openapi.json`
  return undefined
}

/** Lines of a streamed answer to a streamed body: each refused, nothing made. */
function faultOfLines(body: string): string | undefined {
  const lines = body.trimEnd().split('\n').map(parsed) as ({ status?: string, code?: string, done?: boolean, created?: number } | undefined)[]
  const end = lines.pop()
  if (end?.done === undefined || end.created !== 0) return `the last line is ${JSON.stringify(end)}`
  const wrong = lines.find((line) => line?.status !== 'refused' || !(String(line.code) in ERROR_CODES))
  return wrong === undefined ? undefined : `a line says ${JSON.stringify(wrong)}`
}

/** Whether an answer to several questions in one says of each of them, with a stable code, why it was refused. */
function refusesEach(body: string): boolean {
  const { results } = (parsed(body) ?? {}) as { results?: readonly { problem?: { code?: unknown } }[] }
  return Array.isArray(results) && results.length > 0 && results.every((result: { problem?: { code?: unknown } }) => String(result.problem?.code) in ERROR_CODES)
}

/**
 * What is wrong with the answer to a bad request; undefined where it is as it has to be: never a fault of the server, a problem document with a stable code that
 * openapi.json names for the operation, and never a success where the request is wrong by the document.
 *
 * @param operation that was asked, by the document; undefined where none was: wrong methods and paths.
 */
export function faultOf(request: BadRequest, answer: ApiAnswer, operation: ApiOperation | undefined): string | undefined {
  const { status } = answer
  if (status >= 500 || status === 0) return `a server error: ${status} ${answer.body.slice(0, 300)}`
  const isLines = request.linesMayRefuse !== undefined && answer.headers['content-type']?.startsWith(request.linesMayRefuse) === true
  if (status >= 400) return faultOfProblem(answer, request.method === 'HEAD', status === 404 || status === 405 ? undefined : operation)
  if (request.must === 'odd') return undefined
  if (isLines) return faultOfLines(answer.body)
  if (refusesEach(answer.body)) return undefined
  return `it was taken: ${status} ${answer.body.slice(0, 300)}`
}
