import { assert } from '../../src/base/assert.ts'
import { errnoOf, isDbError } from '../../src/base/errors.ts'
import { THREAD_KINDS, type ThreadKind } from '../../src/base/thread-kinds.ts'
import type { Config } from '../../src/config/options.ts'
import { createMemory, threadCounts, type NodeMemory } from '../../src/node/memory.ts'
import { RingPipeline } from '../../src/node/ring-pipeline.ts'
import type { Machine } from '../../src/node/machine.ts'
import { STAGE_BUILDERS } from '../../src/node/stages.ts'
import { BLOCK_BYTES } from '../../src/observe/thread-metrics.layout.ts'
import { noMetrics } from '../../src/observe/thread-metrics.ts'
import { Marks } from '../../src/ring/marks.ts'
import type { Stage } from '../../src/thread/stage.ts'
import { recoverWal } from '../../src/wal/recovery.ts'
import { ProcessDied } from '../support/faulty-disk.ts'
import type { Clients } from './clients.ts'
import { LifeDisk, type Trouble } from './life-disk.ts'
import { Violation } from './oracle.ts'
import { Scheduler, type Actor } from './scheduler.ts'
import { HeadWatch } from './heads.ts'
import { SimPreparer } from './sim-preparer.ts'
import { plainDisk, type World } from './world.ts'
// What STAGE_BUILDERS loads when it is asked: here before anybody asks, since loading reads files, and a simulation may not.
import '../../src/node/stage-ingest.ts'
import '../../src/node/stage-lens.ts'
import '../../src/node/stage-merkle.ts'
import '../../src/node/stage-verify.ts'
import '../../src/node/stage-wal.ts'
import '../../src/node/tlog.ts'

/**
 * Feed has nobody to tell. Scrub shares nothing with the others but the disk, reads only what never changes any more, and its day would be a cycle that no life
 * lasts: test/unit/wal/scrub.test.ts runs it over a clock and a disk of its own, which rots while the log grows.
 */
const NOT_SIMULATED: ReadonlySet<ThreadKind> = new Set<ThreadKind>(['scrub', 'feed'])
/** As node.ts drains its threads. */
const STOP_ORDER: readonly ThreadKind[] = ['tlog', 'verify', 'wal', 'merkle', 'lens', 'ingest']
/** Turns in which a node with a failed thread may still do things, until its main thread ends the process. */
const DYING_TURNS_MAX = 20
/** Steps of a drain: far more than any ring holds. */
const DRAIN_STEPS_MAX = 20_000
const TURN_MS_MAX = 0.1

class StageActor implements Actor {
  readonly name: string
  readonly kind: ThreadKind
  readonly weight: number
  readonly stage: Stage
  readonly #failed: (error: unknown) => void
  readonly #noteBlocked: () => void
  #ended = false

  constructor(kind: ThreadKind, index: number, weight: number, stage: Stage, failed: (error: unknown) => void, noteBlocked: () => void) {
    this.name = `${kind}${index}`
    this.kind = kind
    this.weight = weight
    this.stage = stage
    this.#failed = failed
    this.#noteBlocked = noteBlocked
  }

  step(): boolean {
    return this.run() === 'progress'
  }

  /** It has drained: its thread ends. */
  finish(): void {
    this.#ended = true
    this.stage.finish()
  }

  /** The thread of a stage that throws has ended; the others do not know it yet. */
  run(): 'progress' | 'idle' | 'blocked' {
    if (this.#ended) return 'idle'
    try {
      const outcome = this.stage.step()
      if (outcome === 'blocked') this.#noteBlocked()
      return outcome
    } catch (error) {
      this.#ended = true
      this.#failed(error)
      return 'idle'
    }
  }
}

/** One process of the node, from its start to its end, made of the stages that a real one has. */
export class Life {
  readonly #world: World
  readonly #clients: Clients
  readonly #scheduler: Scheduler
  readonly #lifeDisk: LifeDisk
  /** Somebody may have changed a setting between two starts. */
  readonly config: Config
  #marks = new Marks()
  #heads: HeadWatch | undefined
  #pipeline: RingPipeline | undefined
  #preparer: SimPreparer | undefined
  #stages: StageActor[] = []
  #failure: { readonly error: unknown } | undefined
  #lastSegmentId = 0
  #idsFlushedLsn = 0

  constructor(world: World, clients: Clients, troubles: readonly Trouble[]) {
    this.#world = world
    this.#clients = clients
    const { config } = world.swarm
    this.config = world.rarely(4) ? { ...config, walSegmentBytes: config.walSegmentBytes + 4096 } : config
    this.#scheduler = new Scheduler(world.random, (actor, progress) => this.#afterTurn(actor, progress))
    this.#lifeDisk = new LifeDisk(world, troubles, (turnsMax) => this.#scheduler.others(turnsMax))
  }

