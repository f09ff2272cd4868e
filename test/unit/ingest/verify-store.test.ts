import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { nodeDisk } from '../../../src/base/disk-node.ts'
import { MiB } from '../../../src/base/units.ts'
import { rebuildStore, type RebuildReport } from '../../../src/ingest/rebuild-store.ts'
import { STORE_PROBLEMS_MAX, verifyStore, type StoreVerifyReport } from '../../../src/ingest/verify-store.ts'
import { initHash } from '../../../src/record/claim.ts'
import { ENTRY_LIST_KEY, nodeKey } from '../../../src/store/entry-node.codec.ts'
import { ID_LIST_KEY, decodeIdRunList, encodeIdRunList, pageKey } from '../../../src/store/id-runs.codec.ts'
import { logHlcKey, logLsnKey } from '../../../src/store/keyspace.codec.ts'
import { META_APPLIED_KEY } from '../../../src/store/keyspace.layout.ts'
import { decodeRunList, encodeRunList } from '../../../src/store/run-list.codec.ts'
import { encodeApplied, isRebuilding, openStoreMeta } from '../../../src/store/store-meta.ts'
import { MemoryStore } from '../../../src/store/store-memory.ts'
import { openRocksStore } from '../../../src/store/store-rocksdb.ts'
import type { ColumnName, Store, StoreBatch } from '../../../src/store/store.ts'
import { MemoryDisk } from '../../support/memory-disk.ts'
import { LogBuilder, seededSecrets } from './log-builder.ts'
import { NodeStore, contentOf } from './node-store.ts'

await initHash()

function filledLog(): LogBuilder {
  const log = new LogBuilder(new MemoryDisk(), '/data/wal', { segmentBytes: 2 ** 16 })
  for (let n = 0; n < 20; n++) log.append(10, (index) => index === 4)
  log.commit()
  log.mark()
  return log
}

const verify = (store: Store, log: LogBuilder): Promise<StoreVerifyReport> => verifyStore({
  store, meta: openStoreMeta(store, seededSecrets(1)), log: log.reader(), logStart: log.recovered.first, lastLsn: log.lastLsn,
  durablePosition: log.durablePosition,
})

const rows = (store: Store, column: ColumnName): [Uint8Array, Uint8Array][] => {
  const range = store.range(column)
  const all = range.next(100_000)
  range.close()
  return Array.from({ length: all.length / 2 }, (_, i) => [all[2 * i]!, all[2 * i + 1]!])
}

const change = (store: Store, work: (batch: StoreBatch) => void): void => {
  const batch = store.batch()
  work(batch)
  batch.write()
}

t.test('a right store has no problem, whole or behind its log', async (t) => {
  const log = filledLog()
  const node = new NodeStore(new MemoryStore(), log)
  const phases = new Set<string>()
  const report = await verifyStore({
    store: node.store, meta: openStoreMeta(node.store, seededSecrets(1)), log: log.reader(), logStart: log.recovered.first,
    lastLsn: log.lastLsn, durablePosition: log.durablePosition, onProgress: ({ phase }) => { phases.add(phase) },
  })
  t.same(report.problems, [])
  t.match(report, { ok: true, assertions: 180, records: 20, appliedLsn: 180, lastLsn: 180, problemCount: 0 })
  t.ok(report.idsFlushedLsn >= 64)
  t.ok(phases.has('ids'))
  log.append(5)
  log.commit()
  t.match(await verify(node.store, log), { ok: true, appliedLsn: 180, lastLsn: 185, assertions: 180 })
  t.match(await verify(new MemoryStore(), log), { ok: true, assertions: 0 }, 'an empty one is only far behind')
})

/** The first page of the run that the fixtures' entries have come to. */
const pageOfEntries = (store: Store): Uint8Array => nodeKey(decodeRunList(store.get('sp', ENTRY_LIST_KEY)!).runs[0]!.id, 0, 0)

