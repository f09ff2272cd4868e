import t from 'tap'
import { seededRandom } from '../../../src/base/random.ts'
import { fitOf, gatherMsOf } from '../../../src/wal/group-commit.ts'
import { WalWriter } from '../../../src/wal/wal-writer.ts'
import { NEXT_NAME } from '../../../src/wal/wal-files.ts'
import { FaultyDisk, type DiskCallSeen, type Fault } from '../../support/faulty-disk.ts'
import { MemoryDisk } from '../../support/memory-disk.ts'
import { DIR, KiB, codeOf, openWal, optionsWith, payloadOf, readAll, stage, thrown } from './kit.ts'

const SEGMENT_1 = `${DIR}/0000000001.wal`

function newDisk(plan?: (call: DiskCallSeen) => Fault | undefined) {
  const memory = new MemoryDisk()
  memory.mkdir('/data')
  const disk = new FaultyDisk(memory, plan)
  return { memory, disk }
}

t.test('what is appended is read back, byte for byte, at the place that was told', (t) => {
  const { disk } = newDisk()
  const { wal, recovered } = openWal(disk)
  const random = seededRandom(1)
  const wanted = []
  for (let group = 0; group < 40; group++) {
    for (let i = 0; i < 1 + group % 4; i++) {
      const payload = payloadOf(random)
      const count = 1 + i
      if (wal.reserve(1, payload.length) === 'segment_full') t.equal(wal.rotate(), 'ok')
      const { lsn, segmentId, offset } = stage(wal, payload, count)
      wanted.push({ kind: 1, lsnFirst: lsn, count, segmentId, offset, payload: Buffer.from(payload) })
    }
    wal.commit()
  }
  t.same(readAll(disk, recovered.first, wal.durablePosition), wanted)
  t.equal(wal.durableLsn, wal.nextLsn - 1)
  t.same(readAll(disk, recovered.first, wal.durablePosition, undefined, 64), wanted, 'with the smallest chunk, too')
  t.end()
})

t.test('a group is one pwrite and one fdatasync, and starts on a sector of its own', (t) => {
  const { disk } = newDisk()
  const { wal } = openWal(disk)
  const writes = disk.count('pwrite')
  const syncs = disk.count('fdatasync')
  for (let i = 0; i < 5; i++) stage(wal, payloadOf(seededRandom(i)))
  const end = wal.commit()
  t.equal(disk.count('pwrite') - writes, 1)
  t.equal(disk.count('fdatasync') - syncs, 1)
  t.equal(end.offset % 512, 0)
  t.same(wal.commit(), end, 'an empty group costs nothing')
  t.equal(disk.count('fdatasync') - syncs, 1)
  t.end()
})

t.test('a record larger than a group goes alone; one larger than a segment is refused', (t) => {
  const { disk } = newDisk()
  const { wal, recovered } = openWal(disk)
  stage(wal, new Uint8Array(100).fill(1))
  t.equal(wal.reserve(1, 20 * KiB), 'group_full')
  wal.commit()
  const { lsn } = stage(wal, new Uint8Array(20 * KiB).fill(2))
  t.equal(wal.reserve(1, 8), 'group_full')
  wal.commit()
  t.equal(readAll(disk, recovered.first, wal.durablePosition).at(-1)?.lsnFirst, lsn)
  t.equal(codeOf(thrown(() => wal.reserve(1, 64 * KiB))), 'frame_too_large')
  t.equal(wal.reserve(1, WalWriter.payloadBytesMaxOf(64 * KiB)), 'segment_full')
  wal.rotate()
  t.equal(wal.reserve(1, WalWriter.payloadBytesMaxOf(64 * KiB)), 'ok', 'the largest fits an empty segment')
  t.end()
})

