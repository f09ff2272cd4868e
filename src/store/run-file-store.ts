import { NODE_KEY_BYTES, NODE_KEY_LEVEL, NODE_KEY_NUMBER, NODE_KEY_RUN } from './entry-runs.layout.ts'
import type { RunFiles } from './run-files.ts'
import type { ColumnName, RangeBounds, ReadOptions, Store, StoreBatch, StoreRange } from './store.ts'

/**
 * A store that has the nodes of some runs of column `sp` in files of their own (docs/formats/run-file.md): those whose number has its highest bit set. To
 * who reads and writes nodes by their keys it is like any other, but for this: nodes that were written are there for readers when their run is sealed, and
 * a walk over the column leaves them out.
 */
export function withRunFiles(store: Store, files: RunFiles): Store {
  return new RunFileStore(store, files)
}

interface NodePlace {
  readonly run: number
  readonly level: number
  readonly number: number
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)

/** Which node of a file a key means; undefined where it means none. */
function placeOf(column: ColumnName, key: Uint8Array): NodePlace | undefined {
  if (column !== 'sp' || key.length !== NODE_KEY_BYTES || (key[NODE_KEY_RUN]! & 0x80) === 0) return undefined
  const view = viewOf(key)
  return { run: view.getUint32(NODE_KEY_RUN), level: key[NODE_KEY_LEVEL]!, number: view.getUint32(NODE_KEY_NUMBER) }
}

class RunFileStore implements Store {
  readonly runFiles: RunFiles
  readonly #store: Store

  constructor(store: Store, files: RunFiles) {
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
    const places = column === 'sp' ? keys.map((key) => placeOf(column, key)) : []
    if (!places.some((place) => place !== undefined)) return this.#store.multiGet(column, keys, options)
    const found = new Array<Uint8Array | undefined>(keys.length).fill(undefined)
    // Files first: a node that is not there has been removed, and then a list of runs that is read behind it does not name it any more.
    for (let i = 0; i < keys.length;) {
      const place = places[i]
      let count = 1
      if (place !== undefined) {
        while (follows(places[i + count], place, count)) count++
        this.runFiles.read(place.run, place.level, place.number, count).forEach((node, n) => { found[i + n] = node })
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
    const place = placeOf(column, gte)
    if (place === undefined) this.#store.clearRange(column, gte, lt)
    else this.runFiles.remove(place.run)
  }

  property(name: string): string | undefined {
    return this.#store.property(name)
  }

  async close(): Promise<void> {
    this.runFiles.close()
    await this.#store.close()
  }
}

const follows = (place: NodePlace | undefined, first: NodePlace, count: number): boolean =>
  place?.run === first.run && place.level === first.level && place.number === first.number + count

/** Nodes of files are in memory from `put` on, and written out before the rest. */
class RunFileBatch implements StoreBatch {
  readonly #batch: StoreBatch
  readonly #files: RunFiles
  #nodes = 0
  #nodeBytes = 0

  constructor(batch: StoreBatch, files: RunFiles) {
    this.#batch = batch
    this.#files = files
  }

  get count(): number { return this.#batch.count + this.#nodes }
  get bytes(): number { return this.#batch.bytes + this.#nodeBytes }

  put(column: ColumnName, key: Uint8Array, value: Uint8Array): void {
    const place = placeOf(column, key)
    if (place === undefined) return this.#batch.put(column, key, value)
    this.#files.put(place.run, place.level, place.number, value)
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
    if (this.#nodes > 0) this.#files.flush()
    if (this.#batch.count > 0 || options?.sync === true) this.#batch.write(options)
    this.#nodes = 0
    this.#nodeBytes = 0
  }
}
