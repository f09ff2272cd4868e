import t from 'tap'
import { seededRandom } from '../../../src/base/random.ts'
import { encodeManifest, decodeManifest } from '../../../src/wal/manifest.codec.ts'
import { examineWal, positionOfLsn, recoverWal, type Recovered } from '../../../src/wal/recovery.ts'
import { emptyRecordHeader, encodeRecordHeader } from '../../../src/wal/record.codec.ts'
import { NEXT_NAME, segmentPath } from '../../../src/wal/wal-files.ts'
import { WalReader } from '../../../src/wal/wal-reader.ts'
import { recordFault } from '../../support/fault-record.ts'
import { CHANGING_CALLS, FaultyDisk, ProcessDied } from '../../support/faulty-disk.ts'
import { MemoryDisk } from '../../support/memory-disk.ts'
import {
  DIR, KiB, NODE_ID, codeOf, openWal, optionsWith, payloadOf, readAll, realModules, seededSecrets, stage, thrown,
  type WalModules,
} from './kit.ts'
import { loadMutant, type Mutation } from './mutant.ts'

const pathOf = (id: number): string => `${DIR}/${String(id).padStart(10, '0')}.wal`
const options = optionsWith()

const flips = { trials: 0, failures: 0, teeth: 0 }
const cuts = { trials: 0, failures: 0, caught: 0 }
t.teardown(() => {
  recordFault({
    id: 'C1', title: 'one bit flipped in every byte of an open and of a sealed segment, all eight in headers', trials: flips.trials, unit: 'flips',
    failures: flips.failures, tooth: `checks taken out of the code: caught ${flips.teeth} of ${Object.keys(MUTANTS).length} mutants`,
  })
  recordFault({
    id: 'C2', title: 'the open segment cut at every byte', trials: cuts.trials, unit: 'lengths', failures: cuts.failures,
    tooth: `records that are cut off taken as whole: wrong at ${cuts.caught} lengths`,
  })
})

// Slow machines under load; the work is bounded by the number of bytes.
t.setTimeout(300_000)

interface Log {
  readonly disk: MemoryDisk
  /** Ends of records in segment 1, the first being where records begin. */
  readonly ends: number[]
  readonly lastLsn: number
}

/** A crashed node's log: one open segment with groups of 1 to 3 batches; the last thing in it is a mark, if asked for. */
function crashedLog(seed: number, groups: number, hasMark: boolean, segmentBytes = 64 * KiB, bytesMax = 700): Log {
  const disk = new MemoryDisk()
  disk.mkdir('/data')
  disk.syncDir('/')
  const { wal, recovered } = openWal(disk, { segmentBytes, secrets: seededSecrets(seed) })
  const random = seededRandom(seed)
  for (let group = 0; group < groups; group++) {
    for (let i = 0; i <= group % 3; i++) {
      const payload = payloadOf(random, bytesMax)
      if (wal.reserve(1, payload.length) === 'ok') stage(wal, payload, 1 + random.u32() % 4)
    }
    wal.commit()
  }
  if (hasMark) wal.mark()
  const records = readAll(disk, recovered.first, wal.durablePosition)
  const ends = [...records.map((record) => record.offset), wal.durablePosition.offset]
  return { disk, ends, lastLsn: wal.durableLsn }
}

/** What a change of the log's bytes led to. */
type Verdict =
  | { readonly kind: 'refused', readonly code: string | undefined }
  | { readonly kind: 'cut', readonly lastLsn: number, readonly reported: boolean }

function judge(disk: MemoryDisk, modules: WalModules = realModules): Verdict {
  try {
    const found = modules.recovery.examineWal(disk, DIR, options)
    const lastLsn = found.tail?.sealed.lsnLast ?? found.manifest?.sealed.at(-1)?.lsnLast ?? 0
    return { kind: 'cut', lastLsn, reported: found.truncatedBytes > 0 || found.missingBytes > 0 }
  } catch (error) {
    return { kind: 'refused', code: codeOf(error) }
  }
}