t.test('every damage of the store is found, in its column', async (t) => {
  const log = filledLog()
  const pristine = (): Store => new NodeStore(new MemoryStore(), log).store
  const flip = (bytes: Uint8Array, at: number): Uint8Array => { const copy = bytes.slice(); copy[at]! ^= 1; return copy }
  const PAGE = pageOfEntries(pristine())
  const cases: [string, string, (store: Store) => void][] = [
    ['sp', 'a page is missing', (store) => change(store, (b) => b.del('sp', PAGE))],
    ['sp', 'a page is cut', (store) => change(store, (b) => b.put('sp', PAGE, store.get('sp', PAGE)!.slice(0, -4)))],
    ['sp', 'a value is wrong', (store) => change(store, (b) => {
      const page = store.get('sp', PAGE)!
      b.put('sp', PAGE, flip(page, page[4]! * 4 + 4))
    })],
    ['sp', 'a key is wrong', (store) => change(store, (b) => {
      const page = store.get('sp', PAGE)!
      b.put('sp', PAGE, flip(page, page[4]! * 4 + 24))
    })],
    ['sp', 'a run is forgotten', (store) => change(store, (b) => {
      const list = decodeRunList(store.get('sp', ENTRY_LIST_KEY)!)
      b.put('sp', ENTRY_LIST_KEY, encodeRunList({ ...list, runs: list.runs.slice(1) }))
    })],
    ['sp', 'a run says another number of entries', (store) => change(store, (b) => {
      const list = decodeRunList(store.get('sp', ENTRY_LIST_KEY)!)
      b.put('sp', ENTRY_LIST_KEY, encodeRunList({ ...list, runs: list.runs.map((run) => ({ ...run, entries: run.entries + 1 })) }))
    })],
    ['agent', 'an entry is missing', (store) => change(store, (b) => b.del('agent', rows(store, 'agent')[0]![0]))],
    ['agent', 'another agent', (store) => change(store, (b) => {
      const [key, value] = rows(store, 'agent')[0]!
      b.del('agent', key)
      b.put('agent', flip(key, 0), value)
    })],
    ['agent', 'a count is wrong', (store) => change(store, (b) => { const [k, v] = rows(store, 'agent')[0]!; b.put('agent', k, flip(v, 4)) })],
    ['agent', 'a value is cut', (store) => change(store, (b) => { b.put('agent', rows(store, 'agent')[0]![0], new Uint8Array(15)) })],
    ['log', 'a point is missing', (store) => change(store, (b) => b.del('log', logLsnKey(1)))],
    ['log', 'a time is missing', (store) => change(store, (b) => b.del('log', logHlcKey(log.written[0]!.hlc)))],
    ['log', 'a point is wrong', (store) => change(store, (b) => { const [k, v] = rows(store, 'log')[0]!; b.put('log', k, flip(v, 4)) })],
    ['log', 'a point too many', (store) => change(store, (b) => b.put('log', logLsnKey(2 ** 40), rows(store, 'log')[0]![1]))],
    ['log', 'a count is wrong', (store) => change(store, (b) => { const [k, v] = rows(store, 'log')[0]!; b.put('log', k, flip(v, 16)) })],
    ['ids', 'a page is missing', (store) => change(store, (b) => b.del('ids', pageKey(1, 0)))],
    ['ids', 'an offset is wrong', (store) => change(store, (b) => b.put('ids', pageKey(1, 0), flip(store.get('ids', pageKey(1, 0))!, 12)))],
    ['ids', 'a page is cut', (store) => change(store, (b) => b.put('ids', pageKey(1, 0), store.get('ids', pageKey(1, 0))!.slice(0, 20)))],
    ['ids', 'an id stands twice', (store) => change(store, (b) => {
      const page = store.get('ids', pageKey(1, 0))!
      b.put('ids', pageKey(1, 0), Uint8Array.of(...page.slice(0, 18), ...page))
    })],
    ['ids', 'a run is forgotten', (store) => change(store, (b) => {
      const list = decodeIdRunList(store.get('ids', ID_LIST_KEY)!)
      b.put('ids', ID_LIST_KEY, encodeIdRunList({ ...list, runs: list.runs.slice(1) }))
    })],
    ['mark', 'a total is wrong', (store) => change(store, (b) =>
      b.put('meta', META_APPLIED_KEY, encodeApplied({ ...openStoreMeta(store, seededSecrets(1)).applied, assertions: 3 })))],
    ['mark', 'the log is shorter', (store) => change(store, (b) =>
      b.put('meta', META_APPLIED_KEY, encodeApplied({ ...openStoreMeta(store, seededSecrets(1)).applied, lsn: 999 })))],
  ]
  for (const [kind, name, spoil] of cases) {
    const store = pristine()
    spoil(store)
    const report = await verify(store, log)
    t.equal(report.ok, false, name)
    t.ok(report.problems.some((problem) => problem.kind === kind), `${name}: ${report.problems.map((p) => p.kind).join()}`)
  }
})

