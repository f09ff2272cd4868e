import { assert } from '../base/assert.ts'
import { bytesEqual } from '../base/bytes.ts'
import type { Disk } from '../base/disk.ts'
import { DbError } from '../base/errors.ts'
import type { Lsn, WalPosition } from '../base/lsn.ts'
import { HASH_BYTES } from '../record/limits.ts'
import { checkpointText, headText, parseCheckpoint, type TreeHead } from '../merkle/checkpoint.ts'
import { TlogWriter } from '../merkle/tlog-files.ts'
import type { IdSequence } from '../store/recent-id-sequence.ts'
import { RECORD_KIND } from '../wal/record.layout.ts'
import { LogEntryView } from '../wire/log-entry.codec.ts'
import type { LogReader } from './ingest-loop.ts'

/** Payload bytes of the WAL that one step reads. */
export const TLOG_STEP_BYTES_MAX = 1024 * 1024
/** Ids that one append takes: as many as a record may have. */
const IDS_MAX = 65_536
/** Of recent ids, in one step. */
const RECENT_IDS_STEP_MAX = 16_384
/**
 * Leaves after which the files are synced, and that a start may have to read again: 8 MiB of ids. More seldom would make starts longer, more
 * often would take the disk's time from the WAL.
 */
export const TLOG_SYNC_LEAVES = 262_144

export interface TlogFollowerOptions {
  readonly disk: Disk
  /** Folder of the log's files. */
  readonly dir: string
  /** A reader of its own. */
  readonly log: LogReader & { close(): void }
  /** Where the record with this LSN stands, or one before it. */
  readonly placeOf: (lsn: Lsn) => WalPosition
  /** `RecentIdSequence.read`: ids of durable assertions that are still in memory, which spares reading and checking their records. */
  readonly recentIds: (fromLsn: Lsn, untilLsn: Lsn, out: Uint32Array) => IdSequence | undefined
  readonly origin: string
  readonly publicKey: Uint8Array
  /** Ed25519 by the node's key. */
  readonly sign: (message: Uint8Array) => Uint8Array
  /** Leaves after which the files are synced. Default: {@link TLOG_SYNC_LEAVES}. */
  readonly syncLeaves?: number
}

/**
 * Grows the tree by what the WAL holds, and signs heads. Leaf i is the assertion with LSN i + 1, so the WAL alone says what the tree is: files that a
 * crash has torn are made again from it. What was signed before is compared with what is made then, and a node whose
 * WAL has become another one signs nothing any more.
 *
 * After an error it is of no further use: close it and make another.
 */
export class TlogFollower {
  readonly #options: TlogFollowerOptions
  readonly #writer: TlogWriter
  readonly #view = new LogEntryView()
  readonly #ids = new Uint8Array(IDS_MAX * HASH_BYTES)
  readonly #recentIds = new Uint32Array(this.#ids.buffer, 0, RECENT_IDS_STEP_MAX * HASH_BYTES / 4)
  #idCount = 0
  /** The last head that this node has signed, until the tree has come to its size. */
  #promised: TreeHead | undefined
  #signed: { readonly text: string, readonly size: number } | undefined
  /** Where to go on reading, if that is not where the reader stands: a record with leaves that the tree has. */
  #seekTo: WalPosition | undefined
  /** Of the last record that was taken. */
  #readLsn: Lsn = 0
  /** The log has been read up to the last leaf that the files had, and has it. */
  #hasMetLog = false
  /** All leaves are from the log, and none from files that were there. */
  #isMadeAnew: boolean