t.test('where a record goes', (t) => {
  t.equal(fitOf(512, 0, 100, 1000, 4096), 'ok')
  t.equal(fitOf(512, 950, 100, 1000, 8192), 'group_full', 'the group is at its bound')
  t.equal(fitOf(3072, 400, 200, 1000, 4096), 'group_full', 'the segment is, and something is staged')
  t.equal(fitOf(3584, 0, 100, 1000, 4096), 'segment_full', 'the seal keeps its place')
  t.equal(fitOf(3584, 0, 100, 1000, 4096, 0), 'ok', 'which the seal may take')
  t.equal(fitOf(512, 0, 2000, 1000, 4096), 'ok', 'alone it may be larger than a group')
  t.end()
})

t.test('how long a group gathers on', async (t) => {
  t.equal(gatherMsOf(16, 100, 1000, 5), 1, 'a sixteenth of what its youngest batch has waited')
  t.equal(gatherMsOf(1600, 100, 1000, 5), 5, 'at most so long')
  t.equal(gatherMsOf(3, 100, 1000, 5), 0, 'not for less than a sleep costs')
  t.equal(gatherMsOf(-5, 100, 1000, 5), 0)
  t.equal(gatherMsOf(1600, 0, 1000, 5), 0, 'nothing to sync')
  t.equal(gatherMsOf(1600, 500, 1000, 5), 0, 'large enough as it is')
  t.equal(gatherMsOf(1600, 100, 1000, 0), 0, 'turned off')
})

t.test('marks: one behind the last batch, none behind a mark', (t) => {
  const { disk } = newDisk()
  const { wal, recovered } = openWal(disk)
  t.notOk(wal.mark(), 'an empty log has nothing to prove')
  stage(wal, payloadOf(seededRandom(1)))
  wal.commit()
  t.ok(wal.mark())
  t.notOk(wal.mark())
  stage(wal, payloadOf(seededRandom(2)))
  wal.commit()
  t.same(readAll(disk, recovered.first, wal.durablePosition).map((record) => [record.kind, record.lsnFirst, record.count]),
    [[1, 1, 1], [2, 2, 0], [1, 2, 1]])
  t.end()
})

t.test('the caller may not leave a gap or turn back', (t) => {
  const { wal } = openWal(newDisk().disk)
  t.equal(wal.reserve(1, 8), 'ok')
  t.throws(() => wal.finish(1, 2, 10n), { name: 'AssertionFailure' })
  t.throws(() => wal.finish(1, 1, 0n), { name: 'AssertionFailure' })
  wal.finish(3, 1, 10n)
  t.throws(() => wal.finish(1, 4, 20n), { name: 'AssertionFailure' }, 'nothing is reserved')
  t.equal(wal.lastHlc, 12n)
  t.equal(wal.nextLsn, 4)
  t.end()
})

for (const call of ['pwrite', 'fdatasync'] as const) {
  t.test(`a failed ${call} is final: nothing is acked, and that file is never synced again`, (t) => {
    let isFailing = false
    let failures = 0
    const { disk } = newDisk((seen) => {
      // Fails once; every later call would succeed.
      if (!isFailing || seen.call !== call || seen.path !== SEGMENT_1 || failures > 0) return undefined
      failures++
      return 'EIO'
    })
    const { wal, recovered } = openWal(disk)
    stage(wal, payloadOf(seededRandom(1)))
    wal.commit()
    isFailing = true
    const before = wal.durablePosition
    stage(wal, payloadOf(seededRandom(2)))
    const failure = thrown(() => wal.commit())
    t.equal(codeOf(failure), 'durability_failed')
    t.match((failure as { details: object }).details, { errno: 'EIO', segmentId: 1, offset: before.offset })
    const calls = disk.calls.length
    for (const again of [
      () => wal.commit(), () => wal.sync(), () => wal.write(), () => wal.reserve(1, 8), () => wal.mark(), () => wal.rotate(),
      () => wal.seal(),
    ]) t.equal(thrown(again), failure, 'the same error')
    t.equal(disk.calls.length, calls, 'and not one call to the disk')
    t.same(wal.durablePosition, before)
    t.equal(wal.durableLsn, 1)
    t.equal(readAll(disk, recovered.first, before).length, 1)
    t.end()
  })
}