t.test('what is wrong in the log is found, and does not blame the store', async (t) => {
  const log = new LogBuilder(new MemoryDisk(), '/data/wal')
  log.append(4)
  log.append(4, undefined, undefined, (ids) => { ids[2]![0]! ^= 1 })
  log.commit()
  const { store } = new NodeStore(new MemoryStore(), log)
  const report = await verify(store, log)
  t.match(report, { ok: false, problemCount: 1, problems: [{ kind: 'id', lsn: 7, message: /not that of the assertion/ }] })
  log.disk.open('/data/wal/0000000001.wal', 'write').pwrite(Uint8Array.of(0xff), 0, 1, log.written[4]!.recordOffset + 100)
  t.match(await verify(store, log), { ok: false, problemCount: 1, problems: [{ kind: 'record' }] })
  const many = new LogBuilder(new MemoryDisk(), '/data/wal')
  many.append(200, undefined, undefined, (ids) => { for (const id of ids) id[0]! ^= 1 })
  many.commit()
  const full = await verify(new NodeStore(new MemoryStore(), many, 256).store, many)
  t.equal(full.problemCount, 200)
  t.equal(full.problems.length, STORE_PROBLEMS_MAX)
})

t.test('a rebuild', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'stemedb-rebuild-'))
  t.teardown(() => rmSync(root, { recursive: true, force: true }))
  const path = join(root, 'db')
  const log = filledLog()
  const openStore = (at: string): Promise<Store> =>
    openRocksStore({ path: at, createIfMissing: true, memtableBytes: MiB, blockCacheBytes: MiB, parallelism: 1 })
  const rebuild = (open = openStore): Promise<RebuildReport> => rebuildStore({
    checkLog: () => {},
    disk: nodeDisk, path, openStore: open, log: log.reader(), logStart: log.recovered.first, lastLsn: log.lastLsn,
    durablePosition: () => log.durablePosition, secrets: seededSecrets(5), recentIdsMax: 64,
  })
  const content = async (): Promise<string[]> => {
    const store = await openStore(path)
    const report = await verify(store, log)
    t.same(report.problems, [])
    t.equal(report.appliedLsn, log.lastLsn)
    t.equal(isRebuilding(store), false)
    const lines = contentOf(store).filter((line) => line.startsWith('sp') || line.startsWith('agent'))
    await store.close()
    return lines
  }

  t.match(await rebuild(), { assertions: 180, records: 20, movedTo: undefined, resumed: false }, 'where there is none')
  const lines = await content()
  t.ok(lines.length > 180)

  const open = await openStore(path)
  await t.rejects(rebuild(), { code: 'data_dir_locked' }, 'not while a node runs')
  await open.close()

  t.match(await rebuild(), { movedTo: join(root, 'db.broken-1'), resumed: false })
  t.same(await content(), lines)

  writeFileSync(join(path, 'CURRENT'), 'nonsense')
  t.match(await rebuild(), { movedTo: join(root, 'db.broken-2'), resumed: false }, 'a damaged one')
  t.same(await content(), lines)

  // Killed at each write: the next one goes on.
  let interrupted = 0
  for (let failAt = 0; failAt < 12; failAt++) {
    let writes = 0
    const failing = async (at: string): Promise<Store> => failingAt(await openStore(at), () => writes++ === failAt)
    const aside = readdirSync(root).length
    try {
      await rebuild(failing)
    } catch (error) {
      t.match(error, /killed/)
      interrupted++
      const report = await rebuild()
      // The mark of a rebuild is its third write: format and key, the mark, and then the log.
      t.equal(report.resumed, failAt >= 2, `write ${failAt}`)
    }
    t.same(await content(), lines)
    t.ok(existsSync(join(root, 'db.broken-1')))
    t.ok(readdirSync(root).length <= aside + 2)
  }
  t.ok(interrupted > 3)
})

function failingAt(store: Store, fails: () => boolean): Store {
  return new Proxy(store, {
    get(target, name) {
      if (name === 'batch') {
        return () => {
          const batch = target.batch()
          const write = batch.write.bind(batch)
          batch.write = (options) => {
            if (fails()) throw new Error('killed')
            write(options)
          }
          return batch
        }
      }
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) as unknown : value
    },
  })
}
