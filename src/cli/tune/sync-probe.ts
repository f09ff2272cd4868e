import { join } from 'node:path'
import { systemClock } from '../../base/clock.ts'
import type { Disk } from '../../base/disk.ts'

const BLOCK_BYTES = 4096
const BLOCKS = 1024

/**
 * Milliseconds of bare 4 KiB write+fdatasync pairs on the disk that holds `dir`, into space that was written before, so that
 * no allocation is timed: the floor of every ack. Ends after `count` pairs or `msMax`, whichever is first.
 */
export function syncLatenciesMs(disk: Disk, dir: string, count: number, msMax = Infinity): number[] {
  const path = join(dir, `sync-probe-${process.pid}`)
  const file = disk.open(path, 'create')
  try {
    const block = new Uint8Array(BLOCK_BYTES).fill(0x5a)
    for (let i = 0; i < BLOCKS; i++) file.pwrite(block, 0, BLOCK_BYTES, i * BLOCK_BYTES)
    file.fdatasync()
    const times: number[] = []
    const beginMs = systemClock.monoMs()
    while (times.length < count && systemClock.monoMs() - beginMs < msMax) {
      block[0] = times.length & 0xff
      const startMs = systemClock.monoMs()
      file.pwrite(block, 0, BLOCK_BYTES, (times.length % BLOCKS) * BLOCK_BYTES)
      file.fdatasync()
      times.push(systemClock.monoMs() - startMs)
    }
    return times
  } finally {
    file.close()
    disk.unlink(path)
  }
}
