import { join } from 'node:path'
import { holdProcess } from '../base/clock.ts'
import { explainingPaths } from '../base/disk-files.ts'
import { nodeDisk } from '../base/disk-node.ts'
import { DbError } from '../base/errors.ts'
import type { Lsn, WalPosition } from '../base/lsn.ts'
import { systemSecrets } from '../base/random.ts'
import { loadConfig } from '../config/load.ts'
import type { Config } from '../config/options.ts'
import { rebuildStore } from '../ingest/rebuild-store.ts'
import { verifyStore, type StoreVerifyReport, type VerifyStoreProgress } from '../ingest/verify-store.ts'
import { openStoreMeta } from '../store/store-meta.ts'
import { examineWal } from '../wal/recovery.ts'
import { SEGMENT_RECORDS_OFFSET } from '../wal/segment.layout.ts'
import { readManifest } from '../wal/wal-files.ts'
import { WalReader } from '../wal/wal-reader.ts'
import type { Console, OutputOptions } from './console.ts'
import { openStoppedStore, refuseForeignRoot, storeDirOf } from './data-dir.ts'
import { EXIT } from '../base/exit-codes.ts'
import { createProgress } from './progress.ts'

export interface StoreOptions extends OutputOptions {
  readonly dataDir: string
}

interface ReadLog {
  readonly log: WalReader
  readonly logStart: WalPosition
  readonly lastLsn: Lsn
  /** End of the last whole record. */
  readonly end: WalPosition
  readonly tornBytes: number
}

/**
 * The log as it stands, nothing of it changed.
 * @param wholly every byte of it is read, not only what must be known
 * @throws {DbError} `not_found`, `wal_corrupt`, `format_unsupported`, `io_error`
 */
function readLog(config: Config, wholly = false): ReadLog {
  const dir = join(config.dataDir, 'wal')
  const manifest = readManifest(nodeDisk, dir)
  if (manifest === undefined) throw new DbError('not_found', `${dir} holds no log; --data-dir names a node's folder`, { dir })
  const { nodeId, sealed, openSegmentId } = manifest
  const { tail, truncatedBytes } = examineWal(nodeDisk, dir, { nodeId, ...(wholly ? { verifyFromLsn: 0 } : {}) })
  const logStart = { segmentId: sealed[0]?.segmentId ?? Math.max(1, openSegmentId), offset: SEGMENT_RECORDS_OFFSET }
  const last = tail?.sealed ?? sealed.at(-1)
  return {
    log: new WalReader(nodeDisk, dir, { nodeId }),
    logStart,
    lastLsn: last?.lsnLast ?? 0,
    end: last === undefined ? logStart : { segmentId: last.segmentId, offset: last.bytesUsed },
    tornBytes: truncatedBytes,
  }
}

const PHASES: Readonly<Record<VerifyStoreProgress['phase'], string>> = {
  log: 'reading the log', sp: 'index of subjects', agent: 'index of agents', ids: 'index of ids',
}

/** `stemedb store verify` */
export async function runStoreVerify(options: StoreOptions, console: Console): Promise<number> {
  const config = loadConfig({ dataDir: options.dataDir })
  return explainingPaths(() => verify(config, options, console))
}

async function verify(config: Config, options: StoreOptions, console: Console): Promise<number> {
  refuseForeignRoot('store verify', config.dataDir)
  const path = storeDirOf(config)
  if (!nodeDisk.exists(path)) throw new DbError('not_found', `${path} is not there; --data-dir names a node's folder, "store rebuild" makes its indexes`, { path })
  // The store's lock first: it is that of the whole data directory.
  const store = await openStoppedStore(config, path, false)
  const release = holdProcess()
  const progress = await createProgress(console, 'store verify', options.json)
  let report: StoreVerifyReport
  let read: ReadLog | undefined
  try {
    read = readLog(config)
    const { log, logStart, lastLsn, end } = read
    report = await verifyStore({
      store, meta: openStoreMeta(store, systemSecrets), log, logStart, lastLsn, durablePosition: end,
      onProgress: ({ phase, done, total }) => progress.update(done, total ?? done + 1, PHASES[phase]),
    })
  } finally {
    progress.stop()
    read?.log.close()
    await store.close()
    release()
  }
  if (options.json === true) console.out(JSON.stringify(report))
  else showVerified(report, console)
  return report.ok ? EXIT.ok : EXIT.data
}

function showVerified(report: StoreVerifyReport, console: Console): void {
  console.out(`assertions  ${report.assertions} in ${report.records} records (${(report.bytes / 2 ** 20).toFixed(1)} MiB), every id recomputed`)
  console.out(`indexes     up to LSN ${report.appliedLsn} of ${report.lastLsn}${report.appliedLsn < report.lastLsn ? '; the next start replays the rest' : ''}`)
  if (report.ok) return console.out('result      indexes and log agree')
  for (const { kind, message, lsn } of report.problems) console.out(`problem     ${kind}${lsn === undefined ? '' : `, LSN ${lsn}`}: ${message}`)
  const inLog = report.problems.some(({ kind }) => kind === 'record' || kind === 'id')
  console.out(`result      ${report.problemCount} problems; ${inLog ? 'the LOG is damaged, see docs/operations/runbooks/wal-corrupt.md' : 'stemedb store rebuild makes the indexes anew'}`)
}

/** `stemedb store rebuild` */
export async function runStoreRebuild(options: StoreOptions, console: Console): Promise<number> {
  const config = loadConfig({ dataDir: options.dataDir })
  return explainingPaths(() => rebuild(config, options, console))
}

async function rebuild(config: Config, options: StoreOptions, console: Console): Promise<number> {
  refuseForeignRoot('store rebuild', config.dataDir)
  const { log, logStart, lastLsn, end, tornBytes } = readLog(config)
  if (tornBytes > 0) console.err(`The log ends with ${tornBytes} bytes of a torn group, none of it acknowledged; the next start cuts them off.`)
  const release = holdProcess()
  const progress = await createProgress(console, 'store rebuild', options.json)
  try {
    const report = await rebuildStore({
      disk: nodeDisk, path: storeDirOf(config), openStore: (path) => openStoppedStore(config, path, true),
      log, logStart, lastLsn, durablePosition: () => end, secrets: systemSecrets, recentIdsMax: config.recentIdsMax,
      checkLog: () => readLog(config, true).log.close(),
      onProgress: ({ appliedLsn, lastLsn: total }) => progress.update(appliedLsn, total, `LSN ${appliedLsn}`),
    })
    progress.stop()
    if (options.json === true) console.out(JSON.stringify({ ...report, lastLsn }))
    else {
      console.out(`${report.resumed ? 'An interrupted rebuild is complete' : 'Rebuilt'}: ${report.assertions} assertions up to LSN ${lastLsn}.`)
      if (report.movedTo !== undefined) console.out(`The old store is in ${report.movedTo}; remove it when the new one has proved itself.`)
    }
    return EXIT.ok
  } finally {
    progress.stop()
    log.close()
    release()
  }
}
