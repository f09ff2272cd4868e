import { accessSync, constants } from 'node:fs'
import { MessageChannel } from 'node:worker_threads'
import { App, SSLApp, us_listen_socket_close, us_socket_local_port, type TemplatedApp, type us_listen_socket } from 'uWebSockets.js'
import { errorNameOf } from '../base/error-codes.ts'
import { DbError } from '../base/errors.ts'
import type { AckView } from '../commit/ack.layout.ts'
import type { Config } from '../config/options.ts'
import { Admission } from './admission.ts'
import { Auditor } from './audit/auditor.ts'
import { ConnectionGate } from './connection-gate.ts'
import { connectionsMax, submittersMax } from './front-limits.ts'
import type { FrontOptions } from './hooks.ts'
import { listenFault } from './listen-fault.ts'
import { HttpEndpoint } from './http.ts'
import type { PipelineHandler } from './pipeline.ts'
import { Queries } from './queries.ts'
import { FeedHub } from './feed-hub.ts'
import { LensAsker } from './feed-lens.ts'
import { RateLimiter } from './rate-limiter.ts'
import { STREAM_PATH } from './routes.ts'
import { SlotTable } from './slots.ts'
import { Stream } from './stream.ts'
import { listenExclusively } from './uws.ts'

/** HTTP and WebSocket on one port. */
export interface Front {
  /** Resolves with the port. @throws {DbError} `config_invalid` where it can not be had. */
  listen(): Promise<number>
  /**
   * Stops listening, refuses new work with `shutting_down`, waits for the answers of what is under way (at most
   * drainTimeoutMs), then ends all WebSocket connections with 1012.
   */
  drain(): Promise<void>
  /** Cuts what is left. The front is of no use afterwards. */
  close(): void
}

/** Interval at which a drain looks whether it is done. */
const DRAIN_POLL_MS = 10
/** After its close frames, a socket gets so long to take them. */
const CLOSE_FRAMES_MS = 50

const TOTAL = Object.freeze({ stage: 'total' as const })
const STREAM_QUERY = Object.freeze({ endpoint: 'stream' as const })

class UwsFront implements Front, PipelineHandler {
  readonly #options: FrontOptions
  readonly #admission: Admission
  readonly #slots: SlotTable
  readonly #queries: Queries
  readonly #auditor: Auditor
  readonly #feed: FeedHub
  readonly #http: HttpEndpoint
  readonly #stream: Stream
  readonly #app: TemplatedApp
  #listening: us_listen_socket | undefined
  #closed = false
  /** One look at the clock a drain. 0: none yet. */
  #drainMonoMs = 0

