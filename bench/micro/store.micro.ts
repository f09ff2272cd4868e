import { systemClock } from '../../src/base/clock.ts'
import { seededRandom } from '../../src/base/random.ts'
import { MiB } from '../../src/base/units.ts'
import { openRocksStore } from '../../src/store/store-rocksdb.ts'
import { HASH_START, mix, type Micro } from '../lib/micro.ts'

const BATCH = 1024
const VALUE_BYTES = 64

/** Index entries into RocksDB by batches of 1,024, unsynced, as ingest writes them. */
export const storeMicro: Micro = {
  name: 'store put', unit: 'entry of about 60 + 64 bytes',
  async run(size, dir) {
    const batches = size === 'small' ? 2 : 1000
    const store = await openRocksStore({ path: `${dir}/db`, createIfMissing: true, memtableBytes: 64 * MiB, blockCacheBytes: 64 * MiB, parallelism: 2 })
    try {
      const random = seededRandom(3)
      const encoder = new TextEncoder()
      const keys = Array.from({ length: BATCH }, () => encoder.encode(`drug/compound-${random.u32() % 1_000_000}\0has_side_effect\0................`))
      const value = new Uint8Array(VALUE_BYTES)
      const batch = store.batch()
      let number = 0
      const start = systemClock.monoMs()
      for (let b = 0; b < batches; b++) {
        for (const key of keys) {
          number++
          new DataView(key.buffer).setUint32(key.length - 16, number)
          value[0] = number
          batch.put('sp', key, value)
        }
        batch.write()
      }
      const ms = systemClock.monoMs() - start
      const found = store.get('sp', keys[0]!)
      return { operations: batches * BATCH, ms, hash: mix(HASH_START, found ?? new Uint8Array(0)) }
    } finally {
      await store.close()
    }
  },
}
