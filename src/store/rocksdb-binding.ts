import { createRequire } from 'node:module'

/** An opaque value of the native side. */
export interface External { readonly external: unique symbol }

export interface RocksColumnOptions {
  readonly compaction: 'level' | 'universal'
  /** Write buffers are a quarter of it, up to six of them, two of which are merged at each flush. */
  readonly memtableMemoryBudget: number
  /** ZSTD on all levels. `level` compaction compresses levels from 2 on in any case. */
  readonly compression: boolean
  readonly cacheSize: number
  readonly blockSize?: number
}

export interface RocksOpenOptions {
  readonly createIfMissing: boolean
  readonly parallelism: number
  readonly walCompression: boolean
  readonly columns: Readonly<Record<string, RocksColumnOptions>>
}

interface IteratorOptions {
  readonly column: External
  readonly gte?: Uint8Array
  readonly lt?: Uint8Array
  readonly reverse: boolean
  readonly fillCache: boolean
  readonly asyncIO: boolean
  readonly keyEncoding: 'buffer'
  readonly valueEncoding: 'buffer'
}

/**
 * The native functions of `@nxtedition/rocksdb` 12 that we call (its binding.cc). Its classes cost several times as
 * much a call; this file is the only one that knows either.
 *
 * What the native side does not say: it copies keys and values within the call; every encoding must be given (they are
 * uninitialised there otherwise); `walTotalSizeLimit` is read into the wrong variable and has no effect; using anything
 * after `db_close` is a null pointer.
 */
export interface RocksBinding {
  db_init(locationOrHandle: string | bigint): External
  /** Calls back, or returns the columns at once where the database is open already (an attached handle). */
  db_open(
    db: External, options: RocksOpenOptions | Record<string, never>,
    callback: (error: Error | null, columns?: Record<string, External>) => void,
  ): Record<string, External> | undefined
  db_close(db: External, callback: (error: Error | null) => void): void
  db_get_handle(db: External): bigint
  db_get_property(db: External, name: string): string
  db_get_many_sync(
    db: External, keys: readonly Uint8Array[], options: { readonly column: External, readonly fillCache?: boolean },
  ): (Uint8Array | undefined | null)[]
  db_clear(db: External, options: { readonly column: External, readonly gte: Uint8Array, readonly lt: Uint8Array }): void
  iterator_init(db: External, options: IteratorOptions): External
  iterator_nextv_sync(iterator: External, entriesMax: number): { rows: Uint8Array[], finished: boolean }
  iterator_close(iterator: External): void
  batch_init(): External
  batch_put(batch: External, key: Uint8Array, value: Uint8Array, options: { readonly column: External } | undefined): void
  batch_del(batch: External, key: Uint8Array, options: { readonly column: External } | undefined): void
  batch_clear(batch: External): void
  batch_write(db: External, batch: External, options: { readonly sync: boolean }): void
}

export const rocksBinding = createRequire(import.meta.url)('rocksdb/binding.js') as RocksBinding
