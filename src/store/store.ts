import type { ColumnRunFiles } from './run-files.ts'

/**
 * The seam to key-value storage: columns of ordered byte keys. All calls but `close` are synchronous, because the
 * threads that make them have nothing else to do. Nothing outside of this folder knows RocksDB.
 *
 * A `put` copies its bytes before it returns, so callers keep one scratch buffer; a binding that takes packed buffers
 * can gather into one of its own.
 */
export const COLUMNS = ['meta', 'sp', 'agent', 'log', 'ids'] as const
export type ColumnName = (typeof COLUMNS)[number]

export interface Store {
  /** The value, in memory of the caller's own, or undefined. */
  get(column: ColumnName, key: Uint8Array): Uint8Array | undefined
  /**
   * Values in the order of their keys. All are of **one state** of the column, also while another thread writes: what
   * reads id runs builds on it.
   */
  multiGet(column: ColumnName, keys: readonly Uint8Array[], options?: ReadOptions): (Uint8Array | undefined)[]
  /** Entries by ascending key (descending with `reverse`), of the column's state at the call. Close it. */
  range(column: ColumnName, bounds?: RangeBounds): StoreRange
  batch(): StoreBatch
  /** Removes the keys `gte <= key < lt`, by itself and not within a batch. */
  clearRange(column: ColumnName, gte: Uint8Array, lt: Uint8Array): void
  /** A figure of the storage engine by its own name, undefined where it has none: for metrics and `inspect`. */
  property(name: string): string | undefined
  /** Where nodes of large runs lie in files beside the store; absent: nowhere. */
  readonly runFiles?: ColumnRunFiles
  /** What another thread attaches with; undefined where the store can not be shared. */
  readonly handle: bigint | undefined
  /** Only by the owner, after every other thread has let go. */
  close(): Promise<void>
}

export interface ReadOptions {
  /** Keep what was read in the block cache: where it may be read again. Default: for keys yes, for ranges no. */
  readonly fillCache?: boolean
}

export interface RangeBounds extends ReadOptions {
  readonly gte?: Uint8Array
  readonly lt?: Uint8Array
  readonly reverse?: boolean
}

export interface StoreRange {
  /** Up to `entriesMax` more entries as key, value, key, value, ...; empty at the end. */
  next(entriesMax: number): Uint8Array[]
  close(): void
}

/** Writes that become visible and durable together or not at all. */
export interface StoreBatch {
  readonly count: number
  /** Bytes of keys and values. */
  readonly bytes: number
  put(column: ColumnName, key: Uint8Array, value: Uint8Array): void
  del(column: ColumnName, key: Uint8Array): void
  clear(): void
  /**
   * Applies all and empties the batch. `sync` makes this and everything before it durable.
   * Where it throws, nothing was applied and the batch is as it was: it can be written again.
   * @throws {DbError} `disk_full`, `store_corrupt`, `io_error`
   */
  write(options?: { readonly sync?: boolean }): void
}

/** Whether a failed write may succeed later without a restart. */
export const isRetryableStoreError = (code: string): boolean => code === 'disk_full'
