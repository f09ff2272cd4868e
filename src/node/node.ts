import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { holdProcess, systemClock } from '../base/clock.ts'
import { explainingPaths } from '../base/disk-files.ts'
import { nodeDisk } from '../base/disk-node.ts'
import { systemSecrets } from '../base/random.ts'
import { toHex } from '../base/bytes.ts'
import { DbError, errnoOf } from '../base/errors.ts'
import { THREAD_KINDS, type ThreadKind } from '../base/thread-kinds.ts'
import type { Config } from '../config/options.ts'
import { connectionsMax } from '../front/front-limits.ts'
import { createFront, type Front } from '../front/server.ts'
import { Health } from '../observe/health.ts'
import { LagClock } from '../observe/lag-clock.ts'
import { errorFields, type Log } from '../observe/log.ts'
import { createMetrics, type Metrics } from '../observe/metrics-registry.ts'
import { Marks } from '../ring/marks.ts'
import { openRocksStore } from '../store/store-rocksdb.ts'
import { openStoreMeta } from '../store/store-meta.ts'
import type { Store } from '../store/store.ts'
import { loadOrCreateKeyPair, type KeyPair } from '../verify/keys.ts'
import { recoverWal, type Recovered } from '../wal/recovery.ts'
import { SegmentPreparer } from '../wal/segment-preparer.ts'
import { holdsLog } from '../wal/wal-files.ts'
import { lowerPriorityOfThreads } from './background-priority.ts'
import { InlineHost } from './inline-host.ts'
import { createMemory, threadCounts, type NodeMemory } from './memory.ts'
import { RingPipeline } from './ring-pipeline.ts'
import { SpaceReserve } from './space-reserve.ts'
import { openFilesMax } from './open-files.ts'
import { sampleGauges, registerChecks, type Gauged } from './probes.ts'
import { ScrubWatch } from './scrub.ts'
import { STAGE_BUILDERS } from './stages.ts'
import { startThreads, type ThreadGroup } from './threads.ts'
import { TlogWatch } from './tlog.ts'
import type { ThreadStart } from './thread.messages.ts'
import { VERSION } from './version.ts'
import { storeDirOf, walDirOf, walNodeIdOf } from './wal-place.ts'

/** How RocksDB names its threads for flushes and compactions. */
const STORE_THREADS = 'rocksdb:'
/** How often main looks whether the log has begun a new segment, so that the next one is made ready. */
const SEGMENT_WATCH_MS = 25
/** In this order the threads end on a drain, each kind when the one before has emptied its rings. */
const STOP_ORDER: readonly ThreadKind[] = ['scrub', 'tlog', 'verify', 'wal', 'merkle', 'lens', 'feed', 'ingest']

/** Nobody waits for these: they may start while the first clients come. */
const STARTS_LATE: ReadonlySet<ThreadKind> = new Set<ThreadKind>(['scrub', 'tlog'])

export interface Node {
  /** What `stemedb serve` prints when it serves. */
  readonly readyLine: ReadyLine
  /** Resolves, never rejects, with the reason when something fails that a node can not go on without. */
  readonly failed: Promise<{ readonly error: unknown }>
  /** Refuses new work, answers what is under way, seals the log, closes everything. */
  stop(): Promise<void>
  /** After a failure: hands out the answers that are there, cuts all connections. Acknowledged assertions are on disk. */
  abort(): Promise<void>
}

export interface ReadyLine {
  readonly ready: true
  readonly url: string
  readonly port: number
  readonly pid: number
  readonly version: string
  /** 64 hex digits: the node's public key. */
  readonly node_id: string
  readonly durable_lsn: number
  /** Assertions that were in the log and not in the indexes. */
  readonly replayed: number
  readonly truncated_bytes: number
  readonly clean_shutdown: boolean
  readonly start_ms: number
}

/**
 * Starts a node: reads top-down as the order of its needs.
 * @throws {DbError} `data_dir_locked`, `wal_corrupt`, `store_corrupt`, `format_unsupported`, `config_invalid`, `io_error`, `disk_full`
 */
export async function startNode(config: Config, log: Log): Promise<Node> {
  const node = await explainingPaths(() => prepare(config, log))
  try {
    await explainingPaths(() => node.start())
  } catch (error) {
    // The store stays open: threads may be in it. The process ends.
    await node.abort()
    throw error
  }
  return node
}

