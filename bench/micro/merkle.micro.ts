import { systemClock } from '../../src/base/clock.ts'
import { seededRandom } from '../../src/base/random.ts'
import { rootOfIdsInto } from '../../src/merkle/tree.ts'
import { HASH_START, mix, type Micro } from '../lib/micro.ts'

const LEAVES = 256

/** The root over 256 ids. */
export const merkleMicro: Micro = {
  name: 'merkle root', unit: 'leaf of a tree of 256',
  async run(size) {
    const trees = size === 'small' ? 20 : 20_000
    const random = seededRandom(1)
    const ids = Uint8Array.from({ length: LEAVES * 32 }, () => random.u32())
    const root = new Uint8Array(32)
    let hash = HASH_START
    const start = systemClock.monoMs()
    for (let i = 0; i < trees; i++) {
      ids[i % ids.length]! ^= 1
      rootOfIdsInto(ids, LEAVES, root)
      hash = mix(hash, root)
    }
    return { operations: trees * LEAVES, ms: systemClock.monoMs() - start, hash }
  },
}
