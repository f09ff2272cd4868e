import { systemClock } from '../../src/base/clock.ts'
import { MiB } from '../../src/base/units.ts'
import { Bell } from '../../src/ring/bell.ts'
import { RingReader, RingWriter, createRing } from '../../src/ring/ring.ts'
import { HASH_START, mix, type Micro } from '../lib/micro.ts'
import { encodedAt } from './input.ts'

/** Frames of one assertion through a ring within one thread: the cost of both sides, without the wait. */
export const ringMicro: Micro = {
  name: 'ring', unit: 'frame of one assertion, written and read',
  async run(size) {
    const operations = size === 'small' ? 5000 : 3_000_000
    const ring = createRing(1 * MiB)
    const writer = new RingWriter(ring, Bell.create())
    const reader = new RingReader(ring)
    const frames = Array.from({ length: 64 }, (_, i) => encodedAt(i))
    let hash = HASH_START
    let read = 0
    const start = systemClock.monoMs()
    for (let written = 0; read < operations;) {
      while (written < operations && writer.write(frames[written % 64]!)) written++
      while (reader.peek()) {
        const frame = reader.frame()
        hash = mix(hash, frame.subarray(0, 4)) ^ frame.length
        reader.release()
        read++
      }
    }
    return { operations, ms: systemClock.monoMs() - start, hash: hash >>> 0 }
  },
}