/** All that comes before the first thread. */
async function prepare(config: Config, log: Log): Promise<RunningNode> {
  const startedMs = systemClock.monoMs()
  makeDataDir(config)
  // The store's lock is the data directory's: before anything is written.
  const reserve = new SpaceReserve(config.dataDir, config.walReserveBytes, systemClock)
  const store = await reserve.spendOnFullDisk(() => openStore(config), () =>
    log.warn('the disk is full: the space laid aside was given back, so that the node can start and be read'))
  return beforeThreads(store, () => assemble(config, log, store, reserve, startedMs))
}

/** While no thread has attached, an error gives the store back. */
async function beforeThreads<T>(store: Store, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    await store.close()
    throw error
  }
}

async function assemble(config: Config, log: Log, store: Store, reserve: SpaceReserve, startedMs: number): Promise<RunningNode> {
  const keyPath = join(config.dataDir, 'node.key')
  const identity = loadOrCreateKeyPair(keyPath, systemSecrets, () => mustBeNew(config, keyPath))
  const recovered = await reserve.spendOnFullDisk(async () => recoverLog(config, identity, log), () =>
    log.warn('a sync of the log had failed, and the disk is full: the space laid aside was given back for a copy of the log\'s end'))
  const recoveryMs = systemClock.monoMs() - startedMs
  const metrics = createMetrics(VERSION)
  const memory = createMemory(config, () => metrics.newBlock())
  const appliedLsn = openStoreMeta(store, systemSecrets).applied.lsn
  new Marks(memory.marks).setDurable(recovered.end, recovered.lastLsn, recovered.lastHlc)
  return new RunningNode({ config, log, store, reserve, identity, recovered, memory, metrics, startedMs, recoveryMs, appliedLsn })
}

/** A node that finds a log and no key has lost the key: with a new one it would be another node, to which the log is a stranger's. */
function mustBeNew(config: Config, keyPath: string): void {
  const walDir = walDirOf(config)
  if (!holdsLog(nodeDisk, walDir)) return
  throw new DbError('config_invalid',
    `${keyPath} is missing, and ${walDir} holds a log: put the node.key there that the log was written with, from the data directory that it came from or from a backup; no new key was made`,
    { path: keyPath })
}

/**
 * For the owner only, db/ too, which RocksDB would make for everybody. A folder that is there keeps its mode.
 * @throws {DbError} `config_invalid`, `disk_full`, `io_error`
 */
function makeDataDir(config: Config): void {
  try {
    nameDataDir(config)
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === undefined) throw error
    throw new DbError('io_error', `the data directory ${config.dataDir} can not be made or synced: ${errno === 'EROFS' ? 'read-only file system' : errno}`,
      { path: config.dataDir, errno }, { cause: error })
  }
}

function nameDataDir(config: Config): void {
  nodeDisk.mkdir(storeDirOf(config))
  // Whoever made them: an earlier start may have died before its sync, and all that will be acked hangs on these names.
  nodeDisk.syncDir(config.dataDir)
  try {
    nodeDisk.syncDir(dirname(config.dataDir))
  } catch (error) {
    // Who may not open the parent has not made the folder in it.
    if (errnoOf(error) !== 'EACCES') throw error
  }
}

async function openStore(config: Config): Promise<Store> {
  const store = await openRocksStore({
    path: storeDirOf(config), createIfMissing: true, memtableBytes: config.memtableBytes,
    blockCacheBytes: config.blockCacheBytes, parallelism: Math.max(2, availableParallelism()),
  })
  lowerPriorityOfThreads(STORE_THREADS, config.backgroundNice)
  return store
}

function recoverLog(config: Config, identity: KeyPair, log: Log): Recovered {
  const recovered = recoverWal(nodeDisk, walDirOf(config), {
    nodeId: walNodeIdOf(identity.publicKey), secrets: systemSecrets, segmentBytes: config.walSegmentBytes,
    reserveBytes: config.walReserveBytes,
  })
  const { lastLsn, cleanShutdown, truncatedBytes, missingBytes, diskFull } = recovered
  const fields = { lastLsn, cleanShutdown, truncatedBytes, missingBytes, segments: recovered.manifest.sealed.length + 1 }
  if (missingBytes > 0) log.warn('the open log segment is shorter than it was made; no crash does that: check the file system', fields)
  if (truncatedBytes > 0) log.warn('log recovered; a torn group at its end was cut, none of it was acknowledged', fields)
  else log.info('log recovered', fields)
  if (diskFull) log.warn('no space for a log segment: writes are refused until there is')
  return recovered
}

