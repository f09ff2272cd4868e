import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Console } from '../../src/cli/console.ts'
import { runStoreVerify } from '../../src/cli/store.ts'
import type { StoreVerifyReport } from '../../src/ingest/verify-store.ts'
import { systemSecrets } from '../../src/base/random.ts'
import { META_APPLIED_KEY } from '../../src/store/keyspace.layout.ts'
import { encodeApplied, openStoreMeta, type AppliedMark } from '../../src/store/store-meta.ts'
import { openRocksStore } from '../../src/store/store-rocksdb.ts'
import type { Store } from '../../src/store/store.ts'

/** What `stemedb store verify --json` says of a data directory that no node uses. @throws {DbError} as it does. */
export async function verifyStoreOf(dataDir: string): Promise<StoreVerifyReport> {
  const lines: string[] = []
  const settings = Object.entries(process.env).filter(([name]) => name.startsWith('STEMEDB_'))
  const console: Console = { out: (line) => void lines.push(line), err: () => undefined, isTerminal: false, async *stdin() { /* has none */ } }
  // Variables of the tests' own are no settings; they are read before the first wait.
  for (const [name] of settings) delete process.env[name]
  const verified = runStoreVerify({ dataDir, json: true }, console)
  Object.assign(process.env, Object.fromEntries(settings))
  await verified
  return JSON.parse(lines.join('\n')) as StoreVerifyReport
}

/** A copy of a data directory that is as a crash left it: opening a RocksDB changes it. */
export function copyOf(dataDir: string): { readonly dataDir: string, remove(): void } {
  const copy = `${dataDir}-copy`
  rmSync(copy, { recursive: true, force: true })
  cpSync(dataDir, copy, { recursive: true })
  return { dataDir: copy, remove: () => rmSync(copy, { recursive: true, force: true }) }
}

async function withStore<T>(dataDir: string, work: (store: Store) => T): Promise<T> {
  const store = await openRocksStore({ path: join(dataDir, 'db'), createIfMissing: false, memtableBytes: 2 ** 20, blockCacheBytes: 2 ** 20, parallelism: 2 })
  try {
    return work(store)
  } finally {
    await store.close()
  }
}

/** Up to where the store of a stopped node says that it has the log. */
export const appliedMarkOf = (dataDir: string): Promise<AppliedMark> => withStore(dataDir, (store) => openStoreMeta(store, systemSecrets).applied)

/** Puts that mark back, so that the next start applies once more what is there already. */
export const setAppliedMark = (dataDir: string, mark: AppliedMark): Promise<void> => withStore(dataDir, (store) => {
  const batch = store.batch()
  batch.put('meta', META_APPLIED_KEY, encodeApplied(mark))
  batch.write({ sync: true })
})
