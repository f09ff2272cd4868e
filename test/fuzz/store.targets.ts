import { IdColumns, IdPage, decodeManifest, encodeManifest, pageKey, parsePageKey } from '../../src/store/id-runs.codec.ts'
import { MANIFEST_COUNT, RUN_ENTRY_BYTES } from '../../src/store/id-runs.layout.ts'
import { decodeAgentEntry, decodeLogHlcEntry, decodeLogPoint, decodeSpKey, decodeSpValue } from '../../src/store/keyspace.codec.ts'
import { AGENT_KEY_BYTES, LOG_KEY_BYTES, SP_VALUE_BYTES } from '../../src/store/keyspace.layout.ts'
import { decodeApplied, decodeIdsFlushed, encodeApplied, encodeIdsFlushed } from '../../src/store/store-meta.ts'
import { isDbError } from '../../src/base/errors.ts'
import type { FuzzTarget } from './fuzzer.ts'
import { INTERESTING, pick, viewOf } from './mutations.ts'

const run = (id: number): Parameters<typeof encodeManifest>[0]['runs'][number] => ({ id, level: id % 3, pageBits: id, entries: 1000 * id, firstLsn: 1, lastLsn: 2 ** 40 + id })

const runManifestTarget: FuzzTarget = {
  name: 'id-run-manifest',
  seeds: () => [[], [1], [1, 2, 3]].map((ids) => encodeManifest({ version: 2 ** 33, nextRun: 9, runs: ids.map(run) })),
  mutations: [(bytes, random) => {
    if (bytes.length >= 16) viewOf(bytes).setUint32(MANIFEST_COUNT, pick([...INTERESTING, (bytes.length - 16) >> 5], random), true)
    return bytes
  }],
  run(input) {
    const manifest = decodeManifest(input)
    if (input.length !== encodeManifest(manifest).length) throw new Error('it has another size when written again')
    return true
  },
}

function page(count: number): Uint8Array {
  const columns = new IdColumns(count)
  const bytes = new Uint8Array(count * RUN_ENTRY_BYTES)
  for (let i = 0; i < count; i++) {
    columns.push(i * 3, i, 1, 512 * i, i)
    columns.pack(i, viewOf(bytes), i * RUN_ENTRY_BYTES)
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
    new Uint8Array(SP_VALUE_BYTES), new TextEncoder().encode('subject\0predicate\0hlchlch0idididid'), new Uint8Array(AGENT_KEY_BYTES + 32),
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

export const storeTargets: readonly FuzzTarget[] = [runManifestTarget, idPageTarget, keyspaceTarget]
