import type { EncodedError } from '../base/errors.ts'
import type { Config } from '../config/options.ts'
import type { Recovered } from '../wal/recovery.ts'
import type { NodeMemory } from './memory.ts'

/** What every thread is started with. Plain data and shared memory only, but for the inline mode's callback. */
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
  /** What recovery found: the commit stage goes on from there. */
  readonly recovered: Recovered
  /** Inline mode only: drains the front, which shares the thread, where the ring of acks is full. */
  readonly waitForAckSpace?: () => void
}

/** How a thread ended: told to, or by an error. */
export type ThreadEnd = { readonly ended: 'drained' } | { readonly ended: 'failed', readonly error: EncodedError }
