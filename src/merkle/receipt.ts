import { HASH_BYTES } from './blake3.layout.ts'
import { blake3 } from './blake3.ts'
import { verifyInclusion, verifyLeafInclusion } from './proof.ts'
import { receiptMessage } from './signed-message.ts'
import { pathsOfLeaves } from './tree.ts'

/**
 * Receipts (docs/formats/receipt.md): the node signs one Merkle root a commit group, and every batch of the group that asked
 * for a receipt gets its path to it.
 */

/** What a node states about one batch: the group's leaf is over exactly these. */
export interface BatchStatement {
  /** LSN of the batch's first new assertion; 0 where none is new. */
  readonly firstLsn: bigint
  readonly firstHlc: bigint
  /** How many of the batch are new. */
  readonly accepted: number
  /** Merkle root of all ids of the batch, in order, new or not. */
  readonly batchRoot: Uint8Array
}

/** A batch's leaf in its group: BLAKE3(0x00 ‖ firstLsn u64 ‖ firstHlc u64 ‖ accepted u32 ‖ batchRoot), little-endian. */
export function groupLeafOf(statement: BatchStatement): Uint8Array {
  const input = new Uint8Array(1 + 8 + 8 + 4 + HASH_BYTES)
  const view = new DataView(input.buffer)
  view.setBigUint64(1, statement.firstLsn, true)
  view.setBigUint64(9, statement.firstHlc, true)
  view.setUint32(17, statement.accepted, true)
  input.set(statement.batchRoot, 21)
  return blake3(input)
}

export interface GroupTree {
  readonly root: Uint8Array
  /** By batch, in the order given: siblings from the leaf up, 32 bytes each. */
  readonly paths: readonly Uint8Array[]
}

/** The tree over the batches of one commit group, of which there is at least one. */
export function groupTreeOf(batches: readonly BatchStatement[]): GroupTree {
  const leaves = new Uint8Array(batches.length * HASH_BYTES)
  for (const [index, batch] of batches.entries()) leaves.set(groupLeafOf(batch), index * HASH_BYTES)
  return pathsOfLeaves(leaves)
}

export interface Receipt extends BatchStatement {
  /** The node's Ed25519 public key. */
  readonly nodeId: Uint8Array
  readonly leafIndex: number
  readonly leafCount: number
  readonly path: Uint8Array
  readonly groupRoot: Uint8Array
  readonly signature: Uint8Array
}

/** How a signature is checked here: sodium on a node, WebCrypto or @noble/ed25519 in a browser. */
export type VerifySignature = (publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array) => boolean

/**
 * Whether the node with this key stated, in this realm, that the receipt's batch is durable. The caller compares `nodeId` with
 * the key it trusts, and `batchRoot` with the ids it sent.
 */
export function verifyReceipt(receipt: Receipt, realmHash: Uint8Array, verifySignature: VerifySignature): boolean {
  const { nodeId, groupRoot, batchRoot, signature } = receipt
  if (nodeId.length !== HASH_BYTES || groupRoot.length !== HASH_BYTES || batchRoot.length !== HASH_BYTES) return false
  return verifyLeafInclusion(groupLeafOf(receipt), receipt.leafIndex, receipt.leafCount, receipt.path, groupRoot)
    && verifySignature(nodeId, receiptMessage(nodeId, realmHash, groupRoot), signature)
}

/** Whether a receipt speaks of the assertion with this id, at `index` of a batch of `count`, by the batch's own path. */
export function receiptCovers(receipt: Receipt, id: Uint8Array, index: number, count: number, path: Uint8Array): boolean {
  return verifyInclusion(id, index, count, path, receipt.batchRoot)
}
