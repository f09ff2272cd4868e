import { assert, must } from '../base/assert.ts'
import type { Disk, DiskFile } from '../base/disk.ts'
import { onDisk, writeSynced } from '../base/disk-files.ts'
import { DbError } from '../base/errors.ts'
import { HASH_BYTES } from './blake3.layout.ts'
import { HEAD_SLOT_BYTES, HEAD_SLOT_STRIDE, decodeHeadSlot, encodeHeadSlot, type HeadSlot } from './tlog-head.codec.ts'
import { TILE_BYTES, TILE_HASHES, TILE_LEVELS, TileEdge, leafHashesOf, levelHashes, tlogRoot, type HashSource } from './tlog-tiles.ts'
import { emptyTlogRoot } from './tlog.ts'

/**
 * Files of the log under `tlog/` (docs/formats/tlog.md): `ids` has the id of leaf i at byte 32 i, `level-1` and on the hashes of whole tiles, and
 * `head` the last signed tree head. All but `head` follow from the WAL. Tiles lie one behind the other in one file a level and are served by
 * the paths of C2SP tlog-tiles: a file for each would be four thousand new names a million assertions.
 */

const NOTHING_SEEN = Object.freeze({ first: -1, count: 0, ids: new Uint8Array(0) })

const HEAD_NAME = 'head'
/** The next `head`, until it is durable. */
const HEAD_TMP_NAME = 'head.tmp'
const nameOf = (level: number): string => (level === 0 ? 'ids' : `level-${level}`)

const doing = <T>(what: string, dir: string, work: () => T): T => onDisk(`${what} the proof log`, dir, work)

interface CachedTile {
  index: number
  width: number
  hashes: Uint8Array
}

/** Reads what a {@link TlogWriter} has written, also while it writes: what is below a published size does not change. One a thread. */
export class TlogReader implements HashSource {
  readonly #disk: Disk
  readonly #dir: string
  readonly #files: (DiskFile | undefined)[] = []
  /** The last tile read, by level. */
  readonly #tiles: CachedTile[] = Array.from({ length: TILE_LEVELS }, () => ({ index: -1, width: 0, hashes: new Uint8Array(0) }))
  readonly #buffer = new Uint8Array(TILE_BYTES)

  constructor(disk: Disk, dir: string) {
    this.#disk = disk
    this.#dir = dir
  }

  /** @throws {DbError} `io_error` where they are not there */
  hashes(level: number, first: number, count: number): Uint8Array {
    const index = Math.floor(first / TILE_HASHES)
    const from = first % TILE_HASHES
    assert(from + count <= TILE_HASHES, 'hashes of one tile')
    const tile = this.#tiles[level]!
    if (tile.index !== index || tile.width < from + count) {
      const bytes = this.#read(level, index * TILE_HASHES, from + count)
      tile.hashes = level === 0 ? leafHashesOf(bytes, from + count) : bytes.slice(0, (from + count) * HASH_BYTES)
      tile.index = index
      tile.width = from + count
    }
    return tile.hashes.subarray(from * HASH_BYTES, (from + count) * HASH_BYTES)
  }

  /** Ids of leaves, at most {@link TILE_HASHES}. Valid until the next call. @throws {DbError} `io_error` */
  ids(first: number, count: number): Uint8Array {
    return this.#read(0, first, count)
  }

