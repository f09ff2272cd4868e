import { EntryArena } from '../../src/store/entry-arena.ts'
import { EntryNode, NodePacker } from '../../src/store/entry-node.codec.ts'
import { ENTRY_KEY, ENTRY_VALUE_BYTES } from '../../src/store/entry-runs.layout.ts'
import { IdEntries, IdPage, pageKey, parsePageKey } from '../../src/store/id-runs.codec.ts'
import { RUN_ENTRY_BYTES } from '../../src/store/id-runs.layout.ts'
import { decodeAgentEntry, decodeLogHlcEntry, decodeLogPoint, decodeSpKey, decodeSpValue } from '../../src/store/keyspace.codec.ts'
import { AGENT_KEY_BYTES, LOG_KEY_BYTES } from '../../src/store/keyspace.layout.ts'
import { LIST_COUNT, LIST_HEADER_BYTES, RUN_BYTES, decodeRunList, encodeRunList, type ListedRun } from '../../src/store/run-list.codec.ts'
import { decodeApplied, decodeIdsFlushed, encodeApplied, encodeIdsFlushed } from '../../src/store/store-meta.ts'
import { isDbError } from '../../src/base/errors.ts'
import type { FuzzTarget } from './fuzzer.ts'
import { INTERESTING, pick, viewOf } from './mutations.ts'

const run = (id: number): ListedRun => ({ id, shape: id % 3, entries: 1000 * id, firstLsn: 1, lastLsn: 2 ** 40 + id })

const runListTarget: FuzzTarget = {
  name: 'run-list',
  seeds: () => [[], [1], [1, 2, 3]].map((ids) => encodeRunList({ version: 2 ** 33, nextRun: 9, runs: ids.map(run) })),
  mutations: [(bytes, random) => {
    if (bytes.length >= LIST_HEADER_BYTES) viewOf(bytes).setUint32(LIST_COUNT, pick([...INTERESTING, Math.floor((bytes.length - LIST_HEADER_BYTES) / RUN_BYTES)], random), true)
    return bytes
  }],
  run(input) {
    const list = decodeRunList(input)
    if (input.length !== encodeRunList(list).length) throw new Error('it has another size when written again')
    return true
  },
}

function node(...keys: readonly string[]): Uint8Array {
  const arena = new EntryArena()
  for (const key of keys) {
    arena.room()
    arena.bytes.set(new TextEncoder().encode(key), arena.end + ENTRY_KEY)
    arena.added(key.length)
  }
  return new NodePacker().pack(arena, Uint32Array.from(keys, (_, i) => i), 0, keys.length).slice()
}

const entryNodeTarget: FuzzTarget = {
  name: 'entry-node',
  seeds: () => [node('a'), node('drug/aspirin/a', 'drug/aspirin/b', 'drug/aspirin/cccc'), node(...Array.from({ length: 64 }, (_, i) => `subject/${100 + i}`))],
  run(input) {
    const entries = new EntryNode(input)
    const copy = new EntryArena(1)
    entries.copyTo(copy, 0, entries.count)
    for (let i = 0; i < entries.count; i++) {
      if (!Buffer.from(entries.key(i)).equals(copy.key(i))) throw new Error('a key is another one when copied')
      if (entries.value(i).length !== ENTRY_VALUE_BYTES) throw new Error('a value of another size')
    }
    for (const key of ['', 'drug/aspirin/b', 'subject/120', 'zzz']) {
      const rank = entries.rank(new TextEncoder().encode(key), false)
      if (rank < 0 || rank > entries.count) throw new Error('a place outside of the node')
    }
    return true
  },
}

function page(count: number): Uint8Array {
  const entries = new IdEntries(count)
  const bytes = new Uint8Array(count * RUN_ENTRY_BYTES)
  for (let i = 0; i < count; i++) {
    entries.push(i * 3, i, 1, 512 * i, i)
    entries.pack(i, viewOf(bytes), i * RUN_ENTRY_BYTES)
  }
  return bytes
}

const idPageTarget: FuzzTarget = {
  name: 'id-page',
  seeds: () => [page(0), page(1), page(7), page(128), pageKey(3, 0xffffffff)],
  run(input) {
    const key = parsePageKey(input)
    if (key !== undefined && !Buffer.from(pageKey(key.run, key.page)).equals(input)) throw new Error('the key is another one when written again')
    const ids = new IdPage(input)
    for (const [hi, lo] of [[0, 0], [6, 2], [0xffffffff, 0xffffffff]] as const) {
      const at = ids.lowerBound(hi, lo)
      if (at < 0 || at > ids.count) throw new Error('a place outside of the page')
    }
    for (let i = 0; i < ids.count; i++) if (ids.index(i) + ids.segmentId(i) + ids.recordOffset(i) < 0) throw new Error('a negative number')
    return true
  },
}

/** Each reader gets the input as a value, as a key, and cut into both. */
const READERS: readonly ((input: Uint8Array) => unknown)[] = [
  decodeSpValue, decodeSpKey, decodeApplied, decodeIdsFlushed,
  (input) => decodeAgentEntry(input.subarray(0, AGENT_KEY_BYTES), input.subarray(AGENT_KEY_BYTES)),
  (input) => decodeLogPoint(input.subarray(0, LOG_KEY_BYTES), input.subarray(LOG_KEY_BYTES)),
  (input) => decodeLogHlcEntry(input.subarray(0, LOG_KEY_BYTES), input.subarray(LOG_KEY_BYTES)),
]

const keyspaceTarget: FuzzTarget = {
  name: 'keyspace',
  seeds: () => [
    new Uint8Array(ENTRY_VALUE_BYTES), new TextEncoder().encode('subject\0predicate\0hlchlch0idididid'), new Uint8Array(AGENT_KEY_BYTES + 32),
    new Uint8Array(LOG_KEY_BYTES + 20), encodeApplied({ lsn: 5, hlc: 6n, position: { segmentId: 1, offset: 2 }, assertions: 3, records: 4 }),
    encodeIdsFlushed({ lsn: 1, position: { segmentId: 2, offset: 3 } }),
  ],
  run(input) {
    let taken = false
    for (const read of READERS) {
      try {
        read(input)
        taken = true
      } catch (error) {
        if (!isDbError(error) || error.code !== 'store_corrupt') throw error
      }
    }
    return taken
  },
}

export const storeTargets: readonly FuzzTarget[] = [runListTarget, entryNodeTarget, idPageTarget, keyspaceTarget]