/** C1: flips bits of every byte of the open segment and counts what went unnoticed. */
function flipEveryByte(log: Log, modules: WalModules, stride = 1): { unnoticed: number, wronglyCut: number, refused: number, cut: number } {
  const { disk, ends } = log
  const path = pathOf(1)
  const file = disk.open(path, 'write')
  const byte = new Uint8Array(1)
  const size = file.size()
  const provenEnd = ends.at(-2)!
  const counts = { unnoticed: 0, wronglyCut: 0, refused: 0, cut: 0 }
  // Tens of thousands of errors: nobody reads their stacks.
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  const headers = new Set<number>()
  for (const start of [0, ...ends.slice(0, -1)]) for (let i = 0; i < 64; i++) headers.add(start + i)
  for (let offset = 0; offset < size; offset += stride) {
    const masks = headers.has(offset) ? [1, 2, 4, 8, 16, 32, 64, 128] : [1 << (offset % 8)]
    for (const mask of masks) {
      file.pread(byte, 0, 1, offset)
      byte[0]! ^= mask
      file.pwrite(byte, 0, 1, offset)
      const verdict = judge(disk, modules)
      if (verdict.kind === 'refused') counts.refused++
      else {
        counts.cut++
        if (!verdict.reported) counts.unnoticed++
        // Only the mark at the end, and zeros behind it, may be taken for torn.
        if (verdict.lastLsn !== log.lastLsn || offset < provenEnd) counts.wronglyCut++
      }
      byte[0]! ^= mask
      file.pwrite(byte, 0, 1, offset)
    }
  }
  Error.stackTraceLimit = stackTraceLimit
  return counts
}

t.test('C1: one bit flipped in every byte of a segment, all eight in headers: each is noticed, none cuts the middle', (t) => {
  const log = crashedLog(11, 12, true, 64 * KiB, 4000)
  t.equal(log.disk.readFile(pathOf(1)).length, 64 * KiB)
  const counts = flipEveryByte(log, realModules)
  t.comment(`refused ${counts.refused}, reported as cut ${counts.cut}`)
  flips.trials += counts.refused + counts.cut
  flips.failures += counts.unnoticed + counts.wronglyCut
  t.match(counts, { unnoticed: 0, wronglyCut: 0 })
  t.ok(counts.refused > 40_000)
  t.match(judge(log.disk), { kind: 'cut', lastLsn: log.lastLsn, reported: false }, 'and the log itself is whole')
  t.end()
})

t.test('C1 in sealed segments: each flip is noticed by the full check, those of the ends at every start', (t) => {
  const disk = new MemoryDisk()
  disk.mkdir('/data')
  disk.syncDir('/')
  const { wal } = openWal(disk, { segmentBytes: 4 * KiB })
  const random = seededRandom(3)
  for (let i = 0; i < 12; i++) {
    const payload = payloadOf(random)
    if (wal.reserve(1, payload.length) === 'segment_full') wal.rotate()
    stage(wal, payload)
    wal.commit()
  }
  const [first] = wal.manifest.sealed
  const file = disk.open(pathOf(1), 'write')
  const byte = new Uint8Array(1)
  for (let offset = 0; offset < first!.bytesUsed; offset++) {
    file.pread(byte, 0, 1, offset)
    byte[0]! ^= 1 << (offset % 8)
    file.pwrite(byte, 0, 1, offset)
    flips.trials++
    if (codeOf(thrown(() => examineWal(disk, DIR, { ...options, verifyFromLsn: 1 }))) !== 'wal_corrupt') {
      flips.failures++
      t.fail(`flip at ${offset} unnoticed`)
    }
    const isEnd = offset < 512 || (offset >= first!.lastRecordOffset && offset < first!.lastRecordOffset + 64)
    const cheap = codeOf(thrown(() => examineWal(disk, DIR, options)))
    if (cheap !== (isEnd ? 'wal_corrupt' : undefined)) t.fail(`ends-only check of a flip at ${offset}: ${cheap}`)
    byte[0]! ^= 1 << (offset % 8)
    file.pwrite(byte, 0, 1, offset)
  }
  t.equal(thrown(() => examineWal(disk, DIR, { ...options, verifyFromLsn: 1 })), undefined)
  t.end()
})

