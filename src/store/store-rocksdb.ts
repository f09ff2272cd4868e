import { assert, must } from '../base/assert.ts'
import { DbError } from '../base/errors.ts'
import { MiB } from '../base/units.ts'
import { rocksBinding, type External, type RocksColumnOptions } from './rocksdb-binding.ts'
import { COLUMNS, type ColumnName, type RangeBounds, type ReadOptions, type Store, type StoreBatch, type StoreRange } from './store.ts'

export interface RocksStoreOptions {
  /** Folder of the database; its parent exists. */
  readonly path: string
  readonly createIfMissing: boolean
  readonly memtableBytes: number
  readonly blockCacheBytes: number
  /** Background threads of RocksDB. */
  readonly parallelism: number
}

/**
 * Opens a RocksDB as its owner: it alone closes, as the last of all threads. Its LOCK file is what keeps a second
 * process off the data directory.
 * @throws {DbError} `data_dir_locked`, `config_invalid`, `store_corrupt`, `disk_full`, `not_found`, `io_error`
 */
export async function openRocksStore(options: RocksStoreOptions): Promise<Store> {
  const db = rocksBinding.db_init(options.path)
  const columns = await new Promise<Record<string, External>>((resolve, reject) => {
    try {
      const opened = rocksBinding.db_open(db, {
        createIfMissing: options.createIfMissing,
        parallelism: options.parallelism,
        walCompression: false,
        columns: columnOptions(options),
      }, (error, result) => error === null ? resolve(must(result)) : reject(toOpenError(error, options.path)))
      if (opened !== undefined) resolve(opened)
    } catch (error) {
      reject(toOpenError(error, options.path))
    }
  })
  return new RocksStore(db, columns, true)
}

/**
 * The same database for another thread of this process, by its owner's `handle`. It never closes the database; the
 * thread must end, or stop using it, before the owner closes.
 */
export function attachRocksStore(handle: bigint): Store {
  const db = rocksBinding.db_init(handle)
  const columns = rocksBinding.db_open(db, {}, () => {})
  if (columns === undefined) throw new DbError('internal', 'the store to attach to is not open')
  return new RocksStore(db, columns, false)
}

/** RocksDB wants one of its families to be called so. */
const DEFAULT_FAMILY_COLUMN: ColumnName = 'sp'
const familyOf = (column: ColumnName): string => column === DEFAULT_FAMILY_COLUMN ? 'default' : column

/**
 * Write buffers: RocksDB keeps its log until the slowest column has flushed, so columns that fill slowly get small
 * buffers; that bounds what a start replays. A column holds up to 1.5 times its budget.
 */
function columnOptions({ memtableBytes, blockCacheBytes }: RocksStoreOptions): Record<string, RocksColumnOptions> {
  const column = (memtableShare: number, cacheShare: number, blockSize: number): RocksColumnOptions => ({
    compaction: 'universal',
    memtableMemoryBudget: Math.max(256 * 1024, Math.floor(memtableBytes * memtableShare)),
    compression: false,
    // The native side reads a u32.
    cacheSize: Math.min(2 ** 32 - 1, Math.max(1 * MiB, Math.floor(blockCacheBytes * cacheShare))),
    blockSize,
  })
  const options: Record<ColumnName, RocksColumnOptions> = {
    meta: column(1 / 64, 0, 4096),
    sp: column(1 / 2, 1 / 2, 8192),
    agent: column(1 / 16, 1 / 16, 8192),
    log: column(1 / 32, 1 / 16, 4096),
    ids: column(1 / 4, 3 / 8, 4096),
  }
  return Object.fromEntries(COLUMNS.map((name) => [familyOf(name), options[name]]))
}

class RocksStore implements Store {
  readonly #db: External
  readonly #columns: Record<string, { readonly column: External }>
  readonly #owner: boolean
  readonly #ranges = new Set<RocksRange>()
  #open = true

  constructor(db: External, columns: Record<string, External>, owner: boolean) {
    this.#db = db
    this.#owner = owner
    this.#columns = Object.fromEntries(COLUMNS.map((name) => [name, { column: must(columns[familyOf(name)], `column ${name}`) }]))
  }

