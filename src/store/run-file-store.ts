import { NODE_KEY_BYTES, NODE_KEY_LEVEL, NODE_KEY_NUMBER, NODE_KEY_RUN } from './entry-runs.layout.ts'
import { PAGE_KEY_BYTES, PAGE_KEY_PAGE, PAGE_KEY_RUN } from './id-runs.layout.ts'
import type { ColumnRunFiles, RunFiles } from './run-files.ts'
import type { ColumnName, RangeBounds, ReadOptions, Store, StoreBatch, StoreRange } from './store.ts'

/**
 * A store that has the nodes of some runs of columns `sp` and `ids` in files of their own (docs/formats/run-file.md): those whose number has its highest bit set. To
 * who reads and writes nodes by their keys it is like any other, but for this: nodes that were written are there for readers when their run is sealed, and
 * a walk over the column leaves them out.
 */
export function withRunFiles(store: Store, files: ColumnRunFiles): Store {
  return new RunFileStore(store, files)
}

interface NodePlace {
  readonly files: RunFiles
  readonly run: number
  readonly level: number
  readonly number: number
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)

const hasRunFiles = (column: ColumnName): column is keyof ColumnRunFiles => column === 'sp' || column === 'ids'

/** Which node of a file a key means; undefined where it means none. */
function placeOf({ sp, ids }: ColumnRunFiles, column: ColumnName, key: Uint8Array): NodePlace | undefined {
  if (column === 'sp' && key.length === NODE_KEY_BYTES && (key[NODE_KEY_RUN]! & 0x80) !== 0) {
    const view = viewOf(key)
    return { files: sp, run: view.getUint32(NODE_KEY_RUN), level: key[NODE_KEY_LEVEL]!, number: view.getUint32(NODE_KEY_NUMBER) }
  }
  if (column === 'ids' && key.length === PAGE_KEY_BYTES && (key[PAGE_KEY_RUN]! & 0x80) !== 0) {
    const view = viewOf(key)
    return { files: ids, run: view.getUint32(PAGE_KEY_RUN), level: 0, number: view.getUint32(PAGE_KEY_PAGE) }
  }
  return undefined
}

class RunFileStore implements Store {
  readonly runFiles: ColumnRunFiles
  readonly #store: Store

  constructor(store: Store, files: ColumnRunFiles) {
    this.#store = store
    this.runFiles = files
  }

  get handle(): bigint | undefined {
    return this.#store.handle
  }

  get(column: ColumnName, key: Uint8Array): Uint8Array | undefined {
    return this.multiGet(column, [key])[0]
  }

  multiGet(column: ColumnName, keys: readonly Uint8Array[], options?: ReadOptions): (Uint8Array | undefined)[] {
    const places = hasRunFiles(column) ? keys.map((key) => placeOf(this.runFiles, column, key)) : []
    if (!places.some((place) => place !== undefined)) return this.#store.multiGet(column, keys, options)
    const found = new Array<Uint8Array | undefined>(keys.length).fill(undefined)
    // Files first: a node that is not there has been removed, and then a list of runs that is read behind it does not name it any more.
    for (let i = 0; i < keys.length;) {
      const place = places[i]
      let count = 1
      if (place !== undefined) {
        while (follows(places[i + count], place, count)) count++
        place.files.read(place.run, place.level, place.number, count).forEach((node, n) => { found[i + n] = node })
      }
      i += count
    }
    const others = keys.map((_, i) => i).filter((i) => places[i] === undefined)
    if (others.length === 0) return found
    this.#store.multiGet(column, others.map((i) => keys[i]!), options).forEach((value, n) => { found[others[n]!] = value })
    return found
  }

  range(column: ColumnName, bounds?: RangeBounds): StoreRange {
    return this.#store.range(column, bounds)
  }

  batch(): StoreBatch {
    return new RunFileBatch(this.#store.batch(), this.runFiles)
  }

  clearRange(column: ColumnName, gte: Uint8Array, lt: Uint8Array): void {
    const place = placeOf(this.runFiles, column, gte)
    if (place === undefined) this.#store.clearRange(column, gte, lt)
    else place.files.remove(place.run)
  }

  property(name: string): string | undefined {
    return this.#store.property(name)
  }

  async close(): Promise<void> {
    this.runFiles.sp.close()
    this.runFiles.ids.close()
    await this.#store.close()
  }
}

const follows = (place: NodePlace | undefined, first: NodePlace, count: number): boolean =>
  place?.run === first.run && place.level === first.level && place.number === first.number + count

/** Nodes of files are in memory from `put` on, and written out before the rest. */
class RunFileBatch implements StoreBatch {
  readonly #batch: StoreBatch
  readonly #files: ColumnRunFiles
  #nodes = 0
  #nodeBytes = 0

  constructor(batch: StoreBatch, files: ColumnRunFiles) {
    this.#batch = batch
    this.#files = files
  }

  get count(): number { return this.#batch.count + this.#nodes }
  get bytes(): number { return this.#batch.bytes + this.#nodeBytes }

  put(column: ColumnName, key: Uint8Array, value: Uint8Array): void {
    const place = placeOf(this.#files, column, key)
    if (place === undefined) return this.#batch.put(column, key, value)
    place.files.put(place.run, place.level, place.number, value)
    this.#nodes++
    this.#nodeBytes += value.length
  }

  del(column: ColumnName, key: Uint8Array): void {
    this.#batch.del(column, key)
  }

  clear(): void {
    this.#batch.clear()
    this.#nodes = 0
    this.#nodeBytes = 0
  }

  write(options?: { readonly sync?: boolean }): void {
    if (this.#nodes > 0) {
      this.#files.sp.flush()
      this.#files.ids.flush()
    }
    if (this.#batch.count > 0 || options?.sync === true) this.#batch.write(options)
    this.#nodes = 0
    this.#nodeBytes = 0
  }
}
