import { ByteBuffer } from 'flatbuffers'
import { WebSocket, type RawData } from 'ws'
import { systemClock } from '../../../src/base/clock.ts'
import { systemSecrets } from '../../../src/base/random.ts'
import type { Config } from '../../../src/config/options.ts'
import { configWith } from '../../../src/config/load.ts'
import { Acks } from '../../../src/fbs/stemedb/acks.ts'
import { ErrorFrame } from '../../../src/fbs/stemedb/error-frame.ts'
import type { FrontOptions } from '../../../src/front/hooks.ts'
import { createFront, type Front } from '../../../src/front/server.ts'
import { noMetrics } from '../../../src/observe/thread-metrics.ts'
import type { Assertion } from '../../../src/record/assertion.ts'
import { initHash } from '../../../src/record/claim.ts'
import { encodeAssertion } from '../../../src/wire/assertion.codec.ts'
import { encodeBatch } from '../../../src/wire/batch.codec.ts'
import { FakePipeline } from './fake-pipeline.ts'

export interface UnderTest {
  readonly front: Front
  readonly pipeline: FakePipeline
  readonly port: number
  readonly http: string
  readonly ws: string
  readonly faults: unknown[]
}

interface Teardown {
  teardown(step: () => void): unknown
}

export async function startFront(t: Teardown, settings: Partial<Config> = {}, options: Partial<FrontOptions> = {}): Promise<UnderTest> {
  await initHash()
  const pipeline = new FakePipeline()
  const faults: unknown[] = []
  const config = configWith({ apiPort: 0, ...settings })
  const front = createFront({
    config,
    pipeline,
    clock: systemClock,
    secrets: systemSecrets,
    metrics: noMetrics,
    metricsText: () => Promise.resolve('# HELP x y\n'),
    health: { report: () => ({ ok: true, checks: [{ name: 'wal', ok: true }] }) },
    version: '0.0.0-test',
    nodeId: new Uint8Array(32).fill(7),
    onFault: (error) => void faults.push(error),
    ...options,
  })
  const port = await front.listen()
  t.teardown(() => front.close())
  const tls = config.tlsCertFile === '' ? '' : 's'
  return { front, pipeline, port, http: `http${tls}://127.0.0.1:${port}`, ws: `ws${tls}://127.0.0.1:${port}/v1/stream`, faults }
}

/** A `ws` client that keeps what it got. */
export class StreamClient {
  readonly socket: WebSocket
  readonly frames: Uint8Array[] = []
  closed: { code: number, reason: string } | undefined
  readonly #closing: Promise<void>
  #wake: () => void = () => {}

  constructor(url: string, protocols: string[] = ['stemedb.v1']) {
    this.socket = new WebSocket(url, protocols, { rejectUnauthorized: false })
    this.socket.on('message', (data: RawData) => {
      this.frames.push(new Uint8Array(data as Buffer))
      this.#wake()
    })
    this.socket.on('error', () => {})
    this.#closing = new Promise((resolve) => {
      this.socket.on('close', (code: number, reason: Buffer) => {
        this.closed = { code, reason: reason.toString() }
        this.#wake()
        resolve()
      })
    })
  }

  static async open(url: string): Promise<StreamClient> {
    const client = new StreamClient(url)
    await client.until(() => client.frames.length > 0)
    return client
  }

  /** Waits for an event after which `condition` holds. The test's own timeout is the bound. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => { this.#wake = resolve })
  }

  ended(): Promise<void> {
    return this.#closing
  }

  send(data: Uint8Array | string): void {
    this.socket.send(data)
  }

  identifiers(): string[] {
    return this.frames.map((frame) => String.fromCharCode(...frame.subarray(4, 8)))
  }

  /** All acks so far, in order. */
  acks() {
    return this.frames.filter((f) => new ByteBuffer(f).__has_identifier('SACK')).flatMap((frame) => {
      const acks = Acks.getRootAsAcks(new ByteBuffer(frame))
      return Array.from({ length: acks.acksLength() }, (_, i) => acks.acks(i)!)
    })
  }

  creditReturned(): number {
    return this.frames.filter((f) => new ByteBuffer(f).__has_identifier('SACK'))
      .reduce((sum, frame) => sum + Acks.getRootAsAcks(new ByteBuffer(frame)).creditBytes(), 0)
  }

  error(): { code: number, name: string, detail: string } | undefined {
    const frame = this.frames.find((f) => new ByteBuffer(f).__has_identifier('SERR'))
    if (frame === undefined) return undefined
    const error = ErrorFrame.getRootAsErrorFrame(new ByteBuffer(frame))
    return { code: error.code(), name: error.name(), detail: error.detail() }
  }

  async close(): Promise<void> {
    this.socket.close()
    await this.#closing
  }
}


let serial = 0

/** An assertion like no other. */
export function claim(more: Partial<Assertion> = {}): Assertion {
  return {
    subject: `drug/aspirin/${serial++}`, predicate: 'dose', object: { kind: 'number', value: 100 }, confidence: 0.5, sourceClass: 3,
    sourceHash: new Uint8Array(32), lifecycle: 'proposed', agent: new Uint8Array(32).fill(9), assertedAtMs: 1_700_000_000_000, ...more,
  }
}

export function batchOf(requestId: bigint, assertions: readonly Assertion[]): Uint8Array {
  return encodeBatch({ requestId, items: assertions.map((one) => ({ assertion: encodeAssertion(one) })) })
}

/** JSON of an assertion like no other. */
export function claimJson(more: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    subject: `drug/aspirin/${serial++}`, predicate: 'dose', object: { type: 'number', value: 100 }, confidence: 0.5,
    agent: '09'.repeat(32), asserted_at: 1_700_000_000_000, ...more,
  }
}
