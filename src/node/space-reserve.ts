import { open, rename, rm, statfs } from 'node:fs/promises'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock } from '../base/clock.ts'
import { isDiskFull } from '../base/disk-files.ts'
import { isDbError } from '../base/errors.ts'
import { MiB } from '../base/units.ts'
import { NEXT_NAME } from '../wal/wal-files.ts'

const RESERVE_NAME = 'RESERVE'
const RESERVE_TMP_NAME = 'RESERVE.tmp'
const STEP_BYTES = 1 * MiB
/** How often it is looked whether a reserve that was spent can be laid aside again. */
const WATCH_MS = 5_000

/**
 * Space laid aside in the data directory as a file of zeros. RocksDB writes while it opens, so a node on a disk that somebody
 * else has filled could not start, not even to be read; it gives this space back first, and lays it aside again
 * when there is room for it and for as much again.
 */
export class SpaceReserve {
  readonly #dataDir: string
  readonly #bytes: number
  readonly #clock: Clock
  #cancelWatch: () => void = () => {}
  #stopped = false
  #there = false

  /** @param bytes 0: none is kept. */
  constructor(dataDir: string, bytes: number, clock: Clock) {
    this.#dataDir = dataDir
    this.#bytes = bytes
    this.#clock = clock
  }

  /** Does `work`; where it finds the disk full, gives the reserve back and does it once more. */
  async spendOnFullDisk<T>(work: () => Promise<T>, onSpent: () => void): Promise<T> {
    try {
      return await work()
    } catch (error) {
      if (!isDbError(error) || error.code !== 'disk_full') throw error
      rmSync(join(this.#dataDir, RESERVE_NAME), { force: true })
      // The segment prepared ahead holds no record; recovery would give it up next.
      rmSync(join(this.#dataDir, 'wal', NEXT_NAME), { force: true })
      onSpent()
      return work()
    }
  }

  /** Lays the reserve aside whenever it is not there and there is room, until `stop`. */
  watch(): void {
    if (this.#bytes === 0 || this.#stopped) return
    const again = (): void => {
      this.#cancelWatch = this.#clock.timer(WATCH_MS, () => this.watch())
    }
    // Whatever goes wrong, the node runs without a reserve as well; the next look tries again.
    this.#layAside().then(again, again)
  }

  stop(): void {
    this.#stopped = true
    this.#cancelWatch()
  }

  async #layAside(): Promise<void> {
    if (this.#there) return
    const path = join(this.#dataDir, RESERVE_NAME)
    const file = await open(path, 'r').catch(() => undefined)
    if (file !== undefined) {
      this.#there = (await file.stat()).size >= this.#bytes
      await file.close()
      if (this.#there) return
    }
    const space = await statfs(this.#dataDir)
    if (space.bavail * space.bsize < 2 * this.#bytes) return
    await this.#fill(join(this.#dataDir, RESERVE_TMP_NAME), path)
  }

  async #fill(tmp: string, path: string): Promise<void> {
    const zeros = new Uint8Array(STEP_BYTES)
    const file = await open(tmp, 'w', 0o600)
    try {
      for (let at = 0; at < this.#bytes && !this.#stopped; at += STEP_BYTES) {
        await file.write(zeros, 0, Math.min(STEP_BYTES, this.#bytes - at), at)
      }
    } catch (error) {
      await rm(tmp, { force: true })
      if (isDiskFull(error)) return
      throw error
    } finally {
      await file.close()
    }
    if (this.#stopped) return rm(tmp, { force: true })
    await rename(tmp, path)
    this.#there = true
  }
}
