import { toHex } from '../../src/base/bytes.ts'
import type { Stamp } from '../../src/base/hlc.ts'
import type { WalPosition } from '../../src/base/lsn.ts'
import { RECORD_KIND } from '../../src/wal/record.layout.ts'
import { WalReader } from '../../src/wal/wal-reader.ts'
import { LogEntryView } from '../../src/wire/log-entry.codec.ts'
import type { MemoryDisk } from '../support/memory-disk.ts'

/** A broken promise. */
export class Violation extends Error {
  override name = 'Violation'
}

interface Fate {
  /** Sendings whose outcome is not certain: under way, or without an answer for ever. */
  openSends: number
  /** What the disk says; it is for ever. */
  stamp: Stamp | undefined
}

const CHUNK_BYTES = 16 * 1024

/**
 * What was promised to anybody, held against what is on the disk: not what the node says is there, and not what its
 * process would read, but what a power cut at this instant could not take.
 */
export class Oracle {
  readonly #fates = new Map<string, Fate>()
  readonly #idOfLsn: string[] = ['']
  readonly #entry = new LogEntryView()
  readonly #nodeId: Uint8Array
  readonly #walDir: string
  #reader: WalReader | undefined
  #scanned: WalPosition = { segmentId: 0, offset: 0 }
  /** Of the scan of this life. */
  #lastLsn = 0
  #lastHlc = 0n

  constructor(walDir: string, nodeId: Uint8Array) {
    this.#walDir = walDir
    this.#nodeId = nodeId
  }

  /** Assertions that are on the disk for ever. */
  get durableCount(): number {
    return this.#idOfLsn.length - 1
  }

  /** Those of them in this life's scan so far. */
  get scannedLsn(): number {
    return this.#lastLsn
  }

  stampOf(id: string): Stamp | undefined {
    return this.#fates.get(id)?.stamp
  }

  durableIds(): readonly string[] {
    return this.#idOfLsn.slice(1)
  }

  sent(id: string): void {
    const fate = this.#fates.get(id)
    if (fate === undefined) this.#fates.set(id, { openSends: 1, stamp: undefined })
    else fate.openSends++
  }

  /** The outcome of one sending is certain: stored under a stamp (see {@link promised}), or not applied. */
  closed(id: string): void {
    const fate = this.#fates.get(id)
    if (fate === undefined || fate.openSends === 0) throw new Violation(`${id} has more answers than sendings`)
    fate.openSends--
  }

  /** Somebody was told, by an ack or a read. */
  promised(id: string, lsn: number, hlc: bigint, how: string): void {
    const fate = this.#fates.get(id)
    if (fate === undefined) throw new Violation(`${how} shows ${id}, which nobody sent`)
    if (fate.stamp === undefined) throw new Violation(`${how} of ${id} with LSN ${lsn}, which is not on the disk`)
    if (fate.stamp.lsn !== lsn || fate.stamp.hlc !== hlc) {
      throw new Violation(`${how} of ${id} with LSN ${lsn}, HLC ${hlc}; the original has ${fate.stamp.lsn}, ${fate.stamp.hlc}`)
    }
    if (lsn > this.#lastLsn) throw new Violation(`${how} of LSN ${lsn}, the log ends at ${this.#lastLsn}`)
  }

  /** A recovery is done: all that ever was on the disk still is, and what it serves is on the disk now. */
  restarted(disk: MemoryDisk, first: WalPosition, end: WalPosition, lastLsn: number): void {
    const before = this.durableCount
    this.#reader?.close()
    this.#reader = new WalReader(disk.durableView(), this.#walDir, { nodeId: this.#nodeId, chunkBytes: CHUNK_BYTES })
    this.#reader.seek(first)
    this.#scanned = first
    this.#lastLsn = 0
    this.#lastHlc = 0n
    this.follow(end)
    if (this.#lastLsn !== lastLsn) throw new Violation(`recovery says LSN ${lastLsn}, the disk has ${this.#lastLsn}`)
    if (lastLsn < before) throw new Violation(`recovery came to LSN ${lastLsn}, but ${before} was on the disk`)
  }

  /** The durable mark stands at `until`: so everything before it is on the disk. */
  follow(until: WalPosition): void {
    const { segmentId, offset } = this.#scanned
    if (until.segmentId === segmentId && until.offset === offset) return
    if (until.segmentId < segmentId || (until.segmentId === segmentId && until.offset < offset)) {
      throw new Violation(`the durable mark moved back to ${until.segmentId}:${until.offset}`)
    }
    this.#scanned = until
    try {
      while (this.#reader!.next(until)) if (this.#reader!.header.kind === RECORD_KIND.batch) this.#record()
    } catch (error) {
      if (error instanceof Violation) throw error
      throw new Violation(`the durable mark stands at ${until.segmentId}:${until.offset}, but the disk: ${String(error)}`)
    }
  }

  #record(): void {
    const { header, payload } = this.#reader!
    const entry = this.#entry.reset(payload)
    if (header.count !== entry.acceptedCount) throw new Violation(`the record of LSN ${header.lsnFirst} has another count than its entry`)
    if (header.lsnFirst !== this.#lastLsn + 1) throw new Violation(`LSN ${header.lsnFirst} behind ${this.#lastLsn}`)
    if (header.hlcFirst <= this.#lastHlc) throw new Violation(`the HLC of LSN ${header.lsnFirst} is not above the one before it`)
    let rank = 0
    for (let index = 0; index < entry.count; index++) {
      if (!entry.accepted(index)) continue
      const at = entry.idsOffset + 32 * index
      this.#assertion(toHex(entry.bytes.subarray(at, at + 32)), header.lsnFirst + rank, header.hlcFirst + BigInt(rank))
      rank++
    }
    this.#lastLsn = header.lsnFirst + rank - 1
    this.#lastHlc = header.hlcFirst + BigInt(rank - 1)
  }

  #assertion(id: string, lsn: number, hlc: bigint): void {
    const fate = this.#fates.get(id)
    if (fate === undefined) throw new Violation(`LSN ${lsn} holds ${id}, which nobody sent`)
    const known = this.#idOfLsn[lsn]
    if (known !== undefined && known !== id) throw new Violation(`LSN ${lsn} held ${known} and holds ${id} now`)
    if (fate.stamp !== undefined && (fate.stamp.lsn !== lsn || fate.stamp.hlc !== hlc)) {
      throw new Violation(`${id} has LSN ${fate.stamp.lsn} and ${lsn}, HLC ${fate.stamp.hlc} and ${hlc}`)
    }
    if (fate.stamp === undefined && fate.openSends === 0) throw new Violation(`${id} was refused for certain, and LSN ${lsn} holds it`)
    fate.stamp = { lsn, hlc }
    this.#idOfLsn[lsn] = id
  }
}
