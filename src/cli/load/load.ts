import { setImmediate as nextTurn } from 'node:timers/promises'
import { toHex } from '../../base/bytes.ts'
import { systemClock } from '../../base/clock.ts'
import { DbError } from '../../base/errors.ts'
import { systemSecrets } from '../../base/random.ts'
import { GiB } from '../../base/units.ts'
import type { Welcome } from '../../client/frames.ts'
import { nodeUrlsOf, type NodeUrls } from '../../client/urls.ts'
import { realmHashOf } from '../../merkle/signed-message.ts'
import { initHash } from '../../record/claim.ts'
import { nodeSigner, type NodeSigner } from '../node-signer.ts'
import { checkStored } from './check.ts'
import { LoadConnection } from './connection.ts'
import { Engine, type EngineResult } from './engine.ts'
import type { CheckReport, LoadOptions, LoadReport } from './load.types.ts'
import { Outcomes } from './outcomes.ts'
import { Schedule } from './schedule.ts'
import { PatchedSource, PreparedSource, type FrameSource } from './source.ts'
import { FrameMaker } from './template.ts'

export type { CheckReport, LatencySummary, LoadOptions, LoadProgress, LoadReport } from './load.types.ts'

const CONNECT_TIMEOUT_MS = 10_000
const CONNECT_AT_ONCE = 64
/** What a closed loop of signed frames is prepared for, in assertions a second; the run ends early where it is faster. */
const PREPARE_PER_SECOND = { batch: 250_000, single: 25_000 } as const
/** Time that preparing may keep the event loop. */
const PREPARE_SLICE_MS = 20

/** When the assertions of a run with a given id were made: the time is part of their ids, and a repetition must hit them. */
const REPEATED_ASSERTED_AT_MS = Date.UTC(2026, 0, 1)

/** No secret: whoever knows a run's id may make its assertions again. */
const keyOfRun = (runId: string): Uint8Array => Uint8Array.from({ length: 32 }, (_, i) => parseInt(runId.slice(i % 8 * 2, i % 8 * 2 + 2), 16))

type Settings = Required<Omit<LoadOptions, 'url' | 'secretKey' | 'runId' | 'onProgress'>>

const DEFAULTS: Settings = {
  ratePerSecond: 0,
  connections: 8,
  batch: 256,
  window: 4,
  durationMs: 10_000,
  warmupMs: 0,
  sign: 'batch',
  recordBytes: 300,
  assertionsMax: Number.MAX_SAFE_INTEGER,
  prepareAssertions: 0,
  prepareBytesMax: 1 * GiB,
  check: false,
  checkConnections: 32,
  drainTimeoutMs: 30_000,
}

function checkSettings(settings: Settings): void {
  const rule = (holds: boolean, name: keyof Settings, because: string): void => {
    if (!holds) throw new DbError('parameter_invalid', `${name} = ${String(settings[name])}: ${because}`, { parameter: name })
  }
  const isWhole = (value: number, most: number): boolean => Number.isInteger(value) && value >= 1 && value <= most
  rule(isWhole(settings.connections, 10_000), 'connections', 'must be 1 to 10,000')
  rule(isWhole(settings.batch, 65_535), 'batch', 'must be 1 to 65,535')
  rule(isWhole(settings.assertionsMax, Number.MAX_SAFE_INTEGER), 'assertionsMax', 'must be at least 1')
  rule(isWhole(settings.window, 65_535), 'window', 'must be 1 to 65,535')
  rule(settings.durationMs >= 1, 'durationMs', 'must be at least 1')
  rule(settings.warmupMs >= 0, 'warmupMs', 'must not be negative')
  rule(settings.ratePerSecond >= 0 && settings.ratePerSecond <= 1e8, 'ratePerSecond', 'must be 0 to 100,000,000')
  rule(settings.recordBytes >= 64 && settings.recordBytes <= 4096, 'recordBytes', 'must be 64 to 4,096')
}

/**
 * One load run: connect, prepare, send and take acks, and (where asked) read back. Kept apart from {@link runLoad} for
 * tests that stop the server in between.
 */
export class LoadRun {
  readonly #options: LoadOptions
  readonly #settings: Settings
  readonly #urls: NodeUrls
  readonly #runId: string
  readonly #signer: NodeSigner
  #maker: FrameMaker | undefined
  #outcomes: Outcomes | undefined

