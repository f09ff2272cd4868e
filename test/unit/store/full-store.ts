import { DbError } from '../../../src/base/errors.ts'
import { MemoryStore } from '../../../src/store/store-memory.ts'
import type { StoreBatch } from '../../../src/store/store.ts'
import { MemoryDisk } from '../../support/memory-disk.ts'

/** A store whose writes fail where `isFull` says so, and leave their batch as it was. */
export class FullStore extends MemoryStore {
  writes = 0
  readonly #isFull: (write: number) => boolean

  constructor(isFull: (write: number) => boolean) {
    super()
    this.#isFull = isFull
  }

  override batch(): StoreBatch {
    const batch = super.batch()
    const write = batch.write.bind(batch)
    batch.write = (options) => {
      if (this.#isFull(++this.writes)) throw new DbError('disk_full', 'no space for the store')
      write(options)
    }
    return batch
  }
}

/** A disk on which a node has made its folder for the store, durably. */
export function newStoreDisk(): MemoryDisk {
  const disk = new MemoryDisk()
  disk.mkdir('/data/db')
  disk.syncDir('/data')
  disk.syncDir('/')
  return disk
}

/** Does work again for as long as the disk is full. */
export class Attempts {
  failed = 0

  of<T>(work: () => T): T {
    for (;;) {
      try {
        return work()
      } catch (error) {
        if ((error as { code?: string }).code !== 'disk_full') throw error
        this.failed++
      }
    }
  }
}