/** C2: cuts the open segment at every byte; at how many lengths recovery finds anything but the longest valid prefix. */
function cutAtEveryByte(log: Log, modules: WalModules): { lengths: number, wrong: number } {
  const bytes = log.disk.readFile(pathOf(1))
  const records = readAll(log.disk, { segmentId: 1, offset: 512 }, { segmentId: 1, offset: log.ends.at(-1)! })
  const disk = log.disk.clone()
  let wrong = 0
  for (let length = 0; length <= bytes.length; length++) {
    disk.writeFile(pathOf(1), bytes.subarray(0, length))
    const found = modules.recovery.examineWal(disk, DIR, options)
    const whole = log.ends.slice(1).filter((end) => end <= length).length
    const last = records[whole - 1]
    const lsnLast = last === undefined ? 0 : last.lsnFirst + last.count - 1
    // A cut at a record's end looks like a rewritten tail; every other one is reported.
    const isReported = log.ends.slice(1).includes(length) || length === bytes.length || found.missingBytes > 0
    if ((found.tail?.sealed.recordCount ?? 0) !== whole || (found.tail?.sealed.lsnLast ?? 0) !== lsnLast || !isReported) wrong++
  }
  return { lengths: bytes.length + 1, wrong }
}

t.test('C2: the open segment cut at every byte: exactly the longest valid prefix', async (t) => {
  const log = crashedLog(5, 9, false, 8 * KiB, 400)
  const { lengths, wrong } = cutAtEveryByte(log, realModules)
  Object.assign(cuts, { trials: lengths, failures: wrong })
  t.equal(wrong, 0, `${lengths} lengths`)
  const mutant = await loadMutant([
    { file: 'segment-cursor.js', from: 'if (end > this.#limit || !this.#load(at, RECORD_HEADER_BYTES + bodyBytes))', to: 'this.#load(at, RECORD_HEADER_BYTES + bodyBytes); if (false)' },
    { file: 'segment-cursor.js', from: '!== header.payloadCrc)', to: '=== -1)' },
  ])
  t.teardown(mutant.remove)
  cuts.caught = cutAtEveryByte(log, mutant.modules).wrong
  t.ok(cuts.caught > 1000, `records that are cut off taken as whole: wrong at ${cuts.caught} lengths`)
  const bytes = log.disk.readFile(pathOf(1))
  const records = readAll(log.disk, { segmentId: 1, offset: 512 }, { segmentId: 1, offset: log.ends.at(-1)! })
  const disk = log.disk.clone()
  disk.writeFile(pathOf(1), bytes.subarray(0, log.ends[4]! + 10))
  const recovered = recoverWal(disk, DIR, options)
  t.equal(recovered.end.offset, log.ends[4])
  t.same(readAll(disk, recovered.first, recovered.end), records.slice(0, 4), 'and recovery keeps just that')
})

t.test('a torn group is cut whole from its first bad record, with its bytes counted', (t) => {
  const log = crashedLog(8, 6, false)
  // The last group has three records; damage its second.
  const [a, b, c, end] = log.ends.slice(-4) as [number, number, number, number]
  log.disk.flip(pathOf(1), b + 70, 1)
  const found = recoverWal(log.disk, DIR, options)
  t.equal(found.end.offset, b, 'the valid one before it is kept')
  t.ok(a < b)
  t.ok(found.truncatedBytes > c - b && found.truncatedBytes <= end - b)
  t.notOk(found.cleanShutdown)
  t.end()
})

t.test('a bad record in front of a later group is corruption; nothing is changed', (t) => {
  const log = crashedLog(8, 6, false)
  log.disk.flip(pathOf(1), log.ends[3]! + 70, 1)
  const before = log.disk.list(DIR).map((name) => Buffer.from(log.disk.readFile(`${DIR}/${name}`)))
  const disk = new FaultyDisk(log.disk)
  const error = thrown(() => recoverWal(disk, DIR, options)) as { code: string, details: object }
  t.equal(error.code, 'wal_corrupt')
  t.match(error.details, { segmentId: 1, offset: log.ends[3], lsn: Number, reason: /checksum of the payload.*was synced/ })
  t.same(log.disk.list(DIR).map((name) => Buffer.from(log.disk.readFile(`${DIR}/${name}`))), before)
  for (const call of CHANGING_CALLS) if (call !== 'open') t.equal(disk.count(call), 0, call)
  t.end()
})

