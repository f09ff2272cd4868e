import t from 'tap'
import { toHex } from '../../../src/base/bytes.ts'
import type { Clock } from '../../../src/base/clock.ts'
import { ERROR_CODES, errorNameOf } from '../../../src/base/error-codes.ts'
import { DbError } from '../../../src/base/errors.ts'
import type { Stamp } from '../../../src/base/hlc.ts'
import { AckQueue } from '../../../src/commit/ack-queue.ts'
import { AckView } from '../../../src/commit/ack.layout.ts'
import { CommitStage, type CommitDependencies } from '../../../src/commit/commit-stage.ts'
import type { IdDirectory } from '../../../src/commit/id-directory.ts'
import { ReceiptQueue } from '../../../src/commit/receipt-queue.ts'
import { RECEIPT_FRAME_OFFSET, ReceiptStage } from '../../../src/commit/receipt-stage.ts'
import {
  SUBMIT_BATCH_OFFSET, SUBMIT_RECEIVED_MONO_MS_OFFSET, SUBMIT_GENERATION_OFFSET, SUBMIT_SLOT_OFFSET, submitBytes,
} from '../../../src/commit/submit.layout.ts'
import { VerifyStage } from '../../../src/commit/verify-stage.ts'
import { realmHashOf } from '../../../src/merkle/signed-message.ts'
import { noMetrics, type ThreadMetrics } from '../../../src/observe/thread-metrics.ts'
import type { Assertion } from '../../../src/record/assertion.ts'
import { hashReady } from '../../../src/record/claim.ts'
import { Bell } from '../../../src/ring/bell.ts'
import { Marks } from '../../../src/ring/marks.ts'
import { RingReader, RingWriter, createRing } from '../../../src/ring/ring.ts'
import { signMessage } from '../../../src/verify/ed25519.ts'
import { keyPairOfSeed } from '../../../src/verify/keys.ts'
import { BatchVerifier } from '../../../src/verify/verify-batch.ts'
import { WalReader } from '../../../src/wal/wal-reader.ts'
import { recoverWal } from '../../../src/wal/recovery.ts'
import { WalWriter } from '../../../src/wal/wal-writer.ts'
import { encodeAssertion } from '../../../src/wire/assertion.codec.ts'
import { BATCH_FLAG_RECEIPT, encodeBatch } from '../../../src/wire/batch.codec.ts'
import { verifyBuffer } from '../../../src/wire/verifier.ts'
import { FaultyDisk, type DiskCallSeen, type Fault } from '../../support/faulty-disk.ts'
import { MemoryDisk } from '../../support/memory-disk.ts'

await hashReady

const agent = keyPairOfSeed(new Uint8Array(32).fill(1))
const realmHash = realmHashOf('default')
const START_MS = 1_800_000_000_000
const SEGMENT_BYTES = 256 * 1024

class TestClock implements Clock {
  nowMs = START_MS
  wallMs = (): number => this.nowMs
  monoMs = (): number => this.nowMs
  timer = (): (() => void) => () => {}
}

