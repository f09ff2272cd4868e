import { DbError } from '../../../src/base/errors.ts'
import { MemoryStore } from '../../../src/store/store-memory.ts'
import type { ColumnName, StoreBatch } from '../../../src/store/store.ts'
import { MemoryDisk } from '../../support/memory-disk.ts'

/** A store that is full at chosen writes, or crashes there: nothing of such a write is applied, and its batch is left as it was. */
export class FullStore extends MemoryStore {
  /** Tried so far, of batches and of ranges that are cleared. */
  writes = 0
  /** @param write its number, from 0 */
  isFull: (write: number) => boolean

  constructor(isFull: (write: number) => boolean = () => false) {
    super()
    this.isFull = isFull
  }

  override batch(): StoreBatch {
    const batch = super.batch()
    const write = batch.write.bind(batch)
    batch.write = (options) => {
      this.#count()
      write(options)
    }
    return batch
  }

  override clearRange(column: ColumnName, gte: Uint8Array, lt: Uint8Array): void {
    this.#count()
    super.clearRange(column, gte, lt)
  }

  #count(): void {
    if (this.isFull(this.writes++)) throw new DbError('disk_full', 'no space for the store')
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
