import { readFileSync, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { nodeDisk } from '../base/disk-node.ts'
import { DbError, errnoOf } from '../base/errors.ts'
import type { Config } from '../config/options.ts'
import { withRunFiles } from '../store/run-file-store.ts'
import { runFilesOf } from '../store/run-files.ts'
import { openRocksStore } from '../store/store-rocksdb.ts'
import type { Store } from '../store/store.ts'

/** What commands on a stopped node's folder share. */

export const storeDirOf = (config: Config): string => join(config.dataDir, 'db')

/**
 * Opens a stopped node's store. Its lock is that of the whole data directory. RocksDB has no way of opening it that writes nothing: a new log and a
 * new list of files at least.
 * @throws {DbError} as {@link openRocksStore}
 */
export async function openStoppedStore(config: Config, path: string, createIfMissing: boolean): Promise<Store> {
  const store = await openRocksStore({
    path, createIfMissing, memtableBytes: config.memtableBytes, blockCacheBytes: config.blockCacheBytes,
    parallelism: Math.max(2, availableParallelism()),
  })
  return withRunFiles(store, runFilesOf(nodeDisk, path, config.indexFileEntriesMin))
}

/** As sudo takes it. */
function userText(uid: number): string {
  try {
    const line = readFileSync('/etc/passwd', 'utf8').split('\n').find((entry) => entry.split(':')[2] === String(uid))
    if (line !== undefined) return line.split(':')[0]!
  } catch {
    // Names from elsewhere (LDAP) are not known here; the number always holds.
  }
  return `'#${uid}'`
}

/**
 * What root writes into another user's data directory is root's, and the node can not start on it any more.
 * @param command as it was given, without `stemedb` and the folder: for the message
 * @throws {DbError} `config_invalid` naming the command to run
 */
export function refuseForeignRoot(command: string, dataDir: string, userId: number | undefined = process.geteuid?.()): void {
  if (userId !== 0) return
  let owner: number
  try {
    owner = statSync(dataDir).uid
  } catch (error) {
    // What is not there, the command itself tells better.
    if (errnoOf(error) === 'ENOENT') return
    throw error
  }
  if (owner === 0) return
  throw new DbError('config_invalid',
    `${dataDir} belongs to another user, and root would leave files in it that its node can not open; run: sudo -u ${userText(owner)} stemedb ${command} --data-dir ${dataDir}`,
    { setting: 'dataDir', owner })
}
