import { systemClock } from '../../src/base/clock.ts'
import { seededRandom, systemRandom, type Random } from '../../src/base/random.ts'
import { claimSource, type Claim, type ClaimSource } from './history.claims.ts'
import { readClaims, Stream, type StreamShape } from './history.driver.ts'
import { History, type Verdict } from './history.ts'
import { StartFailure, startServer, type RunningServer, type ServerOptions, type Settings } from './server.ts'

/** The seed of a test that is chance: the first argument of its file, or a new one. Print it. */
export function trialSeed(argv = process.argv): number {
  const given = Number(argv[2])
  return Number.isInteger(given) && given > 0 ? given >>> 0 : systemRandom().u32()
}

/** How many trials: the second argument, for a long soak or a short look. */
export function trialCount(usual: number, argv = process.argv): number {
  const given = Number(argv[3])
  return Number.isInteger(given) && given > 0 ? given : usual
}

/**
 * Whether a run may go on to another trial: a usual one ends after `usualMs` whatever it has done, so that it does not run into
 * its file's limit on a machine that does other things as well; one that was asked for a count does all of it.
 */
export function trialClock(usualMs: number, argv = process.argv): () => boolean {
  const given = trialCount(0, argv) > 0
  const end = systemClock.monoMs() + usualMs
  return () => given || systemClock.monoMs() < end
}

/** Does `work` for 0, 1, ... while `mayGoOn` says so, two at a time: a start is mostly one thread's work. */
export async function inTwoLanes(mayGoOn: (number: number) => boolean, work: (number: number) => Promise<void>): Promise<void> {
  let next = 0
  const lane = async (): Promise<void> => {
    while (mayGoOn(next)) await work(next++)
  }
  await Promise.all([lane(), lane()])
}

/** Small segments, runs and memtables, so that a short stream rotates, seals and flushes. Unsigned: signatures cost time, and no fault test is about them. */
export const SMALL: Settings = {
  signatures: 'optional', verifyThreads: 1, lensThreads: 1, walSegmentBytes: 2 ** 20, frameBytesMax: 2 ** 18, groupBytesMax: 2 ** 18,
  walReserveBytes: 0, ringBytes: 2 ** 20, recentIdsMax: 4096, indexFileEntriesMin: 64, idFilterBytes: 2 ** 16, memtableBytes: 2 ** 20, blockCacheBytes: 2 ** 20,
  ingestLagBytesMax: 2 ** 22, logLevel: 'info',
}

/** Ids that a read during the stream asks for at a time. */
const PEEK_IDS = 16

/** One data directory, what was ever sent to it, and the stream that sends. */
export class Trial {
  readonly history = new History()
  readonly random: Random
  readonly #options: ServerOptions
  readonly #claims: ClaimSource
  #stream: Stream | undefined
  #open: (readonly Claim[])[] = []
  #firstBatchUnread = 0
  /** Sent again since the last check: older batches whose fate is open anew. */
  readonly #resent = new Set<string>()
  #reading = false

  private constructor(options: ServerOptions, seed: number, claims: ClaimSource) {
    this.#options = options
    this.#claims = claims
    this.random = seededRandom(seed)
  }

  static async create(options: ServerOptions, seed: number): Promise<Trial> {
    return new Trial(options, seed, await claimSource(seed, systemClock.wallMs() - 1000))
  }

  /** @throws {StartFailure} */
  start(more: Partial<ServerOptions> = {}): Promise<RunningServer> {
    return startServer({ ...this.#options, ...more, settings: { ...SMALL, ...this.#options.settings, ...more.settings } })
  }

  /** Begins a mixed stream, with reads of what is under way beside it. Call {@link endStream} after the fault. */
  async beginStream(server: RunningServer, shape: Partial<StreamShape> = {}): Promise<Stream> {
    const stream = new Stream(server.wsUrl, this.history, this.#claims, this.random.u32(), shape)
    this.#stream = stream
    await stream.start()
    this.#reading = true
    void this.#readAlong(server)
    return stream
  }

  async #readAlong(server: RunningServer): Promise<void> {
    while (this.#reading) {
      const batches = this.history.batchCount
      const ids = Array.from({ length: PEEK_IDS }, () => this.history.batch(Math.max(0, batches - 1 - this.random.u32() % 40))[0]!)
      try {
        for (const claim of (await readClaims(server.port, [...new Set(ids)])).values()) this.history.seen(claim.id)
      } catch {
        return // the server is gone, or refuses; what was seen until now counts
      }
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }

  /** Ends the stream; batches without an answer are kept for {@link resendOpen}. */
  endStream(): void {
    this.#reading = false
    if (this.#stream !== undefined) this.#open.push(...this.#stream.finish())
    this.#stream = undefined
  }

  /** As a client does after a reconnect: what has no answer is sent once more, as it was, and must be new or a duplicate. */
  async resendOpen(server: RunningServer): Promise<number> {
    const batches = this.#open.splice(0)
    if (batches.length === 0) return 0
    for (const claims of batches) for (const id of this.history.batchOf(claims[0]!.id)) this.#resent.add(id)
    const stream = new Stream(server.wsUrl, this.history, this.#claims, 1, { connections: 1, claimsMax: 0 })
    await stream.start()
    await stream.resend(batches)
    stream.finish()
    return batches.length
  }

  /** Reads what was attempted since the last such read, and a sample of what is older, and judges it with the log's count. */
  async checkNew(server: RunningServer, sampleSize = 500): Promise<Verdict> {
    const { history } = this
    const fresh: string[] = []
    for (let batch = this.#firstBatchUnread; batch < history.batchCount; batch++) fresh.push(...history.batch(batch))
    const sample = this.#firstBatchUnread === 0 ? [] : Array.from({ length: sampleSize },
      () => history.batch(this.random.u32() % this.#firstBatchUnread)).flat()
    const ids = [...new Set([...fresh, ...this.#resent, ...sample])]
    this.#resent.clear()
    this.#firstBatchUnread = history.batchCount
    return history.judgeCount(server.ready.durable_lsn, history.judge(ids, await readClaims(server.port, ids)))
  }

  /** Reads every id that was ever attempted. */
  async checkAll(server: RunningServer): Promise<Verdict> {
    const ids = [...this.history.ids()]
    this.#firstBatchUnread = this.history.batchCount
    return this.history.judge(ids, await readClaims(server.port, ids))
  }
}

/** Starts, and tells a refusal to start from a start. */
export async function tryStart(trial: Trial, more: Partial<ServerOptions> = {}): Promise<RunningServer | StartFailure> {
  try {
    return await trial.start(more)
  } catch (error) {
    if (error instanceof StartFailure) return error
    throw error
  }
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