t.test('a client can not place bytes that pass for a record of the segment', (t) => {
  const disk = new MemoryDisk()
  disk.mkdir('/data')
  disk.syncDir('/')
  const { wal } = openWal(disk)
  stage(wal, payloadOf(seededRandom(1)))
  wal.commit()
  // A flawless header but for the tag, which no client knows: it claims that far more was synced.
  const forged = new Uint8Array(512)
  encodeRecordHeader({ ...emptyRecordHeader(), kind: 2, lsnFirst: 50, hlcFirst: 50n, durableOffset: 32 * KiB }, forged.subarray(0, 64),
    new DataView(forged.buffer))
  stage(wal, new Uint8Array(600))
  stage(wal, forged)
  const torn = wal.durablePosition.offset
  wal.write()
  disk.flip(pathOf(1), torn + 100, 1)
  t.match(judge(disk), { kind: 'cut', lastLsn: 1, reported: true })
  t.end()
})

/** A log over three segments whose groups end in known places, for damage of whole sectors. */
function threeSegments(): MemoryDisk {
  const disk = new MemoryDisk()
  disk.mkdir('/data')
  disk.syncDir('/')
  const { wal } = openWal(disk, { segmentBytes: 64 * KiB })
  const random = seededRandom(21)
  for (let segment = 1; segment <= 3; segment++) {
    if (segment > 1) wal.rotate()
    for (let i = 0; i < 40; i++) {
      stage(wal, payloadOf(random))
      wal.commit()
    }
    wal.mark()
  }
  wal.close()
  return disk
}

t.test('C3: pages zeroed, stale and swapped, files missing, foreign, swapped and stale', (t) => {
  const page = 4 * KiB
  const isCorrupt = (what: string, disk: MemoryDisk, from = 1): void => {
    const error = thrown(() => examineWal(disk, DIR, { ...options, verifyFromLsn: from })) as { code?: string, details?: object }
    t.equal(error?.code, 'wal_corrupt', what)
    t.ok(error?.details !== undefined && 'reason' in error.details, `${what}: says why`)
  }
  for (const segmentId of [1, 2, 3]) {
    for (const at of [1, 2, 3]) {
      const zeroed = threeSegments()
      zeroed.open(pathOf(segmentId), 'write').pwrite(new Uint8Array(page), 0, page, at * page)
      isCorrupt(`segment ${segmentId}: page ${at} zeroed`, zeroed)
      const swapped = threeSegments()
      const bytes = Buffer.from(swapped.readFile(pathOf(segmentId)))
      const [a, b] = [bytes.subarray(at * page, (at + 1) * page), Buffer.from(bytes.subarray((at + 1) * page, (at + 2) * page))]
      bytes.set(a, (at + 1) * page)
      bytes.set(b, at * page)
      swapped.writeFile(pathOf(segmentId), bytes)
      isCorrupt(`segment ${segmentId}: pages ${at} and ${at + 1} swapped`, swapped)
      const misdirected = threeSegments()
      misdirected.open(pathOf(segmentId), 'write').pwrite(misdirected.readFile(pathOf(segmentId === 1 ? 2 : 1)), at * page, 512, at * page)
      isCorrupt(`segment ${segmentId}: a sector of another segment at page ${at}`, misdirected)
    }
    const missing = threeSegments()
    missing.unlink(pathOf(segmentId))
    isCorrupt(`segment ${segmentId} missing`, missing, Infinity)
    const foreign = threeSegments()
    const other = new MemoryDisk()
    other.mkdir('/data')
    other.syncDir('/')
    const otherWal = openWal(other, { nodeId: Uint8Array.from(NODE_ID, (byte) => byte + 1) })
    stage(otherWal.wal, payloadOf(seededRandom(1)))
    otherWal.wal.commit()
    foreign.writeFile(pathOf(segmentId), other.readFile(pathOf(1)))
    isCorrupt(`segment ${segmentId} of another node`, foreign, Infinity)
  }
  const stale = threeSegments()
  const bytes = stale.readFile(pathOf(3))
  bytes.fill(0, 2 * page, 3 * page)
  stale.writeFile(pathOf(3), bytes)
  isCorrupt('a page as it was before it was written', stale)
  const swappedFiles = threeSegments()
  const one = swappedFiles.readFile(pathOf(1))
  swappedFiles.writeFile(pathOf(1), swappedFiles.readFile(pathOf(2)))
  swappedFiles.writeFile(pathOf(2), one)
  isCorrupt('two files swapped', swappedFiles, Infinity)
  const longer = threeSegments()
  longer.writeFile(pathOf(5), longer.readFile(pathOf(3)))
  isCorrupt('a segment that the manifest does not know', longer, Infinity)
  t.end()
})