  /** @throws {DbError} `parameter_invalid` naming the option. */
  constructor(options: LoadOptions) {
    const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
    const settings: Settings = { ...DEFAULTS, ...given }
    checkSettings(settings)
    this.#settings = { ...settings, batch: Math.min(settings.batch, settings.assertionsMax) }
    this.#options = options
    this.#urls = nodeUrlsOf(options.url)
    this.#runId = options.runId ?? toHex(systemSecrets.bytes(8))
    if (!/^[0-9a-f]{16}$/.test(this.#runId)) throw new DbError('parameter_invalid', 'runId must be 16 hex digits', { parameter: 'runId' })
    this.#signer = nodeSigner(options.secretKey ?? keyOfRun(this.#runId))
  }

  /** Runs and measures. @throws {DbError} as rejection, where it can not begin. */
  async run(): Promise<LoadReport> {
    await initHash()
    const settings = this.#settings
    let engine: Engine | undefined
    const connections = Array.from({ length: settings.connections }, (_, i) => new LoadConnection(i, Engine.handlers(() => engine)))
    try {
      const welcome = await this.#connect(connections)
      const maker = this.#makerFor(welcome)
      const outcomes = new Outcomes(settings.batch)
      this.#maker = maker
      this.#outcomes = outcomes
      const prepareStartMs = systemClock.monoMs()
      const source = await this.#source(maker, welcome)
      const prepareMs = systemClock.monoMs() - prepareStartMs
      const preparedFrames = source instanceof PreparedSource ? source.left : 0
      engine = new Engine({
        connections, maker, source, window: settings.window, warmupMs: settings.warmupMs,
        durationMs: settings.durationMs, drainTimeoutMs: settings.drainTimeoutMs,
        scheduleAt: settings.ratePerSecond === 0 ? undefined
          : (startMs) => new Schedule(startMs, settings.ratePerSecond / settings.batch, settings.warmupMs + settings.durationMs),
        onProgress: this.#options.onProgress,
      }, outcomes)
      const result = await engine.run()
      const prepare = { assertions: preparedFrames * settings.batch, bytes: preparedFrames * maker.frameBytes, ms: prepareMs }
      return this.#report(maker, engine, result, prepare)
    } finally {
      for (const connection of connections) connection.close()
    }
  }

  /** Reads every assertion that was acked so far. @param url another address of the node, or another node. */
  async check(url?: string): Promise<CheckReport> {
    const { onProgress } = this.#options
    if (this.#maker === undefined || this.#outcomes === undefined) return { read: 0, found: 0, missing: 0, failed: 0, seconds: 0, missingIds: [] }
    const total = Math.max(1, this.#outcomes.accepted)
    return checkStored({
      urls: url === undefined ? this.#urls : nodeUrlsOf(url),
      maker: this.#maker,
      outcomes: this.#outcomes,
      connections: this.#settings.checkConnections,
      onProgress: onProgress === undefined ? undefined : (read, elapsedMs) => onProgress({
        phase: 'check', fraction: Math.min(1, read / total), elapsedMs, done: read, perSecond: Math.round(read / (elapsedMs / 1000)),
        p50Ms: 0, p99Ms: 0, refused: 0,
      }),
    })
  }

  async #connect(connections: readonly LoadConnection[]): Promise<Welcome> {
    let welcome: Welcome | undefined
    for (let from = 0; from < connections.length; from += CONNECT_AT_ONCE) {
      const some = connections.slice(from, from + CONNECT_AT_ONCE)
      const welcomes = await Promise.all(some.map((connection) => connection.open(this.#urls, CONNECT_TIMEOUT_MS)))
      welcome ??= welcomes[0]
    }
    if (welcome === undefined) throw new DbError('internal', 'no connection was asked for')
    if (welcome.signaturesRequired && this.#settings.sign === 'none') {
      throw new DbError('signature_missing', 'the node takes signed assertions only: start it with --signatures optional, or sign')
    }
    return welcome
  }

  #makerFor(welcome: Welcome): FrameMaker {
    const { batch, sign, recordBytes } = this.#settings
    if (batch > welcome.batchAssertionsMax) {
      throw new DbError('parameter_invalid', `batch = ${batch}: the node takes at most ${welcome.batchAssertionsMax}`, { parameter: 'batch' })
    }
    const maker = new FrameMaker({
      runId: this.#runId, batch, sign, recordBytes, agent: this.#signer.publicKey, assertedAtMs: this.#options.runId === undefined ? systemClock.wallMs() : REPEATED_ASSERTED_AT_MS,
    })
    if (maker.payloadBytes > welcome.frameBytesMax) {
      throw new DbError('parameter_invalid', `a batch of ${batch} has ${maker.payloadBytes} bytes: the node takes at most ${welcome.frameBytesMax}`, { parameter: 'batch' })
    }
    return maker
  }

  async #source(maker: FrameMaker, welcome: Welcome): Promise<FrameSource> {
    const { sign, batch, assertionsMax, prepareAssertions, prepareBytesMax, ratePerSecond, warmupMs, durationMs } = this.#settings
    const framesMax = Math.floor(assertionsMax / batch)
    if (sign === 'none') return new PatchedSource(maker, framesMax)
    const perSecond = ratePerSecond > 0 ? ratePerSecond : PREPARE_PER_SECOND[sign]
    const wanted = prepareAssertions > 0 ? prepareAssertions : (perSecond * (warmupMs + durationMs)) / 1000
    const frames = Math.min(framesMax, Math.ceil(wanted / batch) + (prepareAssertions > 0 ? 0 : 1), Math.max(1, Math.floor(prepareBytesMax / maker.frameBytes)))
    const source = new PreparedSource(maker)
    const realmHash = realmHashOf(welcome.realm)
    await this.#prepare(source, frames, realmHash)
    return source
  }

  async #prepare(source: PreparedSource, frames: number, realmHash: Uint8Array): Promise<void> {
    const { onProgress } = this.#options
    const startMs = systemClock.monoMs()
    let toldMs = startMs
    for (let made = 0; made < frames;) {
      const sliceMs = systemClock.monoMs()
      do {
        source.prepareOne(this.#signer, realmHash)
        made++
      } while (made < frames && (made % 16 !== 0 || systemClock.monoMs() - sliceMs < PREPARE_SLICE_MS))
      const nowMs = systemClock.monoMs()
      if (onProgress !== undefined && (nowMs - toldMs > 500 || made === frames)) {
        toldMs = nowMs
        const done = made * this.#settings.batch
        onProgress({
          phase: 'prepare', fraction: made / frames, elapsedMs: nowMs - startMs, done,
          perSecond: Math.round(done / ((nowMs - startMs) / 1000)), p50Ms: 0, p99Ms: 0, refused: 0,
        })
      }
      // Pings of the server are answered in between.
      await nextTurn()
    }
  }

  #report(maker: FrameMaker, engine: Engine, result: EngineResult, prepare: LoadReport['prepare']): LoadReport {
    const { ratePerSecond, connections, batch, window, sign } = this.#settings
    const { outcomes } = engine
    return {
      url: this.#options.url,
      loop: ratePerSecond > 0 ? 'open' : 'closed',
      ratePerSecond, connections, batch, window, sign,
      recordBytes: maker.recordBytes,
      frameBytes: maker.frameBytes,
      runId: this.#runId,
      seconds: result.seconds,
      sent: result.sentFrames * batch,
      accepted: outcomes.accepted,
      duplicates: outcomes.duplicates,
      refused: outcomes.refused,
      refusedBy: outcomes.refusedBy,
      unacked: result.unackedFrames * batch,
      warmup: result.warmupAccepted,
      acceptedPerSecond: outcomes.accepted / result.seconds,
      framesPerSecond: engine.latency.summary().count / result.seconds,
      latency: engine.latency.summary(),
      refusalLatency: engine.refusalLatency.summary(),
      retryAfterMsMin: Number.isFinite(engine.retryAfterMsMin) ? engine.retryAfterMsMin : null,
      histogram: engine.latency.encoded(),
      delayed: result.delayed,
      assertionsMax: this.#options.assertionsMax ?? null,
      exhausted: result.exhausted,
      prepare,
      cpuSeconds: result.cpuSeconds,
      highestLsn: outcomes.highestLsn,
      connectionErrors: [...engine.connectionErrors],
    }
  }
}

/** Runs a load and, with `check`, reads every acked id back. @throws {DbError} as rejection, where it can not begin. */
export async function runLoad(options: LoadOptions): Promise<LoadReport> {
  const run = new LoadRun(options)
  const report = await run.run()
  return options.check === true ? { ...report, check: await run.check() } : report
}

