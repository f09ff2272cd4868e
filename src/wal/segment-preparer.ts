import { open, rename, rm, stat, statfs, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { must } from '../base/assert.ts'
import type { Clock } from '../base/clock.ts'
import { isDiskFull } from '../base/disk-files.ts'
import { errnoOf } from '../base/errors.ts'
import { MiB } from '../base/units.ts'
import { segmentBytesOf } from './segment.layout.ts'
import { NEXT_NAME, NEXT_TMP_NAME, ioError, type SegmentSizes } from './wal-files.ts'

/** Written and synced in steps, so that the commit thread's fdatasync never waits behind a whole segment. */
const STEP_BYTES = MiB

export interface PreparerOptions extends SegmentSizes {
  readonly clock: Clock
  /** Pause between two steps, in which the disk belongs to the commit thread. */
  readonly pauseMs?: number
}

const PAUSE_MS = 2

/** 'stopped': `stop` came in between. */
export type PrepareOutcome = 'ready' | 'disk_full' | 'stopped'

/** One thing to do. `zeros`, `datasync` and `close` are about the file that `create` made last. */
export type PrepareStep =
  | { readonly call: 'exists' | 'freeBytes' | 'remove' | 'create', readonly path: string }
  | { readonly call: 'rename', readonly path: string, readonly to: string }
  | { readonly call: 'zeros', readonly bytes: number, readonly position: number }
  | { readonly call: 'datasync' | 'close' | 'pause' }

/**
 * All that a preparation does, one step after the other, for whoever carries them out: on the event loop, or in a
 * simulation in between what the commit thread does. `exists` is answered with 1 or 0, `freeBytes` with bytes, anything
 * else with 0. What a step throws is to be thrown into the generator.
 * @returns 'disk_full' where there is no space; nothing is left behind. @throws {DbError} `io_error`
 */
export function* preparation(
  dir: string, sizes: SegmentSizes, isStopping: () => boolean,
): Generator<PrepareStep, PrepareOutcome, number> {
  const tmp = join(dir, NEXT_TMP_NAME)
  try {
    if ((yield { call: 'exists', path: join(dir, NEXT_NAME) }) === 1) return 'ready'
    const segmentBytes = segmentBytesOf(sizes.segmentBytes)
    if ((yield { call: 'freeBytes', path: dir }) < segmentBytes + sizes.reserveBytes) return 'disk_full'
    yield { call: 'remove', path: tmp }
    const outcome = yield* filling(tmp, segmentBytes, isStopping)
    if (outcome === 'ready') yield { call: 'rename', path: tmp, to: join(dir, NEXT_NAME) }
    else yield { call: 'remove', path: tmp }
    return outcome
  } catch (error) {
    yield { call: 'remove', path: tmp }
    if (isDiskFull(error)) return 'disk_full'
    throw ioError(error, 'preparing a WAL segment')
  }
}

function* filling(path: string, bytes: number, isStopping: () => boolean): Generator<PrepareStep, PrepareOutcome, number> {
  yield { call: 'create', path }
  try {
    for (let position = 0; position < bytes; position += STEP_BYTES) {
      if (isStopping()) return 'stopped'
      yield { call: 'zeros', bytes: Math.min(STEP_BYTES, bytes - position), position }
      yield { call: 'datasync' }
      yield { call: 'pause' }
    }
    return 'ready'
  } finally {
    yield { call: 'close' }
  }
}

/**
 * Fills the next segment with zeros ahead of its use, by asynchronous calls, never more than one ahead. It runs on a
 * thread that has an event loop; the commit thread takes the file by its name. Call `prepare` at start, after each
 * rotation, and now and then while the disk is full.
 */
export class SegmentPreparer {
  readonly #dir: string
  readonly #options: PreparerOptions
  readonly #zeros = new Uint8Array(STEP_BYTES)
  #file: FileHandle | undefined
  #running: Promise<PrepareOutcome> | undefined
  #stopping = false

  constructor(dir: string, options: PreparerOptions) {
    this.#dir = dir
    this.#options = options
  }

  /**
   * Makes the next segment's file, unless it is there. A call while one runs gets that one's result.
   * @returns 'disk_full' where there is no space; nothing is left behind. @throws {DbError} `io_error`
   */
  prepare(): Promise<PrepareOutcome> {
    this.#running ??= this.#prepare().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  /** Ends what runs and removes what it made. */
  async stop(): Promise<void> {
    this.#stopping = true
    // Its error belongs to whoever called `prepare`.
    await this.#running?.catch(() => undefined)
  }

  async #prepare(): Promise<PrepareOutcome> {
    const steps = preparation(this.#dir, this.#options, () => this.#stopping)
    let next = steps.next()
    while (next.done !== true) {
      let answer: number
      try {
        answer = await this.#carryOut(next.value)
      } catch (error) {
        next = steps.throw(error)
        continue
      }
      next = steps.next(answer)
    }
    return next.value
  }

  async #carryOut(step: PrepareStep): Promise<number> {
    switch (step.call) {
      case 'exists':
        return await exists(step.path) ? 1 : 0
      case 'freeBytes': {
        const space = await statfs(step.path)
        return space.bavail * space.bsize
      }
      case 'remove':
        await rm(step.path, { force: true })
        break
      case 'create':
        this.#file = await open(step.path, 'wx', 0o600)
        break
      case 'rename':
        await rename(step.path, step.to)
        break
      case 'zeros':
        await writeZeros(must(this.#file), this.#zeros, step.bytes, step.position)
        break
      case 'datasync':
        await must(this.#file).datasync()
        break
      case 'close':
        await must(this.#file).close()
        break
      case 'pause':
        await new Promise<void>((resolve) => this.#options.clock.timer(this.#options.pauseMs ?? PAUSE_MS, resolve))
        break
    }
    return 0
  }
}

async function writeZeros(file: FileHandle, zeros: Uint8Array, length: number, position: number): Promise<void> {
  for (let done = 0; done < length;) {
    done += (await file.write(zeros, 0, length - done, position + done)).bytesWritten
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false
    throw error
  }
}