t.test('C3: a manifest that is older than the log, damaged, or gone', (t) => {
  const disk = threeSegments()
  const manifest = decodeManifest(disk.readFile(`${DIR}/MANIFEST`))
  const older = disk.clone()
  older.writeFile(`${DIR}/MANIFEST`,
    encodeManifest({ ...manifest, sealed: manifest.sealed.slice(0, 1), openSegmentId: 2, generation: 2 }))
  t.equal(codeOf(thrown(() => examineWal(older, DIR, options))), 'wal_corrupt', 'older')
  const cleanButOlder = disk.clone()
  cleanButOlder.writeFile(`${DIR}/MANIFEST`, encodeManifest({ ...manifest, openSegmentId: 0, clean: true }))
  t.equal(codeOf(thrown(() => examineWal(cleanButOlder, DIR, options))), 'wal_corrupt', 'the last segment unnamed')
  const size = disk.readFile(`${DIR}/MANIFEST`).length
  let unnoticed = 0
  for (let offset = 0; offset < size; offset++) {
    for (let bit = 0; bit < 8; bit++) {
      disk.flip(`${DIR}/MANIFEST`, offset, 1 << bit)
      if (codeOf(thrown(() => examineWal(disk, DIR, options))) !== 'wal_corrupt') unnoticed++
      disk.flip(`${DIR}/MANIFEST`, offset, 1 << bit)
    }
  }
  t.equal(unnoticed, 0, 'every bit of it')
  disk.unlink(`${DIR}/MANIFEST`)
  t.equal(codeOf(thrown(() => examineWal(disk, DIR, options))), 'wal_corrupt', 'gone')
  t.end()
})

t.test('a log of another node, and one of a newer format, are refused untouched', (t) => {
  const disk = threeSegments()
  const other = { ...options, nodeId: new Uint8Array(8) }
  t.match(thrown(() => recoverWal(disk, DIR, other)), { code: 'wal_corrupt', details: { reason: 'foreign' } })
  t.end()
})

/** A mark once more behind itself, by a write that went astray: all checksums, tag, LSN and offset are right. */
function strayMark(modules: WalModules): Verdict {
  const disk = new MemoryDisk()
  disk.mkdir('/data')
  disk.syncDir('/')
  const { wal } = openWal(disk)
  stage(wal, payloadOf(seededRandom(1), 300))
  wal.commit()
  wal.mark()
  const { offset } = wal.durablePosition
  disk.open(pathOf(1), 'write').pwrite(disk.readFile(pathOf(1)), offset - 512, 512, offset)
  return judge(disk, modules)
}

t.test('a write that went astray: only the chain can tell', (t) => {
  t.match(strayMark(realModules), { kind: 'cut', lastLsn: 1, reported: true })
  t.end()
})

/** Everything that a client could know of a recovered log. */
const contents = (disk: MemoryDisk, recovered: Recovered) => readAll(disk, recovered.first, recovered.end)