  constructor(options: FrontOptions) {
    const { config, pipeline, clock, metrics } = options
    this.#options = options
    this.#admission = new Admission(pipeline, new RateLimiter(config.ratePerSecond, clock), metrics)
    // Requests that do not count against httpRequestsMax submit nothing.
    this.#slots = new SlotTable(config.sessionsMax + submittersMax(config))
    this.#queries = new Queries(pipeline, clock)
    this.#auditor = new Auditor({
      config, clock, metrics, secrets: options.secrets, isDiskFull: () => pipeline.status().writable === 'disk_full',
      onFault: (error) => options.onFault?.(error),
    })
    this.#feed = new FeedHub(options)
    const feed = { options, hub: this.#feed, asker: new LensAsker(this.#queries) }
    this.#http = new HttpEndpoint({ options, admission: this.#admission, slots: this.#slots, queries: this.#queries, auditor: this.#auditor, feed })
    const gate = new ConnectionGate(connectionsMax(config, options.filesMax ?? Infinity))
    this.#stream = new Stream({
      options,
      admission: this.#admission,
      slots: this.#slots,
      gate,
      feed,
      auditor: this.#auditor,
      refuse: (res, req, error) => this.#http.refuseUpgrade(res, req, error),
    })
    this.#app = appFor(config)
    this.#app.filter((res, count) => {
      if (count < 0) return gate.closed()
      if (gate.opened()) return
      this.#admission.refused('connections_exhausted')
      res.close()
    })
    this.#app.ws(STREAM_PATH, this.#stream.behavior())
    this.#app.any('/*', (res, req) => this.#http.handle(res, req))
    pipeline.handler = this
  }

  async listen(): Promise<number> {
    const { bindAddress, apiPort } = this.#options.config
    await this.#openAudit()
    return new Promise((resolve, reject) => {
      listenExclusively(this.#app, bindAddress, apiPort, (socket) => {
        if (socket === false) {
          return void listenFault(bindAddress, apiPort).then(reject)
        }
        this.#listening = socket
        resolve(us_socket_local_port(socket))
      })
    })
  }

  /** An audit that can not be read is no reason not to serve: it will be told again with each record that fails. */
  async #openAudit(): Promise<void> {
    if (this.#auditor.mode === 'off') return
    await this.#auditor.open().catch((error: unknown) => this.#options.onFault?.(error))
  }

  async drain(): Promise<void> {
    this.#admission.draining = true
    this.#stopListening()
    this.#feed.endAll()
    // The clock's timers do not keep the process alive, and the last socket may be gone before a drain is done.
    const awake = new MessageChannel().port1
    awake.ref()
    try {
      await this.#drained()
    } finally {
      awake.close()
    }
  }

  async #drained(): Promise<void> {
    const { clock, config } = this.#options
    const deadlineMonoMs = clock.monoMs() + config.drainTimeoutMs
    while (this.#busy && clock.monoMs() < deadlineMonoMs) await this.#pause(DRAIN_POLL_MS)
    this.#stream.outbox.flush()
    this.#stream.closeAudits()
    await this.#auditor.close()
    if (this.#stream.sessionCount === 0) return
    this.#stream.closeAll()
    await this.#pause(CLOSE_FRAMES_MS)
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#admission.draining = true
    this.#stopListening()
    this.#app.close()
  }

  ack(ack: AckView): void {
    const { metrics, clock } = this.#options
    metrics.inc('acks_total')
    if (this.#drainMonoMs === 0) this.#drainMonoMs = clock.monoMs()
    metrics.observe('ack_latency_seconds', TOTAL, (this.#drainMonoMs - ack.receivedMonoMs) / 1000)
    if (ack.refused !== 0) metrics.inc('refusals_total', { code: errorNameOf(ack.refused) })
    this.#slots.ownerOf(ack.slot, ack.generation)?.onAck(ack)
  }

  receipt(slot: number, generation: number, frame: Uint8Array): void {
    const owner = this.#slots.ownerOf(slot, generation)
    if (owner === undefined) return
    this.#options.metrics.inc('receipts_total')
    owner.onReceipt(frame)
  }

  reply(reply: Uint8Array): void {
    this.#queries.reply(reply)
  }

  feed(message: Uint8Array): void {
    this.#feed.receive(message)
  }

  replies(slot: number, generation: number, queries: number, receivedMonoMs: number, frame: Uint8Array): void {
    const { metrics, clock } = this.#options
    metrics.inc('queries_total', STREAM_QUERY, queries)
    if (this.#drainMonoMs === 0) this.#drainMonoMs = clock.monoMs()
    metrics.observe('query_latency_seconds', STREAM_QUERY, (this.#drainMonoMs - receivedMonoMs) / 1000)
    this.#slots.ownerOf(slot, generation)?.onReplies(queries, frame)
  }

  flush(): void {
    this.#stream.outbox.flush()
    this.#drainMonoMs = 0
    this.#options.metrics.set('credit_used_bytes', this.#admission.unackedBytes)
  }

  /** Something is still owed an answer. */
  get #busy(): boolean {
    return this.#admission.unackedBytes > 0 || this.#http.openCount > 0 || this.#stream.openQueries > 0
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.#options.clock.timer(delayMs, resolve))
  }

  #stopListening(): void {
    if (this.#listening !== undefined) us_listen_socket_close(this.#listening)
    this.#listening = undefined
  }
}

/** @throws {DbError} `config_invalid` where the certificate or key can not be used. */
function appFor(config: Config): TemplatedApp {
  if (config.tlsCertFile === '') return App()
  for (const setting of ['tlsCertFile', 'tlsKeyFile'] as const) {
    try {
      accessSync(config[setting], constants.R_OK)
    } catch (cause) {
      throw new DbError('config_invalid', `${setting} = ${config[setting]}: the file can not be read`, { setting }, { cause })
    }
  }
  try {
    return SSLApp({ cert_file_name: config.tlsCertFile, key_file_name: config.tlsKeyFile })
  } catch (cause) {
    throw new DbError('config_invalid', `tlsCertFile = ${config.tlsCertFile}: no such certificate with this key`, { setting: 'tlsCertFile' }, { cause })
  }
}

/**
 * The front: built before the stages behind it run, since it sets `pipeline.handler`; nothing comes in before `listen`.
 * @throws {DbError} `config_invalid` for an unusable certificate.
 */
export function createFront(options: FrontOptions): Front {
  return new UwsFront(options)
}