t.test('a copy-on-write file system without space: the group is dropped, later ones go on', (t) => {
  let isFull = false
  const { disk } = newDisk((seen) => (isFull && seen.call === 'pwrite' ? 'ENOSPC' : undefined))
  const { wal, recovered, options } = openWal(disk)
  stage(wal, payloadOf(seededRandom(1)))
  wal.commit()
  isFull = true
  stage(wal, payloadOf(seededRandom(2)))
  stage(wal, payloadOf(seededRandom(3)))
  t.equal(codeOf(thrown(() => wal.commit())), 'disk_full')
  t.equal(wal.failure, undefined)
  t.equal(wal.nextLsn, 2, 'its LSNs are free again')
  isFull = false
  const payload = payloadOf(seededRandom(4))
  stage(wal, payload)
  wal.commit()
  t.same(readAll(disk, recovered.first, wal.durablePosition).map((record) => record.lsnFirst), [1, 2])
  const again = openWal(disk, options)
  t.equal(again.recovered.lastLsn, 2)
  t.equal(again.recovered.truncatedBytes, 0)
  t.end()
})

t.test('disk full: the segment is used up, then writes are refused, and go on when space is back', (t) => {
  const { memory, disk } = newDisk()
  memory.capacityBytes = 80 * KiB
  const { wal, recovered } = openWal(disk)
  let acked = 0
  while (wal.reserve(1, 1000) === 'ok') {
    stage(wal, new Uint8Array(1000).fill(acked + 1))
    wal.commit()
    acked++
  }
  t.ok(acked > 30)
  t.equal(wal.reserve(1, 1000), 'segment_full')
  const files = disk.list(DIR)
  t.equal(wal.rotate(), 'disk_full')
  t.equal(wal.reserve(1, 1000), 'disk_full')
  t.equal(wal.rotate(), 'disk_full')
  t.ok(wal.diskFull)
  t.same(disk.list(DIR), files, 'nothing is left of the tries')
  t.equal(readAll(disk, recovered.first, wal.durablePosition).length, acked, 'reads go on')
  memory.capacityBytes = 300 * KiB
  t.equal(wal.rotate(), 'ok')
  t.notOk(wal.diskFull)
  stage(wal, new Uint8Array(1000).fill(99))
  wal.commit()
  t.equal(readAll(disk, recovered.first, wal.durablePosition).length, acked + 1)
  t.end()
})

t.test('the reserve is kept free', (t) => {
  const { memory, disk } = newDisk()
  memory.capacityBytes = 200 * KiB
  const { wal } = openWal(disk, { reserveBytes: 100 * KiB })
  stage(wal, payloadOf(seededRandom(1)))
  wal.commit()
  t.equal(wal.rotate(), 'disk_full')
  memory.capacityBytes = 240 * KiB
  t.equal(wal.rotate(), 'ok')
  t.end()
})

t.test('rotation takes the prepared file', (t) => {
  const { memory, disk } = newDisk()
  const { wal, recovered } = openWal(disk)
  stage(wal, payloadOf(seededRandom(1)))
  wal.commit()
  memory.writeFile(`${DIR}/${NEXT_NAME}`, new Uint8Array(64 * KiB))
  memory.capacityBytes = 130 * KiB
  t.equal(wal.rotate(), 'ok', 'though there is no space for another')
  t.notOk(disk.exists(`${DIR}/${NEXT_NAME}`))
  stage(wal, payloadOf(seededRandom(2)))
  t.equal(wal.commit().segmentId, 2)
  t.equal(readAll(disk, recovered.first, wal.durablePosition).length, 2)
  t.end()
})

