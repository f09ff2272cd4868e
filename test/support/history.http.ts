import { connect, type Socket } from 'node:net'

export interface PlainResponse {
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
}

const HEAD_END = Buffer.from('\r\n\r\n')

interface Waiting {
  readonly resolve: (response: PlainResponse) => void
  readonly reject: (error: Error) => void
}

/** One keep-alive connection with one request under way: the least that HTTP/1.1 needs, to cost less than the server. */
class Connection {
  readonly #socket: Socket
  #waiting: Waiting | undefined
  #buffer: Buffer = Buffer.alloc(0)

  constructor(port: number) {
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true })
    this.#socket.on('data', (chunk: Buffer) => this.#take(chunk))
    this.#socket.on('error', (error) => this.#fail(error))
    this.#socket.on('close', () => this.#fail(new Error('connection closed')))
  }

  #fail(error: Error): void {
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.reject(error)
  }

  #take(chunk: Buffer): void {
    this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk])
    const headEnd = this.#buffer.indexOf(HEAD_END)
    if (headEnd < 0) return
    const lines = this.#buffer.toString('latin1', 0, headEnd).split('\r\n')
    const headers = new Map(lines.slice(1).map((line) => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
    }))
    const bodyStart = headEnd + HEAD_END.length
    const length = Number(headers.get('content-length') ?? 0)
    if (this.#buffer.length < bodyStart + length) return
    const body = this.#buffer.toString('utf8', bodyStart, bodyStart + length)
    this.#buffer = this.#buffer.subarray(bodyStart + length)
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.resolve({ status: Number(lines[0]!.split(' ')[1]), headers, body })
  }

  get(path: string): Promise<PlainResponse> {
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) {
        reject(new Error('connection closed'))
        return
      }
      this.#waiting = { resolve, reject }
      this.#socket.write(`GET ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n`)
    })
  }

  close(): void {
    this.#socket.destroy()
  }
}

/** Asks for all paths over a few connections and gives each answer to `take`. @throws where a connection breaks. */
export async function getAll(
  port: number, paths: readonly string[], take: (path: string, response: PlainResponse) => void, connections = 32,
): Promise<void> {
  let next = 0
  const pool = Array.from({ length: Math.min(connections, paths.length) }, () => new Connection(port))
  try {
    await Promise.all(pool.map(async (connection) => {
      while (next < paths.length) {
        const path = paths[next++]!
        take(path, await connection.get(path))
      }
    }))
  } finally {
    for (const connection of pool) connection.close()
  }
}
