import { systemClock } from '../../src/base/clock.ts'
import { nodeDisk } from '../../src/base/disk-node.ts'
import { hlcOf } from '../../src/base/hlc.ts'
import { systemSecrets } from '../../src/base/random.ts'
import { MiB } from '../../src/base/units.ts'
import { RECORD_KIND } from '../../src/wal/record.layout.ts'
import { recoverWal } from '../../src/wal/recovery.ts'
import { WalWriter } from '../../src/wal/wal-writer.ts'
import { HASH_START, type Micro } from '../lib/micro.ts'
import { batchAt } from './input.ts'

const BATCH = 256
const RECORDS_PER_GROUP = 8

/** Groups of eight batches: staged, checksummed, written and synced, with rotation. */
export const walMicro: Micro = {
  name: 'wal', unit: 'assertion in batches of 256, 8 batches a sync',
  async run(size, dir) {
    const groups = size === 'small' ? 4 : 400
    const payload = batchAt(0, BATCH)
    const options = { nodeId: new Uint8Array(8).fill(1), secrets: systemSecrets, segmentBytes: (size === 'small' ? 4 : 64) * MiB, reserveBytes: 0, groupBytesMax: 4 * MiB }
    const path = `${dir}/wal`
    const writer = WalWriter.open(nodeDisk, path, recoverWal(nodeDisk, path, options), options)
    let hash = HASH_START
    let hlc = hlcOf(1_750_000_000_000)
    const append = (): void => {
      for (;;) {
        const place = writer.reserve(RECORD_KIND.batch, payload.length)
        if (place === 'ok') break
        if (place === 'group_full') writer.commit()
        else if (place !== 'segment_full' || writer.rotate() !== 'ok') throw new Error(place)
      }
      writer.staging.set(payload, writer.payloadOffset)
      writer.finish(BATCH, writer.nextLsn, hlc)
      hlc += BigInt(BATCH)
    }
    const start = systemClock.monoMs()
    for (let group = 0; group < groups; group++) {
      for (let i = 0; i < RECORDS_PER_GROUP; i++) append()
      const { segmentId, offset } = writer.commit()
      hash = (Math.imul(hash, 31) + segmentId * 7 + offset) >>> 0
    }
    return { operations: groups * RECORDS_PER_GROUP * BATCH, ms: systemClock.monoMs() - start, hash }
  },
}
