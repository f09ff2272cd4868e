import fc from 'fast-check'
import t from 'tap'
import type { Clock } from '../../../src/base/clock.ts'
import type { Disk, DiskFile } from '../../../src/base/disk.ts'
import { nodeDisk } from '../../../src/base/disk-node.ts'
import { LAG_SAMPLES_MAX, LagClock } from '../../../src/observe/lag-clock.ts'
import { measuredDisk } from '../../../src/observe/measured-disk.ts'
import { createMetrics } from '../../../src/observe/metrics-registry.ts'

t.test('lag: the age of the oldest entry above the mark', async (t) => {
  const clock = new LagClock()
  t.equal(clock.lagMs(0, 0), 0)
  clock.note(100, 5)
  clock.note(200, 9)
  t.equal(clock.lagMs(250, 0), 150)
  t.equal(clock.lagMs(250, 4), 150)
  t.equal(clock.lagMs(250, 5), 50)
  t.equal(clock.lagMs(900, 9), 0)
  clock.note(1000, 9)
  t.equal(clock.lagMs(1100, 9), 0, 'an idle log does not lag')
})

t.test('lag: bounded, and never more than the truth', async (t) => {
  fc.assert(fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 50 }), fc.nat(5), fc.nat(3)), { minLength: 1, maxLength: 3000 }), (steps) => {
    const clock = new LagClock()
    const born: { atMs: number, lsn: number }[] = []
    let [nowMs, leading, following] = [0, 0, 0]
    for (const [waitMs, written, applied] of steps) {
      nowMs += waitMs
      if (written > 0) born.push({ atMs: nowMs, lsn: leading += written })
      clock.note(nowMs, leading)
      following = Math.min(leading, following + applied)
      const oldest = born.find(({ lsn }) => lsn > following)
      const truth = oldest === undefined ? 0 : nowMs - oldest.atMs
      const lagMs = clock.lagMs(nowMs, following)
      if (lagMs < 0 || lagMs > truth || (truth === 0 && lagMs !== 0)) return false
      if (born.length < LAG_SAMPLES_MAX && lagMs !== truth) return false
    }
    return true
  }), { numRuns: 50 })
  t.pass('held')
})

t.test('a measured disk does what the disk does, and counts it', async (t) => {
  const metrics = createMetrics('0')
  let nowMs = 0
  const clock: Clock = { wallMs: () => 0, monoMs: () => (nowMs += 3), timer: () => () => {} }
  const disk = measuredDisk(nodeDisk, clock, metrics.main)
  const file = disk.open(`${t.testdir()}/a`, 'create')
  file.pwrite(Uint8Array.of(1, 2, 3), 0, 3, 0)
  file.fdatasync()
  const read = new Uint8Array(3)
  t.equal(file.pread(read, 0, 3, 0), 3)
  t.strictSame([...read], [1, 2, 3])
  t.equal(file.size(), 3)
  file.close()
  const text = await metrics.text()
  t.match(text, /^stemedb_wal_fsync_total 1$/m)
  t.match(text, /^stemedb_wal_fsync_latency_seconds_sum 0\.003$/m)
})

t.test('a measured disk counts failures, and throws them on', async (t) => {
  const failing = (code: string): never => { throw Object.assign(new Error(code), { code }) }
  const broken: DiskFile = {
    path: 'x', pread: () => 0, fsync() {}, truncate() {}, size: () => 0, close() {},
    pwrite: () => failing('ENOSPC'), fdatasync: () => failing('EIO'),
  }
  const metrics = createMetrics('0')
  const clock: Clock = { wallMs: () => 0, monoMs: () => 0, timer: () => () => {} }
  const disk: Disk = measuredDisk({ ...nodeDisk, open: () => broken }, clock, metrics.main)
  const file = disk.open('x', 'write')
  t.throws(() => file.fdatasync(), { code: 'EIO' })
  t.throws(() => file.pwrite(new Uint8Array(1), 0, 1, 0), { code: 'ENOSPC' })
  const text = await metrics.text()
  t.match(text, /^stemedb_wal_fsync_errors_total 1$/m)
  t.match(text, /^stemedb_wal_fsync_total 0$/m)
  t.match(text, /^stemedb_wal_write_errors_total\{error="ENOSPC"\} 1$/m)
})
