import type { Lsn, WalPosition } from '../base/lsn.ts'
import { Bell } from './bell.ts'

/**
 * How far the stages have come, in shared memory: u64 words, each with one writer.
 *
 * | offset | bytes | word | writer |
 * | --- | --- | --- | --- |
 * | 0 | 8 | durable LSN | commit |
 * | 8 | 8 | durable position: segment id << 32, offset | commit |
 * | 16 | 8 | durable HLC | commit |
 * | 24 | 8 | applied LSN | ingest |
 * | 32 | 8 | applied position | ingest |
 * | 40 | 8 | ids flushed up to this LSN | ingest |
 * | 48 | 4 | why writes are refused: an error code's number, 0 = they are not | commit |
 * | 52 | 4 | 1 while somebody wants the followers' bell rung | feed |
 * | 56 | 4 | which list of runs column `sp` has: its version, cut to 31 bits, plus 1; 0 = not known yet | ingest |
 * | 64 | 64 | bell: the durable mark moved | commit |
 * | 128 | 64 | bell: the applied mark or the flushed ids moved | ingest |
 * | 192 | 64 | bell of who follows the applied mark: rung by ingest where it is wanted, and by who has something for the follower | ingest, front |
 */
export class Marks {
  static readonly BYTES = 256

  readonly buffer: SharedArrayBuffer
  readonly durableBell: Bell
  readonly appliedBell: Bell
  readonly followerBell: Bell
  readonly #u64: BigUint64Array
  readonly #i32: Int32Array

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(Marks.BYTES)) {
    this.buffer = buffer
    this.#u64 = new BigUint64Array(buffer, 0, 6)
    this.#i32 = new Int32Array(buffer, 48, 3)
    this.durableBell = new Bell(buffer, 64)
    this.appliedBell = new Bell(buffer, 128)
    this.followerBell = new Bell(buffer, 192)
  }

  get durableLsn(): Lsn { return Number(Atomics.load(this.#u64, 0)) }
  get durablePosition(): WalPosition { return unpack(Atomics.load(this.#u64, 1)) }
  get durableHlc(): bigint { return Atomics.load(this.#u64, 2) }
  get appliedLsn(): Lsn { return Number(Atomics.load(this.#u64, 3)) }
  get appliedPosition(): WalPosition { return unpack(Atomics.load(this.#u64, 4)) }
  get idsFlushedLsn(): Lsn { return Number(Atomics.load(this.#u64, 5)) }
  /** {@link entryListMark} of the newest list of runs of column `sp`, or of one before it; 0 where it is not known. */
  get entryList(): number { return Atomics.load(this.#i32, 2) }
  /** Number of the error code that writes are refused with; 0 where they are taken. */
  get refusal(): number { return Atomics.load(this.#i32, 0) }

  /** WAL bytes that are durable and not yet applied; what a segment holds beyond its last record counts too. */
  lagBytes(walSegmentBytes: number): number {
    const applied = this.appliedPosition
    const durable = this.durablePosition
    return Math.max(0, (durable.segmentId - applied.segmentId) * walSegmentBytes + durable.offset - applied.offset)
  }

  /** Position before LSN, so that a reader which sees the LSN can reach it. Commit only, after its fdatasync. */
  setDurable(position: WalPosition, lsn: Lsn, hlc: bigint): void {
    Atomics.store(this.#u64, 1, pack(position))
    Atomics.store(this.#u64, 2, hlc)
    Atomics.store(this.#u64, 0, BigInt(lsn))
    this.durableBell.ring()
  }

  setApplied(position: WalPosition, lsn: Lsn): void {
    Atomics.store(this.#u64, 4, pack(position))
    Atomics.store(this.#u64, 3, BigInt(lsn))
    this.appliedBell.ring()
    if (Atomics.load(this.#i32, 1) !== 0) this.followerBell.ring()
  }

  /** Whether the followers' bell is rung when the applied mark moves. Set it before looking at the mark. Its follower only. */
  followApplied(isWanted: boolean): void {
    Atomics.store(this.#i32, 1, isWanted ? 1 : 0)
  }

  setIdsFlushed(lsn: Lsn): void {
    Atomics.store(this.#u64, 5, BigInt(lsn))
    this.appliedBell.ring()
  }

  /** Call it when the list can be read, and before what it names counts as applied. Ingest only. */
  setEntryList(version: number): void {
    Atomics.store(this.#i32, 2, entryListMark(version))
  }

  setRefusal(code: number): void {
    Atomics.store(this.#i32, 0, code)
  }
}

/** A version of a list of runs as its mark. Readers look often enough that none meets the same mark 2^31 versions later. */
export const entryListMark = (version: number): number => version % 0x7fff_ffff + 1

const pack = (position: WalPosition): bigint => (BigInt(position.segmentId) << 32n) | BigInt(position.offset)

const unpack = (packed: bigint): WalPosition =>
  ({ segmentId: Number(packed >> 32n), offset: Number(packed & 0xffff_ffffn) })
