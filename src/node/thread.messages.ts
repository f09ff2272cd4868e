import type { EncodedError } from '../base/errors.ts'
import type { Hlc } from '../base/hlc.ts'
import type { Lsn } from '../base/lsn.ts'
import type { Config } from '../config/options.ts'
import type { NodeMemory } from './memory.ts'

/** What every thread is started with. Plain data and shared memory only. */
export interface ThreadStart {
  readonly config: Config
  readonly memory: NodeMemory
  /** Which of its kind, from 0. */
  readonly index: number
  /** Of the open store (`Store.handle`): main owns it and closes it last. */
  readonly storeHandle: bigint
  /** The node's Ed25519 seed and public key: for receipts. */
  readonly nodeSeed: Uint8Array
  readonly nodeId: Uint8Array
  /** Where the log ended at start. */
  readonly lastLsn: Lsn
  readonly lastHlc: Hlc
}

/** How a thread ended: told to, or by an error. */
export type ThreadEnd = { readonly ended: 'drained' } | { readonly ended: 'failed', readonly error: EncodedError }
