import { must } from '../../src/base/assert.ts'
import type { Disk, DiskFile } from '../../src/base/disk.ts'
import type { Marks } from '../../src/ring/marks.ts'
import { preparation, type PrepareOutcome, type PrepareStep } from '../../src/wal/segment-preparer.ts'
import { removeIfThere } from '../../src/base/disk-files.ts'
import { NEXT_NAME, type SegmentSizes } from '../../src/wal/wal-files.ts'
import { ProcessDied } from '../support/faulty-disk.ts'
import { Violation } from './oracle.ts'
import type { Actor } from './scheduler.ts'
import type { World } from './world.ts'

const PAUSE_MS = 2

/** What main does beside the stages: it makes the next segment ready as soon as the log has begun another. */
export class SimPreparer implements Actor {
  readonly name = 'preparer'
  readonly weight: number
  readonly #world: World
  readonly #disk: Disk
  readonly #marks: Marks
  readonly #sizes: SegmentSizes
  #steps: Generator<PrepareStep, PrepareOutcome, number> | undefined
  #next: IteratorResult<PrepareStep, PrepareOutcome> | undefined
  #file: DiskFile | undefined
  #preparedBehind = -1
  #pausedUntilMs = 0
  #stopping = false

  constructor(world: World, disk: Disk, marks: Marks, sizes: SegmentSizes) {
    this.weight = world.swarm.weights['preparer']!
    this.#world = world
    this.#disk = disk
    this.#marks = marks
    this.#sizes = sizes
  }

  step(): boolean {
    if (this.#world.clock.monoMs() < this.#pausedUntilMs) return false
    if (this.#steps === undefined) {
      const { segmentId } = this.#marks.durablePosition
      if (segmentId === this.#preparedBehind || this.#stopping) return false
      this.#preparedBehind = segmentId
      this.#steps = preparation(this.#world.walDir, this.#sizes, () => this.#stopping)
      this.#next = this.#steps.next()
    }
    this.#go(this.#steps, must(this.#next))
    return true
  }

  /** Ends what runs and removes what it made. */
  stop(): void {
    this.#stopping = true
    while (this.#steps !== undefined) {
      this.#pausedUntilMs = 0
      this.step()
    }
  }

  #go(steps: Generator<PrepareStep, PrepareOutcome, number>, next: IteratorResult<PrepareStep, PrepareOutcome>): void {
    try {
      this.#next = next.done === true ? next : this.#carryOut(steps, next.value)
    } catch (error) {
      if (error instanceof ProcessDied || error instanceof Violation) throw error
      // Logged by a node; the commit thread makes the segment itself then.
      this.#end(-1)
      return
    }
    if (this.#next.done !== true) return
    if (this.#next.value === 'ready') this.#world.count('preparedSegments')
    this.#end(this.#next.value === 'disk_full' ? -1 : this.#preparedBehind)
  }

  #end(preparedBehind: number): void {
    this.#preparedBehind = preparedBehind
    this.#steps = undefined
    // As often as main looks.
    this.#pausedUntilMs = this.#world.clock.monoMs() + 25
  }

  #carryOut(steps: Generator<PrepareStep, PrepareOutcome, number>, step: PrepareStep): IteratorResult<PrepareStep, PrepareOutcome> {
    let answer: number
    try {
      answer = this.#call(step)
    } catch (error) {
      if (error instanceof ProcessDied || error instanceof Violation) throw error
      return steps.throw(error)
    }
    return steps.next(answer)
  }

  #call(step: PrepareStep): number {
    switch (step.call) {
      case 'exists': return this.#disk.exists(step.path) ? 1 : 0
      case 'freeBytes': return this.#disk.freeBytes(step.path)
      case 'remove':
        removeIfThere(this.#disk, step.path)
        break
      case 'create':
        this.#file = this.#disk.open(step.path, 'create')
        break
      case 'rename':
        if (step.to.endsWith(NEXT_NAME) && this.#disk.exists(step.to)) throw new Violation('a prepared segment is in the way of another')
        this.#disk.rename(step.path, step.to)
        break
      case 'zeros':
        must(this.#file).pwrite(new Uint8Array(step.bytes), 0, step.bytes, step.position)
        break
      case 'datasync':
        must(this.#file).fdatasync()
        break
      case 'close':
        must(this.#file).close()
        break
      case 'pause':
        this.#pausedUntilMs = this.#world.clock.monoMs() + PAUSE_MS
        break
    }
    return 0
  }
}
