import { EntryArena } from '../../src/store/entry-arena.ts'
import { EntryNode, NodePacker } from '../../src/store/entry-node.codec.ts'
import { ENTRY_KEY, ENTRY_VALUE_BYTES, nodeCounts } from '../../src/store/entry-runs.layout.ts'
import { IdEntries, IdPage, pageKey, parsePageKey } from '../../src/store/id-runs.codec.ts'
import { RUN_ENTRY_BYTES } from '../../src/store/id-runs.layout.ts'
import { decodeAgentEntry, decodeLogHlcEntry, decodeLogPoint, decodeSpKey, decodeSpValue } from '../../src/store/keyspace.codec.ts'
import { AGENT_KEY_BYTES, LOG_KEY_BYTES } from '../../src/store/keyspace.layout.ts'
import { DIRECTORY_ENTRY_BYTES, ENTRY_FILES, FILE_RUN, FOOTER_BYTES, FOOTER_CRC } from '../../src/store/run-file.layout.ts'
import { RunFiles } from '../../src/store/run-files.ts'
import { LIST_COUNT, LIST_HEADER_BYTES, RUN_BYTES, decodeRunList, encodeRunList, type ListedRun } from '../../src/store/run-list.codec.ts'
import { decodeApplied, decodeIdsFlushed, encodeApplied, encodeIdsFlushed } from '../../src/store/store-meta.ts'
import { crc32c } from '../../src/base/crc32c.ts'
import { isDbError } from '../../src/base/errors.ts'
import type { Random } from '../../src/base/random.ts'
import { MemoryDisk } from '../support/memory-disk.ts'
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

const RUNS_DIR = '/data/db/runs'
const RUN = FILE_RUN + 3
const RUN_PATH = `${RUNS_DIR}/80000003.run`

/** A disk with one run file, and its reader. */
function runsWith(bytes?: Uint8Array): { disk: MemoryDisk, files: RunFiles } {
  const disk = new MemoryDisk()
  disk.mkdir(RUNS_DIR)
  if (bytes !== undefined) disk.writeFile(RUN_PATH, bytes)
  return { disk, files: new RunFiles(disk, RUNS_DIR, 1, ENTRY_FILES) }
}

function runFile(pages: number): Uint8Array {
  const { disk, files } = runsWith()
  nodeCounts(pages).forEach((count, level) => {
    for (let number = 0; number < count; number++) files.put(RUN, level, number, node(`level/${level}`, `number/${number}`))
  })
  files.seal(RUN, pages)
  return disk.readFile(RUN_PATH)
}

/** A field of the directory or the footer, and the footer's checksum made right: nobody would look behind it otherwise. */
function runFileMutation(bytes: Uint8Array, random: Random): Uint8Array {
  if (bytes.length < FOOTER_BYTES + DIRECTORY_ENTRY_BYTES) return bytes
  const view = viewOf(bytes)
  const footer = bytes.length - FOOTER_BYTES
  const entries = Math.floor(footer / DIRECTORY_ENTRY_BYTES)
  const at = random.u32() % 2 === 0 ? footer + 4 * (random.u32() % 6) : footer - DIRECTORY_ENTRY_BYTES * (1 + random.u32() % entries) + 4 * (random.u32() % 4)
  view.setUint32(at, pick([...INTERESTING, view.getUint32(at, true) + 1, view.getUint32(at, true) - 4, footer], random), true)
  view.setUint32(footer + FOOTER_CRC, crc32c(bytes.subarray(footer, footer + FOOTER_CRC)), true)
  return bytes
}

const RUN_FILES = [1, 4, 130].map(runFile)

/** What is given out is a node that was written for that place, whatever the file has become. */
const runFileTarget: FuzzTarget = {
  name: 'run-file',
  seeds: () => RUN_FILES.map((bytes) => bytes.slice()),
  mutations: [runFileMutation],
  run(input) {
    const { files } = runsWith(input)
    let taken = false
    for (const [level, first] of [[0, 0], [0, 3], [0, 127], [1, 0], [2, 0], [7, 9], [255, 0xffff_ffff]] as const) {
      for (const count of [1, 5]) {
        try {
          files.read(RUN, level, first, count).forEach((found, i) => {
            if (found === undefined) return
            taken = true
            if (!Buffer.from(node(`level/${level}`, `number/${first + i}`)).equals(found)) throw new Error('another node than was written there')
          })
        } catch (error) {
          if (!isDbError(error) || (error.code !== 'store_corrupt' && error.code !== 'format_unsupported')) throw error
        }
      }
    }
    files.close()
    return taken
  },
}

export const storeTargets: readonly FuzzTarget[] = [runListTarget, entryNodeTarget, idPageTarget, keyspaceTarget, runFileTarget]