interface Parts {
  readonly config: Config
  readonly log: Log
  readonly store: Store
  readonly reserve: SpaceReserve
  readonly identity: KeyPair
  readonly recovered: Recovered
  readonly memory: NodeMemory
  readonly metrics: Metrics
  readonly startedMs: number
  readonly recoveryMs: number
  /** Up to which the store had applied the log before this start. */
  readonly appliedLsn: number
}

class RunningNode implements Node {
  readonly failed: Promise<{ readonly error: unknown }>
  readonly #parts: Parts
  readonly #marks: Marks
  readonly #metrics: Metrics
  readonly #health = new Health()
  readonly #lag = new LagClock()
  readonly #pipeline: RingPipeline
  readonly #front: Front
  readonly #preparer: SegmentPreparer
  readonly #scrub: ScrubWatch
  readonly #tlog: TlogWatch
  readonly #release = holdProcess()
  readonly #groups: ThreadGroup[] = []
  readonly #filesMax = openFilesMax()
  #inline: InlineHost | undefined
  #loop: Promise<void> = Promise.resolve()
  #lateStarted: Promise<void> = Promise.resolve()
  #fail: (error: unknown) => void = () => {}
  #cancelWatch: () => void = () => {}
  #stopped = false
  #port = 0
  #replayed = 0