  /** Forgets what may change when the writer begins anew. */
  forget(): void {
    for (const tile of this.#tiles) tile.index = -1
  }

  #read(level: number, first: number, count: number): Uint8Array {
    return doing('reading', this.#dir, () => {
      this.#files[level] ??= this.#disk.open(`${this.#dir}/${nameOf(level)}`, 'read')
      const bytes = count * HASH_BYTES
      if (this.#files[level].pread(this.#buffer, 0, bytes, first * HASH_BYTES) < bytes) {
        throw new DbError('io_error', `the proof log's ${nameOf(level)} ends before hash ${first + count}`, { path: this.#dir })
      }
      return this.#buffer.subarray(0, bytes)
    })
  }

  close(): void {
    for (const file of this.#files) file?.close()
    this.#files.length = 0
  }
}

/**
 * Writes the log's files. What is written is durable after `sync` only; a signed head is durable when `writeHead` returns. After an
 * error it is of no further use: close it and open another.
 */
export class TlogWriter {
  readonly edge = new TileEdge()
  readonly reader: TlogReader
  readonly #dir: string
  readonly #levels: readonly DiskFile[]
  #head: DiskFile | undefined
  readonly #dirty = new Set<number>()
  #slot: HeadSlot = NO_SLOT
  /** Ids of the tile that `has` looked into last. */
  #seen: { readonly first: number, readonly count: number, readonly ids: Uint8Array } = NOTHING_SEEN
  /** Hashes that a level grew by in one append. */
  #grown: { first: number, hashes: Uint8Array[] }[] = []

  /**
   * Opens, or makes, the files, and goes on behind the leaves that were durable if these are as they were; else behind none. What
   * `checkpoint` says then is on stable storage, whatever became of the last process's syncs.
   * @throws {DbError} `disk_full`, `io_error`
   */
  constructor(disk: Disk, dir: string) {
    this.#dir = dir
    this.reader = new TlogReader(disk, dir)
    const { levels, slot } = doing('opening', dir, () => openAll(disk, dir))
    this.#levels = levels
    try {
      const isWhole = this.#restores(slot)
      if (!isWhole) this.edge.restore(0, () => new Uint8Array(0))
      // Before anything is cut: what is made again from here on is not durable, however much it looks like what was.
      this.#slot = isWhole ? slot : { ...slot, ...NO_LEAVES }
      doing('opening', dir, () => {
        ({ head: this.#head, slot: this.#slot } = renewHead(disk, dir, this.#slot))
        this.#levels.forEach((file, level) => file.truncate(levelHashes(level, this.size) * HASH_BYTES))
      })
      this.reader.forget()
    } catch (error) {
      this.close()
      throw error
    }
  }

  /** Leaves. */
  get size(): number {
    return this.edge.size
  }

  /** Leaves that a crash leaves in the files. */
  get syncedSize(): number {
    return Math.min(this.#slot.filesSize, this.size)
  }

  /** The last checkpoint that was written, '' for none. */
  get checkpoint(): string {
    return this.#slot.checkpoint
  }

  #restores({ filesSize, filesRoot }: HeadSlot): boolean {
    if (this.#levels.some((file, level) => file.size() < levelHashes(level, filesSize) * HASH_BYTES)) return false
    this.edge.restore(filesSize, (level, first, count) => this.reader.hashes(level, first, count).slice())
    const root = this.edge.root()
    return root.every((byte, i) => byte === filesRoot[i])
  }

  /** Appends `count` ids. @throws {DbError} `disk_full`, `io_error` */
  append(ids: Uint8Array, count: number): void {
    const first = this.size
    this.#grown = []
    this.edge.append(ids, count, (level, hash) => {
      const grown = this.#grown[level] ??= { first: levelHashes(level, this.size) - 1, hashes: [] }
      grown.hashes.push(hash)
    })
    doing('writing', this.#dir, () => {
      this.#write(0, first, ids, count)
      for (const [level, grown] of this.#grown.entries()) {
        if (grown !== undefined) this.#write(level, grown.first, Buffer.concat(grown.hashes), grown.hashes.length)
      }
    })
  }

  #write(level: number, first: number, hashes: Uint8Array, count: number): void {
    this.#levels[level]!.pwrite(hashes, 0, count * HASH_BYTES, first * HASH_BYTES)
    this.#dirty.add(level)
  }

  /** Whether leaf `index`, which is there, is this id. @throws {DbError} `io_error` */
  has(index: number, id: Uint8Array): boolean {
    const first = index - index % TILE_HASHES
    if (this.#seen.first !== first || this.#seen.count <= index - first) {
      const count = Math.min(TILE_HASHES, this.size - first)
      this.#seen = { first, count, ids: this.reader.ids(first, count).slice() }
    }
    const at = (index - first) * HASH_BYTES
    return id.every((byte, i) => byte === this.#seen.ids[at + i])
  }

  /** Begins anew. The last checkpoint stands. @throws {DbError} `io_error` */
  clear(): void {
    this.edge.restore(0, () => new Uint8Array(0))
    this.reader.forget()
    this.#seen = NOTHING_SEEN
    doing('writing', this.#dir, () => {
      this.#writeSlot({ ...this.#slot, ...NO_LEAVES })
      this.#levels.forEach((file) => file.truncate(0))
    })
  }

  /** Root of the first `size` leaves, from the files where that is not all. @throws {DbError} `io_error` */
  rootAt(size: number): Uint8Array {
    return size === this.size ? this.edge.root() : tlogRoot(this.reader, size)
  }

  /** Makes all leaves durable. @throws {DbError} `disk_full`, `io_error` */
  sync(): void {
    if (this.#slot.filesSize === this.size && this.#dirty.size === 0) return
    doing('syncing', this.#dir, () => {
      for (const level of this.#dirty) this.#levels[level]!.fdatasync()
      this.#dirty.clear()
      this.#writeSlot({ ...this.#slot, filesSize: this.size, filesRoot: this.edge.root() })
    })
  }

  /** Makes a checkpoint durable: only then may anybody see it. @throws {DbError} `disk_full`, `io_error` */
  writeHead(checkpoint: string): void {
    doing('writing', this.#dir, () => this.#writeSlot({ ...this.#slot, checkpoint }))
  }

  #writeSlot(slot: HeadSlot): void {
    const next = { ...slot, sequence: this.#slot.sequence + 1 }
    const head = must(this.#head)
    head.pwrite(encodeHeadSlot(next), 0, HEAD_SLOT_BYTES, (next.sequence % 2) * HEAD_SLOT_STRIDE)
    head.fdatasync()
    this.#slot = next
  }

  close(): void {
    this.reader.close()
    for (const file of this.#levels) file.close()
    this.#head?.close()
  }
}

const NO_LEAVES = Object.freeze({ filesSize: 0, filesRoot: emptyTlogRoot() })
const NO_SLOT: HeadSlot = Object.freeze({ sequence: 0, ...NO_LEAVES, checkpoint: '' })

function openAll(disk: Disk, dir: string): { readonly levels: DiskFile[], readonly slot: HeadSlot } {
  disk.mkdir(dir)
  // At each start: the one that made the folder may have died before it came here.
  disk.syncDir(parentOf(dir))
  const levels: DiskFile[] = []
  try {
    for (let level = 0; level < TILE_LEVELS; level++) {
      const path = `${dir}/${nameOf(level)}`
      levels.push(disk.open(path, disk.exists(path) ? 'write' : 'create'))
    }
    return { levels, slot: readHead(disk, `${dir}/${HEAD_NAME}`) }
  } catch (error) {
    for (const file of levels) file.close()
    throw error
  }
}

const parentOf = (path: string): string => path.slice(0, Math.max(1, path.lastIndexOf('/')))

function readHead(disk: Disk, path: string): HeadSlot {
  if (!disk.exists(path)) return NO_SLOT
  const file = disk.open(path, 'read')
  try {
    const slots = [0, 1].map((place) => {
      const bytes = new Uint8Array(HEAD_SLOT_BYTES)
      return file.pread(bytes, 0, HEAD_SLOT_BYTES, place * HEAD_SLOT_STRIDE) === HEAD_SLOT_BYTES ? decodeHeadSlot(bytes) : undefined
    })
    const [newest] = slots.filter((slot) => slot !== undefined).sort((a, b) => b.sequence - a.sequence)
    return newest ?? NO_SLOT
  } finally {
    file.close()
  }
}

/**
 * Puts a synced copy in the place of `head`, and makes all names in the folder durable. After a sync that failed, in this process or an
 * earlier one, the page cache shows a slot that the disk does not have; and the process that made the files may have died before
 * their names were synced.
 */
function renewHead(disk: Disk, dir: string, slot: HeadSlot): { head: DiskFile, slot: HeadSlot } {
  const path = `${dir}/${HEAD_NAME}`
  const tmp = `${dir}/${HEAD_TMP_NAME}`
  // In both places, so that one stands while the other is written; and in full, so that a head costs no allocation.
  const bytes = new Uint8Array(2 * HEAD_SLOT_STRIDE)
  const copies = [1, 2].map((step) => ({ ...slot, sequence: slot.sequence + step }))
  for (const copy of copies) bytes.set(encodeHeadSlot(copy), (copy.sequence % 2) * HEAD_SLOT_STRIDE)
  writeSynced(disk, tmp, bytes)
  disk.rename(tmp, path)
  disk.syncDir(dir)
  return { head: disk.open(path, 'write'), slot: copies[1]! }
}
