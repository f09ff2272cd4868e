import { systemClock, type Clock } from '../base/clock.ts'
import type { Disk } from '../base/disk.ts'
import { nodeDisk } from '../base/disk-node.ts'
import { systemSecrets, type Secrets } from '../base/random.ts'
import { attachRocksStore } from '../store/store-rocksdb.ts'
import type { Store } from '../store/store.ts'

/** What stages take from the machine that they run on. A simulator brings its own. */
export interface Machine {
  readonly disk: Disk
  readonly clock: Clock
  readonly secrets: Secrets
  readonly attachStore: (handle: bigint) => Store
}

export const thisMachine: Machine = { disk: nodeDisk, clock: systemClock, secrets: systemSecrets, attachStore: attachRocksStore }
