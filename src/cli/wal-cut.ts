import { join } from 'node:path'
import { explainingPaths } from '../base/disk-files.ts'
import { nodeDisk } from '../base/disk-node.ts'
import { DbError, isDbError } from '../base/errors.ts'
import { EXIT } from '../base/exit-codes.ts'
import { loadConfig } from '../config/load.ts'
import type { Config } from '../config/options.ts'
import { moveAside } from '../ingest/rebuild-store.ts'
import { readApplied } from '../store/store-meta.ts'
import type { Store } from '../store/store.ts'
import { applyCut, placeText, planCut, type CutPlace, type CutPlan } from '../wal/cut.ts'
import { holdsLog } from '../wal/wal-files.ts'
import type { Console } from './console.ts'
import { openStoppedStore, refuseForeignRoot, storeDirOf } from './data-dir.ts'
import { createProgress } from './progress.ts'
import type { WalOptions } from './wal.ts'

export interface WalCutOptions extends WalOptions {
  readonly at: string
}

function placeOf(text: string): CutPlace {
  const [, segmentId, offset] = /^(\d{1,9}):(\d{1,10})$/.exec(text) ?? []
  if (segmentId === undefined) throw new DbError('parameter_invalid', `--at: "${text}" is no SEGMENT:OFFSET`, { parameter: '--at' })
  return { segmentId: Number(segmentId), offset: Number(offset) }
}

/** `stemedb wal cut`: gives up what is behind the damage of a log. Keeps it aside. */
export async function runWalCut(options: WalCutOptions, console: Console): Promise<number> {
  const at = placeOf(options.at)
  const config = loadConfig({ dataDir: options.dataDir })
  return explainingPaths(() => cut(at, config, options, console))
}

async function cut(at: CutPlace, config: Config, options: WalCutOptions, console: Console): Promise<number> {
  refuseForeignRoot(`wal cut --at ${placeText(at)}`, config.dataDir)
  const dir = join(config.dataDir, 'wal')
  if (!holdsLog(nodeDisk, dir)) throw new DbError('not_found', `${dir} holds no WAL`, { dir })
  const progress = await createProgress(console, 'wal cut', options.json)
  // No node may start meanwhile: the store's lock is that of the whole data directory.
  const lock = await StoreLock.take(config)
  try {
    const plan = planCut(nodeDisk, dir, at, ({ segmentsDone, segmentsTotal }) => progress.update(segmentsDone, segmentsTotal, 'reading'))
    // Indexes of what is cut off would take a new assertion for an old one.
    if (lock.appliedLsn > plan.lsnKept) await lock.renew()
    const aside = applyCut(nodeDisk, dir, plan)
    progress.stop()
    report({ plan, aside, dir, storeMovedTo: lock.movedTo }, options, console)
    return EXIT.ok
  } finally {
    progress.stop()
    await lock.release()
  }
}

interface CutReport {
  readonly plan: CutPlan
  readonly aside: readonly string[]
  readonly dir: string
  readonly storeMovedTo: string | undefined
}

function report({ plan, aside, dir, storeMovedTo }: CutReport, { json }: WalCutOptions, console: Console): void {
  const { place, reason, lsnKept, lsnLost } = plan
  if (json === true) {
    return console.out(JSON.stringify({ at: placeText(place), reason, lsnKept, lsnLostFrom: lsnKept + 1, lsnLostTo: lsnLost ?? null, aside: aside.map((name) => join(dir, name)), storeMovedTo: storeMovedTo ?? null }))
  }
  console.out(`cut at      ${placeText(place)}: ${reason}`)
  console.out(`kept        ${lsnKept === 0 ? 'nothing' : `LSN 1 to ${lsnKept}`}`)
  console.out(`lost        LSN ${lsnKept + 1} ${lsnLost === undefined ? 'and all behind it' : `to ${lsnLost}, and what was written behind it`}; their numbers will be given again`)
  console.out(`aside       ${aside.join(', ')} in ${dir}`)
  if (storeMovedTo !== undefined) console.out(`indexes     moved to ${storeMovedTo}; the next start makes them anew`)
  console.err('Where this node has signed tree heads over what is lost, it gives no proofs any more: docs/operations/runbooks/proof-log-diverged.md.')
}

/** The lock of a data directory whose store may be damaged, gone, or ahead of what its log will be. */
class StoreLock {
  readonly #config: Config
  #store: Store
  movedTo: string | undefined

  private constructor(config: Config, store: Store, movedTo: string | undefined) {
    this.#config = config
    this.#store = store
    this.movedTo = movedTo
  }

  /** @throws {DbError} `data_dir_locked` where a node runs */
  static async take(config: Config): Promise<StoreLock> {
    const path = storeDirOf(config)
    try {
      return new StoreLock(config, await openStoppedStore(config, path, true), undefined)
    } catch (error) {
      if (!isDbError(error) || error.code !== 'store_corrupt') throw error
      // A store that does not open locks nothing; an empty one does, and the log makes it whole.
      const movedTo = moveAside(nodeDisk, path)
      return new StoreLock(config, await openStoppedStore(config, path, true), movedTo)
    }
  }

  get appliedLsn(): number {
    return readApplied(this.#store)?.lsn ?? 0
  }

  /** Puts an empty store in its place. */
  async renew(): Promise<void> {
    const path = storeDirOf(this.#config)
    await this.#store.close()
    this.movedTo = moveAside(nodeDisk, path)
    this.#store = await openStoppedStore(this.#config, path, true)
  }

  release(): Promise<void> {
    return this.#store.close()
  }
}
