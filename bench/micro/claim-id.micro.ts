import { systemClock } from '../../src/base/clock.ts'
import { initHash } from '../../src/record/claim.ts'
import { AssertionView } from '../../src/wire/assertion-view.ts'
import { claimIdInto } from '../../src/wire/claim-id.ts'
import { HASH_START, mix, type Micro } from '../lib/micro.ts'
import { encodedAt } from './input.ts'

/** All rules of the model and the BLAKE3 id of one encoded assertion. */
export const claimIdMicro: Micro = {
  name: 'claim id', unit: 'assertion checked and hashed',
  async run(size) {
    await initHash()
    const operations = size === 'small' ? 2000 : 1_000_000
    const inputs = Array.from({ length: 256 }, (_, i) => encodedAt(i))
    const view = new AssertionView()
    const id = new Uint8Array(32)
    let hash = HASH_START
    const start = systemClock.monoMs()
    for (let i = 0; i < operations; i++) {
      const input = inputs[i % inputs.length]!
      const code = claimIdInto(view.reset(input, 0, input.length), id, 0)
      if (code !== 0) throw new Error(`refused with ${code}`)
      hash = mix(hash, id.subarray(0, 4))
    }
    return { operations, ms: systemClock.monoMs() - start, hash }
  },
}