t.test('recovery killed at every call to the disk, twice, by kill and by power cut: the same records', (t) => {
  const log = crashedLog(31, 7, false, 16 * KiB)
  log.disk.flip(pathOf(1), log.ends.at(-2)! + 3, 4)
  log.disk.writeFile(`${DIR}/${NEXT_NAME}`, new Uint8Array(16 * KiB))
  const settings = optionsWith({ segmentBytes: 16 * KiB })
  const whole = log.disk.clone()
  const counting = new FaultyDisk(whole)
  const wanted = contents(whole, recoverWal(counting, DIR, settings))
  t.equal(wanted.length, log.ends.length - 2)
  let trials = 0
  for (const fate of ['die-before', 'die-after', 'die-half'] as const) {
    for (let n = 1; n <= counting.calls.length; n++) {
      for (const isPowerCut of [false, true]) {
        const random = seededRandom(n * 8 + (isPowerCut ? 1 : 0))
        let disk = log.disk.clone()
        for (let level = 0; level < 2; level++) {
          const error = thrown(() => recoverWal(new FaultyDisk(disk, (call) => (call.index === n ? fate : undefined)), DIR, settings))
          if (error !== undefined && !(error instanceof ProcessDied)) t.fail(`${fate} at ${n}: ${codeOf(error)}`)
          if (isPowerCut) disk = disk.crash(random)
        }
        trials++
        const found = contents(disk, recoverWal(disk, DIR, settings))
        const again = contents(disk, recoverWal(disk, DIR, settings))
        if (JSON.stringify(found) !== JSON.stringify(wanted) || JSON.stringify(again) !== JSON.stringify(wanted)) {
          t.fail(`${fate} at ${n}${isPowerCut ? ' and power cut' : ''}: other records`)
        }
      }
    }
  }
  t.comment(`${counting.calls.length} calls, ${trials} trials`)
  t.ok(counting.calls.length > 20)
  t.end()
})

t.test('what is served after a failed fsync is on the disk: recovery rewrites what it read', (t) => {
  const disk = new MemoryDisk()
  disk.mkdir('/data')
  disk.syncDir('/')
  let isFailing = false
  const faulty = new FaultyDisk(disk, (call) => (isFailing && call.call === 'fdatasync' ? 'EIO' : undefined))
  const { wal } = openWal(faulty)
  stage(wal, payloadOf(seededRandom(1)))
  wal.commit()
  isFailing = true
  stage(wal, payloadOf(seededRandom(2)))
  t.equal(codeOf(thrown(() => wal.commit())), 'durability_failed')
  // The page cache has the second record, the disk never will: that process is restarted, without dropping caches.
  const recovered = recoverWal(disk, DIR, options)
  t.equal(recovered.lastLsn, 2)
  const afterCut = disk.crash(seededRandom(1))
  t.equal(recoverWal(afterCut, DIR, options).lastLsn, 2)
  t.end()
})

t.test('disk full at the start: all is readable, writes wait for space and then go on', (t) => {
  for (const freeBytes of [0, 600, 5 * KiB]) {
    const { disk, lastLsn } = crashedLog(4, 14, true)
    const wanted = readAll(disk, { segmentId: 1, offset: 512 }, { segmentId: 1, offset: examineWal(disk, DIR, options).tail!.sealed.bytesUsed })
    disk.capacityBytes = Number.MAX_SAFE_INTEGER
    disk.capacityBytes -= disk.freeBytes('/') - freeBytes
    for (let start = 0; start < 2; start++) {
      const { recovered, wal } = openWal(disk)
      t.match(recovered, { diskFull: true, lastLsn }, `${freeBytes} bytes free, start ${start}`)
      t.same(contents(disk, recovered), wanted)
      t.equal(wal.reserve(1, 10), 'disk_full')
      t.equal(wal.nextLsn, lastLsn + 1)
      t.equal(wal.rotate(), 'disk_full')
      t.same(wal.durablePosition, recovered.end)
      if (start === 1) {
        disk.capacityBytes = Infinity
        t.equal(wal.rotate(), 'ok')
        t.equal(stage(wal, payloadOf(seededRandom(9))).lsn, lastLsn + 1)
        wal.commit()
        t.equal(readAll(disk, recovered.first, wal.durablePosition).length, wanted.length + 1)
      }
    }
    t.match(openWal(disk.crash(seededRandom(freeBytes))).recovered, { diskFull: false, lastLsn: lastLsn + 1, truncatedBytes: 0 })
  }
  t.end()
})

