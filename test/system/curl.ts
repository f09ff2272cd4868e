import { execFile } from 'node:child_process'

export interface CurlAnswer {
  readonly status: number
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
  /** The body as JSON. @throws {SyntaxError} where it is none. */
  json(): Record<string, unknown>
}

const OUTPUT_BYTES_MAX = 64 * 2 ** 20

/** Runs curl and takes its answer apart. `input` goes to its standard input. @throws {Error} where curl fails. */
export function curl(args: readonly string[], input?: string | Uint8Array): Promise<CurlAnswer> {
  return new Promise((resolve, reject) => {
    const child = execFile('curl', ['-sS', '-i', '--max-time', '20', ...args], { encoding: 'buffer', maxBuffer: OUTPUT_BYTES_MAX }, (error, stdout, stderr) => {
      if (error !== null) reject(new Error(`curl ${args.join(' ')}: ${stderr.toString()}`, { cause: error }))
      else resolve(answerOf(stdout))
    })
    child.stdin?.on('error', () => undefined) // curl may have its answer before it has read everything
    child.stdin?.end(input)
  })
}

function answerOf(output: Buffer): CurlAnswer {
  let rest = output
  for (;;) {
    const end = rest.indexOf('\r\n\r\n')
    if (end < 0) throw new Error(`no HTTP answer: ${output.toString('latin1', 0, 200)}`)
    const [statusLine, ...lines] = rest.toString('latin1', 0, end).split('\r\n')
    rest = rest.subarray(end + 4)
    const status = Number(statusLine!.split(' ')[1])
    if (status < 200) continue // 100 Continue, then the answer
    const headers = new Map(lines.map((line): [string, string] => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
    }))
    const body = rest.toString('utf8')
    return { status, headers, body, json: () => JSON.parse(body) as Record<string, unknown> }
  }
}

const JSON_HEADER = ['-H', 'content-type: application/json'] as const

/** POST with a JSON body, which curl reads from its standard input. */
export function postJson(url: string, body: unknown, ...args: readonly string[]): Promise<CurlAnswer> {
  return curl([...JSON_HEADER, '--data-binary', '@-', ...args, url], typeof body === 'string' ? body : JSON.stringify(body))
}

export const get = (url: string, ...args: readonly string[]): Promise<CurlAnswer> => curl([...args, url])