  get handle(): bigint {
    return rocksBinding.db_get_handle(this.#db)
  }

  get(column: ColumnName, key: Uint8Array): Uint8Array | undefined {
    return this.multiGet(column, [key])[0]
  }

  multiGet(column: ColumnName, keys: readonly Uint8Array[], { fillCache = true }: ReadOptions = {}): (Uint8Array | undefined)[] {
    this.#mustBeOpen()
    try {
      // The most is asked for with the object that is there.
      const options = fillCache ? this.#column(column) : { ...this.#column(column), fillCache }
      return rocksBinding.db_get_many_sync(this.#db, keys, options) as (Uint8Array | undefined)[]
    } catch (error) {
      throw toStoreError(error, `read of column ${column}`)
    }
  }

  range(column: ColumnName, bounds: RangeBounds = {}): StoreRange {
    this.#mustBeOpen()
    const range = new RocksRange(rocksBinding.iterator_init(this.#db, {
      column: this.#column(column).column,
      reverse: bounds.reverse ?? false,
      fillCache: bounds.fillCache ?? false,
      asyncIO: false,
      keyEncoding: 'buffer',
      valueEncoding: 'buffer',
      ...(bounds.gte === undefined ? {} : { gte: bounds.gte }),
      ...(bounds.lt === undefined ? {} : { lt: bounds.lt }),
    }), column, () => this.#ranges.delete(range))
    this.#ranges.add(range)
    return range
  }

  batch(): StoreBatch {
    this.#mustBeOpen()
    return new RocksBatch(this.#db, this.#columns, () => this.#mustBeOpen())
  }

  clearRange(column: ColumnName, gte: Uint8Array, lt: Uint8Array): void {
    this.#mustBeOpen()
    try {
      rocksBinding.db_clear(this.#db, { ...this.#column(column), gte, lt })
    } catch (error) {
      throw toStoreError(error, `removal in column ${column}`)
    }
  }

  property(name: string): string | undefined {
    this.#mustBeOpen()
    const value = rocksBinding.db_get_property(this.#db, name)
    return value === '' ? undefined : value
  }

  async close(): Promise<void> {
    if (!this.#open) return
    this.#open = false
    for (const range of [...this.#ranges]) range.close()
    if (!this.#owner) return
    await new Promise<void>((resolve, reject) => {
      rocksBinding.db_close(this.#db, (error) => error ? reject(toStoreError(error, 'close')) : resolve())
    })
  }

  #column(column: ColumnName): { readonly column: External } {
    return this.#columns[column]!
  }

  /** The native side would follow a null pointer. */
  #mustBeOpen(): void {
    assert(this.#open, 'store used after close')
  }
}

class RocksRange implements StoreRange {
  readonly #column: ColumnName
  readonly #closed: () => void
  #iterator: External | undefined
  #finished = false

  constructor(iterator: External, column: ColumnName, closed: () => void) {
    this.#iterator = iterator
    this.#column = column
    this.#closed = closed
  }

  next(entriesMax: number): Uint8Array[] {
    if (this.#finished || this.#iterator === undefined) return []
    try {
      const { rows, finished } = rocksBinding.iterator_nextv_sync(this.#iterator, entriesMax)
      this.#finished = finished
      return rows
    } catch (error) {
      throw toStoreError(error, `scan of column ${this.#column}`)
    }
  }

  close(): void {
    if (this.#iterator === undefined) return
    rocksBinding.iterator_close(this.#iterator)
    this.#iterator = undefined
    this.#closed()
  }
}

class RocksBatch implements StoreBatch {
  readonly #db: External
  readonly #columns: Record<string, { readonly column: External }>
  readonly #mustBeOpen: () => void
  readonly #batch = rocksBinding.batch_init()
  #count = 0
  #bytes = 0

  constructor(db: External, columns: Record<string, { readonly column: External }>, mustBeOpen: () => void) {
    this.#db = db
    this.#columns = columns
    this.#mustBeOpen = mustBeOpen
  }

  get count(): number { return this.#count }
  get bytes(): number { return this.#bytes }

  put(column: ColumnName, key: Uint8Array, value: Uint8Array): void {
    rocksBinding.batch_put(this.#batch, key, value, this.#columns[column])
    this.#count++
    this.#bytes += key.length + value.length
  }

  del(column: ColumnName, key: Uint8Array): void {
    rocksBinding.batch_del(this.#batch, key, this.#columns[column])
    this.#count++
    this.#bytes += key.length
  }

  clear(): void {
    rocksBinding.batch_clear(this.#batch)
    this.#count = 0
    this.#bytes = 0
  }

  write(options?: { readonly sync?: boolean }): void {
    this.#mustBeOpen()
    try {
      rocksBinding.batch_write(this.#db, this.#batch, options?.sync === true ? SYNC : NO_SYNC)
    } catch (error) {
      throw toStoreError(error, 'write')
    }
    this.clear()
  }
}

const SYNC = { sync: true }
const NO_SYNC = { sync: false }

const textOf = (error: unknown): string => error instanceof Error ? error.message : String(error)
const codeOf = (error: unknown): unknown => (error as { code?: unknown } | null)?.code

/** RocksDB's words for what a caller can do about it. */
function toStoreError(error: unknown, what: string): DbError {
  const text = textOf(error)
  const options = { cause: error }
  if (/no space left on device|disk quota exceeded|file too large/i.test(text)) {
    return new DbError('disk_full', `store: ${what}: ${text}`, { what }, options)
  }
  if (codeOf(error) === 'LEVEL_CORRUPTION') {
    return new DbError('store_corrupt', `store: ${what}: ${text}; "stemedb store rebuild" makes it anew from the log`,
      { what }, options)
  }
  return new DbError('io_error', `store: ${what}: ${text}`, { what }, options)
}

function toOpenError(error: unknown, path: string): DbError {
  const text = textOf(error)
  const options = { cause: error }
  const details = { path }
  // First: RocksDB tells of a lock file that it may not open as of one that another process holds.
  if (/permission denied|operation not permitted/i.test(text)) {
    return new DbError('config_invalid', `the store at ${path} is another user's: ${text}; run it as the node's user, or give that user the files: chown -R`,
      details, options)
  }
  if (codeOf(error) === 'LEVEL_LOCKED') {
    return new DbError('data_dir_locked', `${path} is in use by another process (${text})`, details, options)
  }
  if (/create_if_missing is false/.test(text)) {
    return new DbError('not_found', `there is no store at ${path}`, details, options)
  }
  // A missing table file, a damaged manifest or options file come as IO errors or invalid arguments too.
  const broken = codeOf(error) === 'LEVEL_CORRUPTION' || /no such file or directory|invalid argument|not recognized/i.test(text)
  if (broken) {
    return new DbError('store_corrupt',
      `the store at ${path} can not be opened: ${text}; "stemedb store rebuild" makes it anew from the log`,
      details, options)
  }
  return toStoreError(error, `open ${path}`)
}