t.test('a torn group alone in its segment, a full disk, an orderly stop: the next start is none the worse', (t) => {
  const disk = new MemoryDisk()
  disk.mkdir('/data')
  disk.syncDir('/')
  openWal(disk).wal.close()
  disk.flip(segmentPath(DIR, 1), 700, 0xff)
  disk.capacityBytes = Number.MAX_SAFE_INTEGER
  disk.capacityBytes -= disk.freeBytes('/') - KiB
  const { recovered, wal } = openWal(disk)
  t.match(recovered, { diskFull: true, lastLsn: 0, truncatedBytes: 189 })
  wal.seal()
  disk.capacityBytes = Infinity
  t.match(openWal(disk).recovered, { diskFull: false, lastLsn: 0, truncatedBytes: 0 })
  t.end()
})

t.test('whoever stands at the end of a torn log on a full disk reads on when there is space', (t) => {
  const { disk, ends } = crashedLog(4, 14, true)
  // What begins like a record and is none: the first one, at a place that is not its own.
  const file = disk.open(pathOf(1), 'write')
  file.pwrite(disk.readFile(pathOf(1)), 512, 512, ends.at(-1)!)
  file.fsync()
  disk.capacityBytes = Number.MAX_SAFE_INTEGER
  disk.capacityBytes -= disk.freeBytes('/')
  const { recovered, wal } = openWal(disk)
  t.ok(recovered.tail !== undefined && recovered.truncatedBytes > 0)
  const reader = new WalReader(disk, DIR, { nodeId: NODE_ID })
  reader.seek(recovered.first)
  while (reader.next(recovered.end)) { /* to the end */ }
  disk.capacityBytes = Infinity
  t.equal(wal.rotate(), 'ok')
  const { lsn } = stage(wal, payloadOf(seededRandom(9)))
  wal.commit()
  t.ok(reader.next(wal.durablePosition))
  t.equal(reader.header.lsnFirst, lsn)
  t.end()
})

t.test('space for the copy is enough: the old file then gives its own', (t) => {
  const { disk, lastLsn } = crashedLog(4, 14, true)
  disk.capacityBytes = Number.MAX_SAFE_INTEGER
  disk.capacityBytes -= disk.freeBytes('/') - 24 * KiB
  t.match(openWal(disk).recovered, { diskFull: false, lastLsn })
  t.end()
})

t.test('disk full at the very first start', (t) => {
  const disk = new MemoryDisk()
  disk.mkdir('/data')
  disk.syncDir('/')
  disk.capacityBytes = 1000
  const { recovered, wal } = openWal(disk)
  t.match(recovered, { diskFull: true, lastLsn: 0 })
  t.equal(wal.reserve(1, 1), 'disk_full')
  disk.capacityBytes = Infinity
  t.equal(wal.rotate(), 'ok')
  t.equal(wal.reserve(1, 1), 'ok')
  t.end()
})

t.test('a prepared segment gives its space to recovery', (t) => {
  const { disk, lastLsn } = crashedLog(4, 14, true)
  disk.writeFile(`${DIR}/${NEXT_NAME}`, new Uint8Array(64 * KiB))
  disk.capacityBytes = Number.MAX_SAFE_INTEGER
  disk.capacityBytes -= disk.freeBytes('/')
  const { recovered } = openWal(disk)
  t.match(recovered, { lastLsn, tail: undefined }, 'with 0 bytes free, the tail was rewritten')
  t.equal(recovered.manifest.sealed.length, 1)
  t.end()
})

t.test('an error that is no lack of space refuses the start', (t) => {
  for (const [call, errno] of [['pwrite', 'EIO'], ['fsync', 'EIO'], ['rename', 'EROFS'], ['open', 'EMFILE']] as const) {
    const { disk } = crashedLog(4, 5, true)
    let reads = 0
    const faulty = new FaultyDisk(disk, (seen) => (seen.call === call && (call !== 'open' || ++reads > 2) ? errno : undefined))
    t.match(thrown(() => recoverWal(faulty, DIR, options)), { code: 'io_error', details: { errno } }, call)
  }
  t.end()
})

t.test('where an LSN is', (t) => {
  const disk = threeSegments()
  const recovered = recoverWal(disk, DIR, options)
  for (const lsn of [1, 40, 41, 80, 81, 120]) {
    t.same(positionOfLsn(recovered, lsn), { segmentId: Math.ceil(lsn / 40), offset: 512 }, String(lsn))
  }
  t.same(positionOfLsn(recovered, 121), recovered.end)
  t.end()
})