  /** Recovery, replay, stages: in the order of node.ts. @returns false where a fault of the disk ended it; what else goes wrong throws. */
  async start(): Promise<boolean> {
    try {
      await this.#start()
      return true
    } catch (error) {
      if (this.#lifeDisk.hasStruck) this.#world.count('deathsInRecovery')
      if (this.#world.hasLostPages && isDbError(error) && error.code === 'disk_full') this.#world.count('fullStartsRefused')
      this.#judge(error)
      return false
    }
  }

  async #start(): Promise<void> {
    const { config } = this
    const { clock, oracle, secrets, store, trace, walDir, walNodeId } = this.#world
    const disk = plainDisk(this.#lifeDisk.disk)
    const sizes = { segmentBytes: config.walSegmentBytes, reserveBytes: config.walReserveBytes }
    const recovered = recoverWal(disk, walDir, { nodeId: walNodeId, secrets, ...sizes })
    trace.note(`recovered ${recovered.lastLsn} ${recovered.end.segmentId}:${recovered.end.offset} ${recovered.truncatedBytes} ${recovered.cleanShutdown}`)
    if (recovered.truncatedBytes > 0) this.#world.count('tornTails')
    if (recovered.cleanShutdown) this.#world.count('cleanStarts')
    if (recovered.diskFull) this.#world.count('diskFullStarts')
    oracle.restarted(this.#world.disk, recovered.first, recovered.end, recovered.lastLsn)
    const memory = createMemory(config, () => new SharedArrayBuffer(BLOCK_BYTES))
    this.#marks = new Marks(memory.marks)
    this.#marks.setDurable(recovered.end, recovered.lastLsn, recovered.lastHlc)
    this.#heads = new HeadWatch(this.#world, memory.tlogBoard)
    const pipeline = new RingPipeline(memory, clock, noMetrics)
    pipeline.handler = this.#clients
    const machine: Machine = { disk, clock, secrets, attachStore: () => store }
    await this.#build(memory, machine, pipeline, recovered)
    if (this.#marks.appliedLsn !== recovered.lastLsn) throw new Violation(`replay came to LSN ${this.#marks.appliedLsn} of ${recovered.lastLsn}`)
    this.#preparer = new SimPreparer(this.#world, disk, this.#marks, sizes)
    this.#pipeline = pipeline
    this.#lastSegmentId = this.#marks.durablePosition.segmentId
    this.#idsFlushedLsn = this.#marks.idsFlushedLsn
    this.#clients.connect(pipeline, this.#lifeDisk)
    this.#scheduler.actors = [...this.#stages, this.#preparer, ...this.#outsiders(pipeline)]
  }

  async #build(memory: NodeMemory, machine: Machine, pipeline: RingPipeline, recovered: ReturnType<typeof recoverWal>): Promise<void> {
    const { config } = this
    const { identity, swarm: { weights } } = this.#world
    const start = {
      config, memory, storeHandle: 0n, nodeSeed: identity.secretKey.slice(0, 32), nodeId: identity.publicKey, recovered,
      waitForAckSpace: () => pipeline.drain(),
    }
    for (const kind of THREAD_KINDS) {
      if (NOT_SIMULATED.has(kind)) continue
      for (let index = 0; index < threadCounts(config)[kind]; index++) {
        const { stage } = await STAGE_BUILDERS[kind]({ ...start, index }, machine)
        this.#stages.push(new StageActor(kind, index, weights[kind]!, stage, (error) => this.#fail(error), () => this.#noteBlocked(kind)))
      }
    }
  }

  /** Who is not part of the node's threads: clients, the loop that hands them their answers, and the rest of the world. */
  #outsiders(pipeline: RingPipeline): Actor[] {
    const { weights } = this.#world.swarm
    return [
      { name: 'client', weight: weights['client']!, step: () => this.#clients.step() },
      { name: 'front', weight: weights['front']!, step: () => pipeline.drain() > 0 },
      { name: 'world', weight: weights['world']!, step: () => this.#happen() },
    ]
  }

  /** Until `turns` have passed or it has failed. @returns false where it has ended by then. */
  run(turns: number): boolean {
    return this.#whileAlive(() => {
      for (let turn = 0; turn < turns && this.#failure === undefined; turn++) this.#scheduler.turn()
      if (this.#failure === undefined) return
      // Main hears of it a little later; until then the other threads go on.
      for (let turn = this.#world.below(DYING_TURNS_MAX); turn > 0; turn--) this.#scheduler.turn()
      this.#pipeline!.drain()
      this.#judge(this.#failure.error)
      throw new ProcessDied()
    })
  }

  /** Until everybody has an answer and ingest has caught up. @throws {Violation} where that takes too long. */
  settle(withinMs: number): void {
    const endMs = this.#world.clock.monoMs() + withinMs
    const isDone = (): boolean => this.#clients.isAtRest && this.#marks.appliedLsn === this.#marks.durableLsn && this.#heads!.covers(this.#marks.durableLsn)
    while (!isDone()) {
      if (!this.#scheduler.sweep()) this.#world.clock.advance(20)
      if (this.#failure !== undefined) throw new Violation(`without any fault: ${String(this.#failure.error)}`)
      if (this.#world.clock.monoMs() > endMs) {
        throw new Violation(`not at rest after ${withinMs} ms: applied ${this.#marks.appliedLsn} of ${this.#marks.durableLsn}, ${String(this.#heads)}, refusal ${this.#marks.refusal}`)
      }
    }
  }

  /** SIGTERM: no new work, everything under way is answered, the log is sealed. @returns false where it died over it. */
  stop(): boolean {
    return this.#whileAlive(() => {
      this.#scheduler.clear()
      const pipeline = this.#pipeline!
      this.#preparer!.stop()
      for (const kind of STOP_ORDER) {
        for (const actor of this.#stages.filter((candidate) => candidate.kind === kind)) this.#drain(actor, pipeline)
      }
      pipeline.drain()
      this.#world.count('orderlyStops')
    })
  }

  #drain(actor: StageActor, pipeline: RingPipeline): void {
    for (let steps = 0; ; steps++) {
      if (steps > DRAIN_STEPS_MAX) throw new Violation(`${actor.name} does not drain`)
      const outcome = actor.run()
      this.#follow()
      pipeline.drain()
      if (this.#failure !== undefined) this.#dieOf(this.#failure.error)
      if (outcome === 'idle') break
      // What it waits for is done by others, which are still there.
      if (outcome === 'blocked') for (const other of this.#stages) if (other !== actor) other.run()
      this.#world.clock.advance(TURN_MS_MAX)
    }
    try {
      actor.finish()
    } catch (error) {
      this.#dieOf(error)
    }
  }

  #dieOf(error: unknown): never {
    this.#judge(error)
    throw new ProcessDied()
  }

  /** kill -9: whatever it was doing, the disk hears no more of it. */
  kill(): void {
    this.#scheduler.clear()
    this.#lifeDisk.disk.kill()
    this.#clients.disconnect()
  }

  /** All that a life says about itself must hold after each step of anybody. */
  #afterTurn(actor: Actor, progress: boolean): void {
    this.#world.trace.note(progress ? actor.name : `${actor.name} idle`)
    this.#world.clock.advance(this.#world.below(100) * TURN_MS_MAX / 100)
    this.#follow()
  }

  #follow(): void {
    const marks = this.#marks
    const position = marks.durablePosition
    const before = this.#world.oracle.scannedLsn
    this.#world.oracle.follow(position)
    this.#heads!.look()
    if (this.#world.oracle.scannedLsn > before + 6) this.#world.count('groupsOfSeveral')
    if (marks.durableLsn > this.#world.oracle.scannedLsn) throw new Violation(`the durable mark says LSN ${marks.durableLsn}, the disk has ${this.#world.oracle.scannedLsn}`)
    if (marks.appliedLsn > marks.durableLsn) throw new Violation(`applied LSN ${marks.appliedLsn} is beyond the durable ${marks.durableLsn}`)
    if (position.segmentId > this.#lastSegmentId) this.#world.count('rotations')
    this.#lastSegmentId = position.segmentId
    if (marks.idsFlushedLsn > this.#idsFlushedLsn) this.#world.count('idsFlushed')
    this.#idsFlushedLsn = marks.idsFlushedLsn
  }

  /** What happens to a machine: its clock is set, its disk fills and is freed. */
  #happen(): boolean {
    const { clock, disk, isCalm, swarm } = this.#world
    if (isCalm || !this.#world.rarely(8)) return false
    if (swarm.clockSteps && this.#world.rarely(2)) {
      clock.wallOffsetMs += (this.#world.below(3) - 1) * 3_600_000
      if (clock.wallOffsetMs < 0) this.#world.count('clockSetBack')
    }
    if (!swarm.fullDisks) return true
    if (disk.capacityBytes === Number.MAX_SAFE_INTEGER || disk.capacityBytes === Infinity) {
      disk.capacityBytes = Number.MAX_SAFE_INTEGER
      disk.capacityBytes -= disk.freeBytes('/') - this.#world.below(2 * swarm.config.walSegmentBytes)
    } else if (this.#world.rarely(2)) disk.capacityBytes = Infinity
    return true
  }

  #noteBlocked(kind: ThreadKind): void {
    if (kind === 'wal') this.#world.count('stalls')
  }

  #fail(error: unknown): void {
    // These end everything at once, wherever the stack stands.
    if (error instanceof ProcessDied || error instanceof Violation) throw error
    this.#world.trace.note(`failed: ${String(error)}`)
    this.#failure ??= { error }
  }

  #whileAlive(work: () => void): boolean {
    try {
      work()
      return true
    } catch (error) {
      if (error instanceof ProcessDied) return false
      throw error
    }
  }

  /** An end that the disk's fault explains; anything else is a bug. */
  #judge(error: unknown): void {
    if (error instanceof ProcessDied) return
    const errno = isDbError(error) ? error.details['errno'] : errnoOf(error)
    const isOfDisk = errno === 'EIO' || errno === 'ENOSPC' || (isDbError(error) && error.code === 'disk_full')
    if (isOfDisk && (this.#lifeDisk.hasFailed || this.#world.disk.capacityBytes !== Infinity)) return
    throw error
  }
}

assert(THREAD_KINDS.every((kind) => NOT_SIMULATED.has(kind) || STOP_ORDER.includes(kind)), 'all stages are stopped')
