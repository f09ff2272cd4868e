import { EntryArena } from '../../../src/store/entry-arena.ts'
import type { FoundEntry } from '../../../src/store/entry-cursor.ts'
import { EntryReader } from '../../../src/store/entry-reader.ts'
import { ENTRY_KEY } from '../../../src/store/entry-runs.layout.ts'
import type { EntryRunWriter } from '../../../src/store/entry-runs.ts'
import type { Store } from '../../../src/store/store.ts'

/** What tests of the index by subject and predicate write and read. */

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)

export function fill(arena: EntryArena, keys: readonly Uint8Array[], valueOf: (key: Uint8Array) => number = () => 0): EntryArena {
  arena.clear()
  for (const key of keys) {
    arena.room()
    arena.bytes.fill(0, arena.end, arena.end + ENTRY_KEY)
    arena.words[arena.end >>> 2] = valueOf(key)
    arena.bytes.set(key, arena.end + ENTRY_KEY)
    arena.added(key.length)
  }
  return arena
}

export const keyOf = (n: number): Uint8Array => utf8(`subject/${(Math.imul(n, 0x9e37_79b1) >>> 0).toString(36)}\0predicate\0${n}`)
export const keysFrom = (first: number, count: number): Uint8Array[] => Array.from({ length: count }, (_, i) => keyOf(first + i))

export function addKeys(writer: EntryRunWriter, store: Store, keys: readonly Uint8Array[]): void {
  const batch = store.batch()
  const adopt = writer.add(fill(new EntryArena(), keys, (key) => key.length), 1, 2, batch)
  batch.write()
  adopt()
}

export const scanStore = (store: Store, bounds: { gte?: Uint8Array, lt?: Uint8Array } = {}, reader = new EntryReader(store)): FoundEntry[] => {
  const cursor = reader.entries(bounds)
  const found: FoundEntry[] = []
  for (let entry = cursor.next(); entry !== undefined; entry = cursor.next()) found.push(entry)
  return found
}

