import type { Random } from '../../src/base/random.ts'
import { configWith } from '../../src/config/load.ts'
import type { Config } from '../../src/config/options.ts'

/** How one seed's node, clients and world are made: each seed has other sizes, and leaves out other troubles. */
export interface Swarm {
  readonly config: Config
  readonly clients: number
  /** Batches that a client may have under way. */
  readonly window: number
  /** Assertions of the largest batch. */
  readonly batchMax: number
  readonly subjects: number
  /** Lives with trouble, before the quiet one at the end. */
  readonly lives: number
  /** Turns of the longest life. */
  readonly turnsMax: number
  /** How often each stage gets its turn: one may starve. */
  readonly weights: { readonly [actor: string]: number }
  /** Steps of others that fall into one call to the disk, at most. */
  readonly othersMax: number
  /** Troubles of this seed. */
  readonly resets: boolean
  readonly clockSteps: boolean
  readonly fullDisks: boolean
  readonly slowDisk: boolean
  readonly faultyCalls: boolean
  readonly powerCuts: boolean
  /** New claims of the whole run: bounds its cost. */
  readonly claimsMax: number
}

export const DATA_DIR = '/data'

export function swarmOf(random: Random): Swarm {
  const below = (bound: number): number => random.u32() % bound
  const oneOf = <T>(...values: readonly T[]): T => values[below(values.length)]!
  const often = (): boolean => below(4) > 0
  const batchMax = oneOf(1, 3, 6)
  const weight = (): number => oneOf(1, 4, 8)
  const config = configWith({
    dataDir: DATA_DIR, signatures: 'optional', verifyThreads: 1 + below(2), lensThreads: 1, merkleThreads: 1, mode: 'inline',
    ringBytes: oneOf(2 ** 15, 2 ** 16), frameBytesMax: 5 * 1024, batchAssertionsMax: 6, queryLimitMax: 100,
    // Two frames with their ids, and not much more, so that segments change all the time.
    walSegmentBytes: oneOf(5, 6, 9, 16) * 4096, groupBytesMax: oneOf(2048, 8192, 16_384), walReserveBytes: oneOf(0, 16_384),
    walMarkIdleMs: oneOf(1, 20), ingestLagBytesMax: oneOf(8192, 65_536), recentIdsMax: oneOf(8, 24, 64), indexFileEntriesMin: oneOf(1, 6, 32_768), idFilterBytes: 64, idFilterBytesMax: 16_384,
    hlcDriftMaxMs: 60_000, tlogCheckpointMs: oneOf(10, 100),
    // Its syncs of the data folder would else hide that somebody else's are missing.
    tlogEnabled: oneOf('on', 'on', 'off'),
  })
  return {
    config, clients: 1 + below(5), window: oneOf(1, 2, 5, 12), batchMax, subjects: oneOf(2, 8), lives: 3 + below(4),
    turnsMax: oneOf(150, 400, 900),
    weights: {
      client: 2 * weight(), front: weight(), verify: weight(), wal: weight(), ingest: weight(), lens: weight(), merkle: 2, tlog: weight(),
      preparer: weight(), world: 1,
    },
    othersMax: oneOf(0, 3, 8), resets: often(), clockSteps: often(), fullDisks: below(3) === 0, slowDisk: below(3) === 0,
    faultyCalls: often(), powerCuts: often(), claimsMax: 300,
  }
}