t.test('the preparer may finish its file at any moment of a rotation', (t) => {
  let calls = 0
  let at = 0
  const { memory, disk } = newDisk(() => {
    if (++calls === at) memory.writeFile(`${DIR}/${NEXT_NAME}`, new Uint8Array(64 * KiB))
    return undefined
  })
  const { wal, recovered } = openWal(disk)
  let rotationCalls = 1
  for (let n = 1; n <= rotationCalls; n++) {
    stage(wal, payloadOf(seededRandom(n)))
    wal.commit()
    const before = calls
    at = calls + n
    t.equal(wal.rotate(), 'ok', `at call ${n}`)
    rotationCalls = Math.max(rotationCalls, calls - before)
  }
  t.ok(rotationCalls > 8)
  stage(wal, payloadOf(seededRandom(1)))
  wal.commit()
  t.equal(readAll(disk, recovered.first, wal.durablePosition).length, rotationCalls + 1)
  t.equal(openWal(disk).recovered.lastLsn, rotationCalls + 1)
  t.end()
})

t.test('a prepared file of another size is made anew', (t) => {
  const { memory, disk } = newDisk()
  const { wal } = openWal(disk)
  stage(wal, payloadOf(seededRandom(1)))
  wal.commit()
  memory.writeFile(`${DIR}/${NEXT_NAME}`, new Uint8Array(8 * KiB))
  t.equal(wal.rotate(), 'ok')
  t.equal(memory.readFile(`${DIR}/0000000002.wal`).length, 64 * KiB)
  t.end()
})

t.test('an error while rotating is final', (t) => {
  let isFailing = false
  const { disk } = newDisk((seen) => (isFailing && seen.call === 'syncDir' ? 'EIO' : undefined))
  const { wal } = openWal(disk)
  stage(wal, payloadOf(seededRandom(1)))
  wal.commit()
  isFailing = true
  const failure = thrown(() => wal.rotate())
  t.equal(codeOf(failure), 'io_error')
  t.equal(thrown(() => wal.rotate()), failure)
  t.equal(thrown(() => wal.reserve(1, 8)), failure)
  t.end()
})

t.test('closed in order: the next start finds nothing to cut and nothing to rewrite', (t) => {
  const { memory, disk } = newDisk()
  const { wal, options } = openWal(disk)
  stage(wal, payloadOf(seededRandom(1)), 3)
  wal.commit()
  wal.seal()
  t.equal(codeOf(thrown(() => wal.reserve(1, 8))), 'shutting_down')
  t.ok(memory.readFile(SEGMENT_1).length < 4 * KiB, 'the file is cut to its records')
  for (let restart = 0; restart < 3; restart++) {
    const again = openWal(disk, options)
    t.match(again.recovered, { cleanShutdown: true, truncatedBytes: 0, missingBytes: 0, lastLsn: 3, lastHlc: 7n })
    t.equal(again.wal.segmentId, 2, 'restarts without writes take no new segment')
    again.wal.seal()
    t.same(disk.list(DIR), ['0000000001.wal', 'MANIFEST', 'TRUSTED'])
  }
  t.equal(disk.count('rename', SEGMENT_1), 1, 'the sealed segment was not rewritten')
  t.end()
})

t.test('without space for the manifest the seal itself tells of the clean shutdown', (t) => {
  let isFull = false
  const { disk } = newDisk((seen) => (isFull && seen.call === 'open' && seen.path.endsWith('MANIFEST.tmp') ? 'ENOSPC' : undefined))
  const { wal } = openWal(disk)
  stage(wal, payloadOf(seededRandom(1)))
  wal.commit()
  isFull = true
  wal.seal()
  isFull = false
  t.match(openWal(disk).recovered, { cleanShutdown: true, lastLsn: 1, truncatedBytes: 0, missingBytes: 0 })
  t.end()
})

t.test('the settings of segment size are rounded to whole pages', (t) => {
  const { memory, disk } = newDisk()
  openWal(disk, optionsWith({ segmentBytes: 10_000 }))
  t.equal(memory.readFile(SEGMENT_1).length, 8192)
  t.end()
})