class MapDirectory implements IdDirectory {
  readonly known = new Map<string, Stamp>()
  room = Number.POSITIVE_INFINITY
  #prepared: Uint8Array = new Uint8Array(0)
  #offset = 0
  prepare = (ids: Uint8Array, offset: number): void => { [this.#prepared, this.#offset] = [ids, offset] }
  mayKnow = (i: number): boolean => this.known.has(this.#hex(i))
  find = (ids: Uint8Array, offset: number): Stamp | undefined => this.known.get(toHex(ids.subarray(offset, offset + 32)))
  hasRoom = (count: number): boolean => count <= this.room
  insert(i: number, lsn: number, hlc: bigint): void {
    this.known.set(this.#hex(i), { lsn, hlc })
  }

  #hex(i: number): string {
    const at = this.#offset + 32 * i
    return toHex(this.#prepared.subarray(at, at + 32))
  }
}

interface Ack {
  slot: number
  generation: number
  requestId: bigint
  firstLsn: bigint
  firstHlc: bigint
  accepted: number
  refused: string
  outcomes: { index: number, code: string, lsn: bigint }[]
}

/** Verify, commit and receipts on one thread over a disk in memory. */
class Bench {
  readonly disk = new MemoryDisk()
  readonly marks = new Marks()
  readonly clock = new TestClock()
  readonly ids = new MapDirectory()
  readonly seen: DiskCallSeen[] = []
  space = true
  readonly sleptMs: number[] = []
  readonly stalledSeconds = { bytes: 0, ids: 0 }
  /** What happens while the commit stage sleeps. */
  whileAsleep = (): void => {}
  fault: (call: DiskCallSeen) => Fault | undefined = () => undefined
  readonly submitted: RingWriter
  readonly verify: VerifyStage
  readonly commit: CommitStage
  readonly receipts: ReceiptStage
  readonly writer: WalWriter
  readonly #acks: RingReader
  readonly #receiptRing: RingReader

  constructor(ackRingBytes = 1 << 20, groupGatherMsMax = 0) {
    const bell = Bell.create()
    const [submitted, verified, acks, requests, receipts] = [1 << 20, 1 << 20, ackRingBytes, 1 << 18, 1 << 18].map(createRing) as
      [SharedArrayBuffer, SharedArrayBuffer, SharedArrayBuffer, SharedArrayBuffer, SharedArrayBuffer]
    const disk = new FaultyDisk(this.disk, (call) => {
      this.seen.push(call)
      return this.fault(call)
    })
    const options = { nodeId: new Uint8Array(8).fill(9), segmentBytes: SEGMENT_BYTES, reserveBytes: 0, secrets: { bytes: (count: number) => new Uint8Array(count).fill(5) }, groupBytesMax: 64 * 1024 }
    const recovered = recoverWal(disk, '/data/wal', options)
    this.writer = WalWriter.open(disk, '/data/wal', recovered, options)
    this.marks.setDurable(recovered.end, recovered.lastLsn, recovered.lastHlc)
    this.marks.setApplied(recovered.end, recovered.lastLsn)
    this.submitted = new RingWriter(submitted, bell)
    this.verify = new VerifyStage({
      durableLsn: () => this.marks.durableLsn,
      submitted: new RingReader(submitted), verified: new RingWriter(verified, bell), ids: this.ids, clock: this.clock,
      metrics: noMetrics, batchAssertionsMax: 300,
      verifier: new BatchVerifier({ signaturesRequired: false, realmHash, batchAssertionsMax: 300, vectorLengthMax: 16, hlcDriftMaxMs: 1000 }),
    })
    this.#acks = new RingReader(acks)
    this.#receiptRing = new RingReader(receipts)
    const deps: CommitDependencies = {
      verified: [new RingReader(verified)], writer: this.writer, ids: this.ids, marks: this.marks, clock: this.clock,
      acks: new AckQueue(new RingWriter(acks, bell), () => this.#collect()),
      receipts: new ReceiptQueue([new RingWriter(requests, bell)], () => this.receipts.step()),
      metrics: { ...noMetrics, inc: this.#inc }, ingestLagBytesMax: 1 << 20, walSegmentBytes: SEGMENT_BYTES, walMarkIdleMs: 100,
      groupGatherMsMax, sleep: (ms) => {
        this.sleptMs.push(ms)
        this.whileAsleep()
      },
      hasSpace: () => this.space, lastLsn: recovered.lastLsn, lastHlc: recovered.lastHlc,
    }
    this.commit = new CommitStage(deps)
    this.receipts = new ReceiptStage({
      requests: new RingReader(requests), receipts: new RingWriter(receipts, bell), nodeId: agent.publicKey, realmHash,
      sign: (message) => signMessage(agent.secretKey, message), metrics: noMetrics,
    })
  }

  readonly #inc = ((name: string, labels: { reason: 'bytes' | 'ids' }, by: number): void => {
    if (name === 'commit_stall_seconds_total') this.stalledSeconds[labels.reason] += by
  }) as ThreadMetrics['inc']

  submit(frame: Uint8Array, slot = 1, generation = 1, receivedMs = this.clock.monoMs()): void {
    const at = this.submitted.reserve(submitBytes(frame.length))
    t.ok(at >= 0, 'room to submit')
    this.submitted.view.setUint32(at + SUBMIT_SLOT_OFFSET, slot, true)
    this.submitted.view.setUint32(at + SUBMIT_GENERATION_OFFSET, generation, true)
    this.submitted.view.setFloat64(at + SUBMIT_RECEIVED_MONO_MS_OFFSET, receivedMs, true)
    this.submitted.bytes.set(frame, at + SUBMIT_BATCH_OFFSET)
    this.submitted.publish()
  }

  /** Verifies all that was submitted; the commit stage has not run. */
  verifyAll(): void {
    while (this.verify.step() === 'progress');
  }

  commitAll(): void {
    while (this.commit.step() === 'progress') this.marks.setApplied(this.marks.durablePosition, this.marks.durableLsn)
  }

  #collected: Ack[] = []

  #collect(): void {
    const view = new AckView()
    while (this.#acks.peek()) {
      const ack = view.reset(this.#acks.bytes, this.#acks.view, this.#acks.payloadOffset)
      this.#collected.push({
        slot: ack.slot, generation: ack.generation, requestId: ack.requestId, firstLsn: ack.firstLsn, firstHlc: ack.firstHlc,
        accepted: ack.accepted, refused: ack.refused === 0 ? '' : errorNameOf(ack.refused),
        outcomes: Array.from({ length: ack.outcomeCount }, (_, i) =>
          ({ index: ack.outcomeIndex(i), code: errorNameOf(ack.outcomeCode(i)), lsn: ack.outcomeLsn(i) })),
      })
      this.#acks.release()
    }
  }

  acks(): Ack[] {
    this.#collect()
    return this.#collected.splice(0)
  }

  receiptFrames(): Uint8Array[] {
    const frames: Uint8Array[] = []
    while (this.#receiptRing.peek()) {
      frames.push(this.#receiptRing.frame().slice(RECEIPT_FRAME_OFFSET))
      this.#receiptRing.release()
    }
    return frames
  }
}

const claim = (i: number): Assertion => ({
  subject: `drug/aspirin-${i}`, predicate: 'dose', object: { kind: 'number', value: i }, confidence: 0.5, sourceClass: 1,
  sourceHash: new Uint8Array(32), lifecycle: 'proposed', agent: agent.publicKey, assertedAtMs: START_MS - i,
})
const batch = (requestId: bigint, numbers: readonly number[], flags = 0): Uint8Array =>
  encodeBatch({ requestId, flags, items: numbers.map((i) => ({ assertion: encodeAssertion(claim(i)) })) })

t.test('batches get LSNs without a gap, and one sync covers all that waited', async (t) => {
  const bench = new Bench()
  for (let i = 0; i < 10; i++) bench.submit(batch(BigInt(i), [3 * i, 3 * i + 1, 3 * i + 2]), i, 7)
  bench.verifyAll()
  t.equal(bench.acks().length, 0, 'no ack before the sync')
  bench.seen.length = 0
  t.equal(bench.commit.step(), 'progress')
  const acks = bench.acks()
  t.equal(acks.length, 10)
  for (const [i, ack] of acks.entries()) {
    t.match(ack, { slot: i, generation: 7, requestId: BigInt(i), accepted: 3, refused: '', outcomes: [] })
    t.equal(ack.firstLsn, BigInt(1 + 3 * i))
    t.equal(ack.firstHlc, (BigInt(START_MS) << 16n) + BigInt(3 * i))
  }
  t.same(bench.seen.map((call) => call.call), ['pwrite', 'fdatasync'])
  t.equal(bench.marks.durableLsn, 30)
  const reader = new WalReader(bench.disk, '/data/wal', { nodeId: new Uint8Array(8).fill(9) })
  reader.seek({ segmentId: 1, offset: 512 })
  let count = 0
  while (reader.next(bench.marks.durablePosition)) count += reader.header.count
  t.equal(count, 30)
})

t.test('a group whose youngest batch has waited long gathers on, once, and what comes then shares its sync', async (t) => {
  const bench = new Bench(undefined, 2)
  bench.submit(batch(1n, [1]), 1, 1, START_MS - 16)
  bench.verifyAll()
  bench.whileAsleep = () => {
    bench.submit(batch(2n, [2]), 1, 1, START_MS - 16)
    bench.verifyAll()
  }
  bench.seen.length = 0
  t.equal(bench.commit.step(), 'progress')
  t.same(bench.acks().map(({ requestId }) => requestId), [1n, 2n])
  t.same(bench.seen.map((call) => call.call), ['pwrite', 'fdatasync'])
  t.same(bench.sleptMs, [1], 'a sixteenth, and not again')

  bench.whileAsleep = () => {}
  for (const [receivedMs, sleptMs] of [[START_MS - 1600, [2]], [START_MS - 3, []], [START_MS, []]] as const) {
    bench.sleptMs.length = 0
    bench.submit(batch(3n, [receivedMs]), 1, 1, receivedMs)
    bench.verifyAll()
    t.equal(bench.commit.step(), 'progress')
    t.equal(bench.acks().length, 1)
    t.same(bench.sleptMs, sleptMs, `waited ${START_MS - receivedMs} ms`)
  }
  bench.submit(batch(4n, [1]), 1, 1, START_MS - 1600)
  bench.verifyAll()
  bench.commit.step()
  t.same(bench.sleptMs, [], 'a duplicate needs no sync')
  t.equal(bench.commit.step(), 'idle', 'nor does nothing')
})

t.test('a duplicate is acked with the original stamp, across batches, groups and within one batch', async (t) => {
  const bench = new Bench()
  bench.submit(batch(1n, [1, 2, 1]))
  bench.submit(batch(2n, [2, 3]))
  bench.verifyAll()
  bench.commitAll()
  t.match(bench.acks(), [
    { accepted: 2, firstLsn: 1n, outcomes: [{ index: 2, code: 'duplicate', lsn: 1n }] },
    { accepted: 1, firstLsn: 3n, outcomes: [{ index: 0, code: 'duplicate', lsn: 2n }] },
  ])
  bench.submit(batch(3n, [3, 2, 1]))
  bench.verifyAll()
  bench.seen.length = 0
  bench.commitAll()
  t.match(bench.acks(), [{ accepted: 0, firstLsn: 0n, outcomes: [{ lsn: 3n }, { lsn: 2n }, { lsn: 1n }] }])
  t.equal(bench.seen.filter((call) => call.call === 'fdatasync').length, 0, 'nothing new, nothing to sync')
  t.equal(bench.marks.durableLsn, 3)
})

t.test('what is refused comes back by index, with duplicates found by either stage in order', async (t) => {
  const bench = new Bench()
  bench.submit(batch(1n, [1, 2]))
  bench.verifyAll()
  // Verified before the first batch is committed: the commit stage finds these duplicates itself.
  const bad = encodeAssertion({ ...claim(9), assertedAtMs: START_MS + 3_600_000 })
  bench.submit(encodeBatch({
    requestId: 2n, items: [encodeAssertion(claim(2)), bad, encodeAssertion(claim(4)), encodeAssertion(claim(1))].map((assertion) => ({ assertion })),
  }))
  bench.verifyAll()
  bench.commitAll()
  const [, second] = bench.acks()
  t.match(second, { accepted: 1, firstLsn: 3n, refused: '' })
  t.same(second!.outcomes, [
    { index: 0, code: 'duplicate', lsn: 2n }, { index: 1, code: 'field_invalid', lsn: 0n }, { index: 3, code: 'duplicate', lsn: 1n },
  ])
})

t.test('an id whose record can not be read is refused by itself; the thread goes on', async (t) => {
  const bench = new Bench()
  bench.submit(batch(1n, [1, 2]))
  bench.verifyAll()
  bench.commitAll()
  bench.acks()
  const { find } = bench.ids
  bench.ids.find = (ids, offset) => {
    const stamp = find(ids, offset)
    if (stamp?.lsn === 1) throw new DbError('wal_corrupt', 'the record is damaged')
    return stamp
  }
  bench.submit(batch(2n, [2, 1, 3]))
  bench.submit(batch(3n, [1]))
  bench.verifyAll()
  bench.commitAll()
  const [mixed, alone] = bench.acks()
  t.match(mixed, { accepted: 1, firstLsn: 3n, refused: '' })
  t.same(mixed!.outcomes, [{ index: 0, code: 'duplicate', lsn: 2n }, { index: 1, code: 'wal_corrupt', lsn: 0n }])
  t.match(alone, { accepted: 0, outcomes: [{ index: 0, code: 'wal_corrupt' }] })
  bench.ids.find = () => { throw new TypeError('a bug') }
  bench.submit(batch(4n, [1]))
  t.throws(() => bench.verifyAll(), TypeError, 'a bug is none of it')
})

t.test('a malformed batch is refused as a whole and costs no sync', async (t) => {
  const bench = new Bench()
  bench.submit(new Uint8Array(64).fill(255))
  bench.verifyAll()
  bench.seen.length = 0
  bench.commitAll()
  t.match(bench.acks(), [{ refused: 'malformed_frame', accepted: 0 }])
  t.equal(bench.seen.length, 0)
})

t.test('a failed sync is final: unknown outcome for all that waited, nothing acked, nothing synced again', async (t) => {
  for (const call of ['pwrite', 'fdatasync'] as const) {
    const bench = new Bench()
    bench.submit(batch(1n, [1]))
    bench.verifyAll()
    bench.commitAll()
    bench.acks()
    bench.submit(batch(2n, [2, 3]))
    bench.submit(batch(3n, [1]))
    bench.submit(new Uint8Array(64).fill(255))
    bench.verifyAll()
    bench.seen.length = 0
    bench.fault = (seen) => seen.call === call ? 'EIO' : undefined
    t.throws(() => bench.commit.step(), { code: 'durability_failed' })
    t.match(bench.acks().map((ack) => [ack.requestId, ack.refused, ack.accepted, ack.outcomes.length]), [
      [2n, 'durability_failed', 0, 0], [3n, 'durability_failed', 0, 0], [0n, 'malformed_frame', 0, 0],
    ])
    bench.fault = () => undefined
    bench.submit(batch(4n, [4]))
    bench.verifyAll()
    t.throws(() => bench.commit.step(), { code: 'durability_failed' }, 'the same error again')
    t.match(bench.acks(), [{ requestId: 4n, refused: 'read_only', accepted: 0 }])
    t.equal(bench.seen.filter((seen) => seen.call === 'fdatasync' || seen.call === 'fsync').length, call === 'fdatasync' ? 1 : 0)
    t.equal(bench.marks.durableLsn, 1)
    t.equal(bench.marks.refusal, ERROR_CODES.read_only.number)
    t.notOk(bench.acks().some((ack) => ack.accepted > 0))
  }
})

t.test('a log that fills rotates; a full disk refuses, and heals by itself', async (t) => {
  const bench = new Bench()
  let next = 0
  const send = (): Ack[] => {
    bench.submit(batch(BigInt(next), Array.from({ length: 100 }, () => next++)))
    bench.verifyAll()
    bench.commitAll()
    return bench.acks()
  }
  for (let i = 0; i < 30; i++) t.match(send(), [{ accepted: 100, refused: '' }])
  t.ok(bench.marks.durablePosition.segmentId > 1, 'rotated')

  bench.space = false
  bench.clock.nowMs += 1000
  bench.commit.step()
  t.equal(bench.marks.refusal, ERROR_CODES.disk_full.number)
  t.match(send(), [{ refused: 'disk_full', accepted: 0 }])
  const before = bench.marks.durableLsn
  bench.space = true
  bench.clock.nowMs += 1000
  t.match(send(), [{ accepted: 100, refused: '' }])
  t.equal(bench.marks.durableLsn, before + 100, 'what was refused got no LSN')
})

t.test('a commit stage far ahead of ingest waits', async (t) => {
  const bench = new Bench()
  let steps = 0
  for (let i = 0; i < 60; i++) {
    bench.submit(batch(BigInt(i), Array.from({ length: 100 }, (_, k) => i * 100 + k)))
    bench.verifyAll()
    if (bench.commit.step() === 'blocked') break
    steps++
  }
  t.ok(steps > 10 && steps < 60, `blocked after ${steps} batches`)
  for (let n = 0; n < 2; n++) {
    bench.clock.nowMs += 250
    t.equal(bench.commit.step(), 'blocked')
  }
  bench.marks.setApplied(bench.marks.durablePosition, bench.marks.durableLsn)
  bench.clock.nowMs += 500
  t.equal(bench.commit.step(), 'progress')
  bench.clock.nowMs += 500
  bench.commit.step()
  t.strictSame(bench.stalledSeconds, { bytes: 1, ids: 0 }, 'the time is counted')
})

t.test('no room among the ids: what is staged is committed first, then the stage waits', async (t) => {
  const bench = new Bench()
  bench.ids.room = 2
  bench.submit(batch(1n, [1, 2]))
  bench.submit(batch(2n, [3, 4, 5]))
  bench.verifyAll()
  t.equal(bench.commit.step(), 'progress')
  t.equal(bench.acks().length, 1)
  t.equal(bench.commit.step(), 'blocked')
  bench.clock.nowMs += 500
  bench.ids.room = 3
  t.equal(bench.commit.step(), 'progress')
  t.match(bench.acks(), [{ requestId: 2n, accepted: 3 }])
  t.strictSame(bench.stalledSeconds, { bytes: 0, ids: 0.5 })
})

t.test('acks larger than their ring go out while the front drains', async (t) => {
  const bench = new Bench(64 * 1024)
  bench.submit(batch(0n, Array.from({ length: 200 }, (_, i) => i)))
  bench.verifyAll()
  bench.commitAll()
  bench.acks()
  for (let i = 1; i <= 20; i++) bench.submit(batch(BigInt(i), Array.from({ length: 200 }, (_, k) => k)))
  for (let n = 0; n < 3; n++) {
    bench.verifyAll()
    bench.commitAll()
  }
  const acks = bench.acks()
  t.equal(acks.length, 20)
  t.ok(acks.every((ack) => ack.outcomes.length === 200))
})

t.test('the HLC never goes back, although the wall clock does', async (t) => {
  const bench = new Bench()
  bench.submit(batch(1n, [1]))
  bench.verifyAll()
  bench.commitAll()
  bench.clock.nowMs -= 3_600_000
  bench.submit(batch(2n, [7_200_000]))
  bench.verifyAll()
  bench.commitAll()
  const [first, second] = bench.acks()
  t.equal(second!.firstHlc, first!.firstHlc + 1n)
})

t.test('an idle log gets one mark', async (t) => {
  const bench = new Bench()
  bench.submit(batch(1n, [1]))
  bench.verifyAll()
  bench.commitAll()
  const before = bench.marks.durablePosition.offset
  t.equal(bench.commit.step(), 'idle')
  bench.clock.nowMs += 150
  t.equal(bench.commit.step(), 'progress')
  t.ok(bench.marks.durablePosition.offset > before)
  bench.clock.nowMs += 150
  t.equal(bench.commit.step(), 'idle')
  t.equal(bench.marks.durableLsn, 1)
})

t.test('a receipt comes for whoever asked, one signature a group', async (t) => {
  const bench = new Bench()
  bench.submit(batch(1n, [1, 2], BATCH_FLAG_RECEIPT))
  bench.submit(batch(2n, [3]))
  bench.submit(batch(3n, [4], BATCH_FLAG_RECEIPT))
  bench.verifyAll()
  bench.commitAll()
  t.equal(bench.receipts.step(), 'progress')
  const frames = bench.receiptFrames()
  t.equal(frames.length, 2)
  for (const frame of frames) t.equal(verifyBuffer('Receipt', frame), 0)
})
