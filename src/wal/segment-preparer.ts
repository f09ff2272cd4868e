import { open, rename, rm, stat, statfs, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../base/clock.ts'
import { errnoOf } from '../base/errors.ts'
import { MiB } from '../base/units.ts'
import { segmentBytesOf } from './segment.layout.ts'
import { NEXT_NAME, NEXT_TMP_NAME, ioError, isDiskFull, type SegmentSizes } from './wal-files.ts'

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

/**
 * Fills the next segment with zeros ahead of its use, by asynchronous calls, never more than one ahead. It runs on a
 * thread that has an event loop; the commit thread takes the file by its name. Call `prepare` at start, after each
 * rotation, and now and then while the disk is full.
 */
export class SegmentPreparer {
  readonly #dir: string
  readonly #options: PreparerOptions
  readonly #zeros = new Uint8Array(STEP_BYTES)
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
    const tmp = join(this.#dir, NEXT_TMP_NAME)
    try {
      if (await exists(join(this.#dir, NEXT_NAME))) return 'ready'
      const segmentBytes = segmentBytesOf(this.#options.segmentBytes)
      const space = await statfs(this.#dir)
      if (space.bavail * space.bsize < segmentBytes + this.#options.reserveBytes) return 'disk_full'
      await rm(tmp, { force: true })
      const outcome = await this.#fill(tmp, segmentBytes)
      if (outcome === 'ready') await rename(tmp, join(this.#dir, NEXT_NAME))
      else await rm(tmp, { force: true })
      return outcome
    } catch (error) {
      await rm(tmp, { force: true })
      if (isDiskFull(error)) return 'disk_full'
      throw ioError(error, 'preparing a WAL segment')
    }
  }

  async #fill(path: string, bytes: number): Promise<PrepareOutcome> {
    const file: FileHandle = await open(path, 'wx', 0o600)
    try {
      for (let at = 0; at < bytes; at += STEP_BYTES) {
        if (this.#stopping) return 'stopped'
        await writeZeros(file, this.#zeros, Math.min(STEP_BYTES, bytes - at), at)
        await file.datasync()
        await this.#pause()
      }
      return 'ready'
    } finally {
      await file.close()
    }
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => this.#options.clock.timer(this.#options.pauseMs ?? PAUSE_MS, resolve))
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