t.test('progress is told', (t) => {
  const seen: number[] = []
  recoverWal(threeSegments(), DIR, { ...options, verifyFromLsn: 41 }, (progress) => seen.push(progress.segmentsDone))
  t.same(seen, [1, 2, 3])
  t.end()
})

/** Each bug must be seen by at least one of the checks above, run on the mutant. */
const MUTANTS: Readonly<Record<string, { mutations: readonly Mutation[], isCaught: (modules: WalModules) => boolean }>> = {
  'no checksum of the header': {
    mutations: [{ file: 'record.codec.js', from: '!== headerCrc)', to: '=== -1)' }],
    isCaught: (modules) => {
      const counts = flipEveryByte(crashedLog(11, 4, true, 8 * KiB), modules, 3)
      return counts.wronglyCut + counts.unnoticed > 0
    },
  },
  'no checksum of the payload': {
    mutations: [{ file: 'segment-cursor.js', from: '!== header.payloadCrc)', to: '=== -1)' }],
    isCaught: (modules) => flipEveryByte(crashedLog(11, 4, true, 8 * KiB), modules, 3).unnoticed > 0,
  },
  'no proof of durability: the middle is cut without a word': {
    mutations: [{ file: 'tail.js', from: 'header.durableOffset > end', to: 'false' }],
    isCaught: (modules) => flipEveryByte(crashedLog(11, 4, true, 8 * KiB), modules, 3).wronglyCut > 0,
  },
  'bytes behind the end are not looked at': {
    mutations: [{ file: 'tail.js', from: '!bytes.equals(', to: 'false && (' }],
    isCaught: (modules) => flipEveryByte(crashedLog(11, 4, true, 8 * KiB), modules, 3).unnoticed > 0,
  },
  'no chain': {
    mutations: [{ file: 'segment-cursor.js', from: 'header.prevHeaderCrc !== chain.headerCrc', to: 'false' }],
    isCaught: (modules) => {
      const verdict = strayMark(modules)
      return verdict.kind === 'cut' && !verdict.reported
    },
  },
  'no tag': {
    mutations: [
      { file: 'record.codec.js', from: '!== tagLo', to: '=== -1' }, { file: 'record.codec.js', from: '!== tagHi', to: '=== -1' },
    ],
    isCaught: (modules) => {
      const disk = new MemoryDisk()
      disk.mkdir('/data')
      disk.syncDir('/')
      const { wal } = openWal(disk)
      const forged = new Uint8Array(512)
      encodeRecordHeader({ ...emptyRecordHeader(), kind: 2, lsnFirst: 50, hlcFirst: 50n, durableOffset: 32 * KiB },
        forged.subarray(0, 64), new DataView(forged.buffer))
      stage(wal, new Uint8Array(600))
      stage(wal, forged)
      wal.write()
      disk.flip(pathOf(1), 612, 1)
      return judge(disk, modules).kind === 'refused'
    },
  },
  'segments are not held against the manifest': {
    mutations: [{ file: 'segment-scan.js', from: 'header.headerCrc !== sealed.segmentHeaderCrc', to: 'false' },
      { file: 'segment-scan.js', from: 'fault !== undefined || found.headerCrc !== sealed.lastHeaderCrc ||', to: 'false &&' }],
    isCaught: (modules) => {
      const disk = threeSegments()
      disk.flip(pathOf(1), decodeManifest(disk.readFile(`${DIR}/MANIFEST`)).sealed[0]!.lastRecordOffset + 20, 1)
      return judge(disk, modules).kind === 'cut'
    },
  },
}

for (const [name, { mutations, isCaught }] of Object.entries(MUTANTS)) {
  t.test(`tooth: ${name}`, async (t) => {
    const mutant = await loadMutant(mutations)
    t.teardown(mutant.remove)
    if (t.ok(isCaught(mutant.modules), 'the mutant is caught')) flips.teeth++
    t.notOk(isCaught(realModules), 'by what the real code passes')
  })
}