  /** @throws {DbError} `disk_full`, `io_error` */
  constructor(options: TlogFollowerOptions) {
    this.#options = options
    this.#writer = new TlogWriter(options.disk, options.dir)
    this.#isMadeAnew = this.#writer.size === 0
    // From the segment of the last leaf on, so that the files are held against the log that they are said to be of.
    this.#seekTo = options.placeOf(Math.max(1, this.#writer.size))
    const last = parseCheckpoint(this.#writer.checkpoint)
    // A head of another realm is one of another log.
    if (last?.origin === options.origin) {
      this.#promised = last
      this.#signed = { text: this.#writer.checkpoint, size: last.size }
    }
  }

  /** Leaves. */
  get size(): number {
    return this.#writer.size
  }

  /** The last head of this log, if the tree has come to it. */
  get head(): { readonly text: string, readonly size: number } | undefined {
    return this.#promised === undefined ? this.#signed : undefined
  }

  /** Leaves that a head was signed for before, and that the WAL must have. */
  get promisedSize(): number {
    return this.#signed?.size ?? 0
  }

  /**
   * Takes the next ids of the WAL.
   * @param until end of what may be read, and `untilLsn` of what may be taken from memory
   * @returns false at the end
   * @throws {DbError} `proof_log_diverged` where the WAL is not what was signed; `wal_corrupt`, `disk_full`, `io_error`
   */
  read(until: WalPosition, untilLsn: Lsn): boolean {
    const more = this.#readRecent(untilLsn) ?? this.#readLog(until)
    this.#append()
    this.#hasMetLog ||= this.#readLsn >= this.size
    // Where the files go on though the log has ended, they are of another one.
    const fits = more || this.#hasMetLog
    if (fits && this.#keepsPromise()) return more
    this.#beginAnew()
    return true
  }

  /** As {@link read}; undefined where the next leaf is not in memory. Not before the files were held against the log. */
  #readRecent(untilLsn: Lsn): boolean | undefined {
    if (!this.#hasMetLog) return undefined
    const found = this.#options.recentIds(this.size + 1, untilLsn, this.#recentIds)
    if (found === undefined) return undefined
    this.#idCount = found.count
    this.#readLsn = this.size + found.count
    this.#seekTo = { segmentId: found.segmentId, offset: found.recordOffset }
    return this.#readLsn < untilLsn
  }

  #readLog(until: WalPosition): boolean {
    const { log } = this.#options
    let bytes = 0
    while (bytes < TLOG_STEP_BYTES_MAX) {
      if (this.#seekTo !== undefined) log.seek(this.#seekTo)
      this.#seekTo = undefined
      if (!log.next(until)) return false
      bytes += log.payload.length
      if (log.header.kind === RECORD_KIND.batch) this.#take(log.header.lsnFirst, log.header.count)
    }
    return true
  }

  #take(lsnFirst: Lsn, count: number): void {
    if (this.#idCount + count > IDS_MAX) this.#append()
    const known = this.size + this.#idCount
    let lsn = lsnFirst
    const entry = this.#view.reset(this.#options.log.payload)
    for (let index = 0; index < entry.count; index++) {
      if (!entry.accepted(index)) continue
      const at = entry.idsOffset + index * HASH_BYTES
      const id = entry.bytes.subarray(at, at + HASH_BYTES)
      if (lsn > known) this.#ids.set(id, this.#idCount++ * HASH_BYTES)
      else if (!this.#writer.has(lsn - 1, id)) return this.#beginAnew()
      lsn++
    }
    assert(lsn === lsnFirst + count, 'a record takes as many LSNs as it has accepted assertions')
    this.#readLsn = lsn - 1
    assert(lsnFirst <= known + 1, () => `LSN ${lsnFirst} follows on LSN ${known}`)
  }

  /** The files are not of this log: they are made again, and then what was signed is held against them. */
  #beginAnew(): void {
    this.#writer.clear()
    this.#isMadeAnew = true
    this.#idCount = 0
    this.#readLsn = 0
    this.#promised ??= this.#signed === undefined ? undefined : parseCheckpoint(this.#signed.text)
    this.#seekTo = this.#options.placeOf(1)
  }

  #append(): void {
    if (this.#idCount === 0) return
    this.#writer.append(this.#ids, this.#idCount)
    this.#idCount = 0
    if (this.size - this.#writer.syncedSize >= (this.#options.syncLeaves ?? TLOG_SYNC_LEAVES)) this.#writer.sync()
  }

  /** @returns false where the tiles of an earlier process do not give what it has signed: then they may be what is wrong, and not the log. */
  #keepsPromise(): boolean {
    const promised = this.#promised
    // Not before the files were held against the log.
    if (promised === undefined || !this.#hasMetLog || this.size < promised.size) return true
    if (!bytesEqual(this.#writer.rootAt(promised.size), promised.root)) {
      if (!this.#isMadeAnew) return false
      throw diverged(`its first ${promised.size} assertions are not those that this node has signed`, promised.size)
    }
    this.#promised = undefined
    return true
  }

  /**
   * Signs a head of all leaves, where there is none yet, and where all of them were held against the log. It is durable when this returns.
   * @returns whether there is a new one
   * @throws {DbError} `disk_full`, `io_error`
   */
  sign(): boolean {
    const { origin, publicKey, sign } = this.#options
    if (!this.#hasMetLog || this.#promised !== undefined || this.#signed?.size === this.size) return false
    const head: TreeHead = { origin, size: this.size, root: this.#writer.rootAt(this.size) }
    const text = checkpointText(head, publicKey, sign(new TextEncoder().encode(headText(head))))
    this.#writer.writeHead(text)
    this.#signed = { text, size: head.size }
    return true
  }

  /** Makes the files again from the log: somebody has read what does not fit together. @throws {DbError} `disk_full`, `io_error` */
  rebuild(): void {
    this.#beginAnew()
  }

  /** Makes the files durable, so that the next start reads nothing again. @throws {DbError} `disk_full`, `io_error` */
  sync(): void {
    this.#writer.sync()
  }

  close(): void {
    this.#options.log.close()
    this.#writer.close()
  }
}

/** @param size of the head that was signed */
export function diverged(why: string, size: number): DbError {
  return new DbError('proof_log_diverged', `the log is not what this node has signed: ${why}`, { size })
}