  constructor(parts: Parts) {
    const { config, memory, identity } = parts
    this.#parts = parts
    this.failed = new Promise((resolve) => {
      this.#fail = (error) => resolve({ error })
    })
    this.#marks = new Marks(memory.marks)
    this.#metrics = parts.metrics
    this.#pipeline = new RingPipeline(memory, systemClock, this.#metrics.main, () => this.#inline?.schedule())
    this.#preparer = new SegmentPreparer(walDirOf(config), {
      clock: systemClock, segmentBytes: config.walSegmentBytes, reserveBytes: config.walReserveBytes,
    })
    this.#scrub = new ScrubWatch(memory.rings.scrubReports, parts.log)
    this.#tlog = new TlogWatch(memory.tlogBoard, this.#marks, parts.log)
    registerChecks(this.#health, this.#gauged())
    this.#metrics.onScrape((main) => sampleGauges(main, this.#gauged()))
    this.#front = createFront({
      config, pipeline: this.#pipeline, clock: systemClock, secrets: systemSecrets, metrics: this.#metrics.main,
      metricsText: () => this.#metrics.text(), metricsContentType: this.#metrics.contentType, health: this.#health,
      version: VERSION, nodeId: identity.publicKey, filesMax: this.#filesMax,
      onFault: (error) => parts.log.error('a request handler failed', errorFields(error)),
    })
  }

  get readyLine(): ReadyLine {
    const { config, identity, recovered, startedMs } = this.#parts
    const scheme = config.tlsCertFile === '' ? 'http' : 'https'
    return {
      ready: true, url: `${scheme}://${config.bindAddress}:${this.#port}`, port: this.#port, pid: process.pid, version: VERSION,
      node_id: toHex(identity.publicKey), durable_lsn: recovered.lastLsn, replayed: this.#replayed,
      truncated_bytes: recovered.truncatedBytes, clean_shutdown: recovered.cleanShutdown,
      start_ms: Math.round(systemClock.monoMs() - startedMs),
    }
  }

  /** Replay, then the stages from the disk outwards, then the door. Probes are answered from the first moment on. */
  async start(): Promise<void> {
    const { config, log, recovered, identity, store } = this.#parts
    this.#port = await this.#front.listen()
    log.info('listening', { url: this.readyLine.url })
    const connections = connectionsMax(config, this.#filesMax)
    if (connections < config.sessionsMax) {
      log.warn('the limit of open files allows fewer connections than sessionsMax; raise it, or lower sessionsMax', { openFilesMax: this.#filesMax, connectionsMax: connections })
    }
    this.#loop = this.#pipeline.run(() => this.#stopped)
    const start: Omit<ThreadStart, 'index'> = {
      config, memory: this.#parts.memory, storeHandle: store.handle!, nodeSeed: identity.secretKey.slice(0, 32),
      nodeId: identity.publicKey, recovered,
    }
    if (config.mode === 'inline') await this.#startInline(start)
    else await this.#startThreaded(start)
    this.#watchSegments()
    this.#parts.reserve.watch()
    this.#pipeline.unavailable = undefined
    log.info('ready', { durableLsn: recovered.lastLsn, replayed: this.#replayed, startMs: this.readyLine.start_ms })
  }

  async #startThreaded(start: Omit<ThreadStart, 'index'>): Promise<void> {
    const launch = (kind: ThreadKind): ThreadGroup => {
      const group = startThreads(kind, start)
      this.#groups.push(group)
      group.ended.catch((error: unknown) => this.#fail(error))
      return group
    }
    const ingest = launch('ingest')
    // They load their code while that one replays: a second of a start.
    const others = THREAD_KINDS.filter((kind) => kind !== 'ingest' && !STARTS_LATE.has(kind)).map(launch)
    // A thread that could not load ends the start at once, not behind a long replay.
    await Promise.race([ingest.begin(Number.POSITIVE_INFINITY), Promise.all(others.map(({ ended }) => ended))])
    this.#noteReplay()
    await Promise.all(others.map((group) => group.begin()))
    this.#lateStarted = Promise.all([...STARTS_LATE].map((kind) => launch(kind).begin())).then(() => {}, (error: unknown) => this.#fail(error))
  }

  async #startInline(start: Omit<ThreadStart, 'index'>): Promise<void> {
    const stages = []
    for (const kind of THREAD_KINDS) {
      for (let index = 0; index < threadCounts(start.config)[kind]; index++) {
        const { stage } = await STAGE_BUILDERS[kind]({ ...start, index, waitForAckSpace: () => this.#pipeline.drain() })
        stages.push(stage)
      }
      if (kind === 'ingest') this.#noteReplay()
    }
    this.#inline = new InlineHost(stages, () => this.#pipeline.drain(), systemClock, this.#fail)
  }

  /** The commit stage has not begun: what is applied now beyond the store's own mark was replayed. */
  #noteReplay(): void {
    this.#replayed = this.#marks.appliedLsn - this.#parts.appliedLsn
  }

  /** The commit thread never waits for zeros to be written: main makes the next segment ready while the open one fills. */
  #watchSegments(): void {
    let preparedBehind = -1
    const look = (): void => {
      this.#lag.note(systemClock.monoMs(), this.#marks.durableLsn)
      this.#scrub.drain()
      this.#tlog.look()
      const { segmentId } = this.#marks.durablePosition
      if (segmentId !== preparedBehind) {
        preparedBehind = segmentId
        this.#preparer.prepare().then((outcome) => {
          // Looked for again at the next tick: there may be space by then.
          if (outcome === 'disk_full') preparedBehind = -1
        }, (error: unknown) => {
          preparedBehind = -1
          this.#parts.log.warn('the next log segment could not be prepared; the commit thread will make it', errorFields(error))
        })
      }
      this.#cancelWatch = systemClock.timer(SEGMENT_WATCH_MS, look)
    }
    look()
  }

  async stop(): Promise<void> {
    const { log, store } = this.#parts
    this.#pipeline.unavailable = 'shutting_down'
    await this.#front.drain()
    this.#cancelWatch()
    this.#parts.reserve.stop()
    await this.#preparer.stop()
    this.#inline?.stop()
    await this.#lateStarted
    for (const kind of STOP_ORDER) {
      for (const group of this.#groups.filter((candidate) => candidate.kind === kind)) await group.stop()
      log.debug('threads drained', { kind })
    }
    await this.#endFront()
    await store.close()
    this.#release()
  }

  async abort(): Promise<void> {
    this.#pipeline.unavailable = 'read_only'
    this.#cancelWatch()
    // What the commit stage still said, acks and unknown outcomes, goes out before the connections are cut.
    this.#pipeline.drain()
    await this.#endFront()
    this.#release()
  }

  async #endFront(): Promise<void> {
    this.#stopped = true
    this.#pipeline.wake()
    await this.#loop
    this.#front.close()
  }

  #gauged(): Gauged {
    const { config, store, recovered, memory, recoveryMs } = this.#parts
    return {
      config, store, marks: this.#marks, pipeline: this.#pipeline, truncatedBytes: recovered.truncatedBytes,
      recoverySeconds: recoveryMs / 1000, threadCount: Object.values(threadCounts(config)).reduce((a, b) => a + b, 1),
      idFilter: memory.idFilter, lag: this.#lag, scrub: this.#scrub, tlog: this.#tlog,
    }
  }
}
