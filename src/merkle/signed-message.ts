import { concatBytes } from '../base/bytes.ts'
import { HASH_BYTES } from './blake3.layout.ts'
import { blake3 } from './blake3.ts'
import { assert } from '../base/assert.ts'

/**
 * What is signed, byte by byte (docs/formats/signatures.md). Every message begins with a domain tag of its own that ends
 * in a zero byte, and the realm's hash, so that no signature means anything anywhere else.
 */

const ascii = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0))

const REALM_TAG = ascii('stemedb.realm.v1\0')
const SINGLE_TAG = ascii('stemedb.sig.v1\0')
const BATCH_TAG = ascii('stemedb.batch.v1\0')
const RECEIPT_TAG = ascii('stemedb.receipt.v1\0')

export const SINGLE_MESSAGE_BYTES = SINGLE_TAG.length + 2 * HASH_BYTES
export const BATCH_MESSAGE_BYTES = BATCH_TAG.length + 2 * HASH_BYTES + 4
export const RECEIPT_MESSAGE_BYTES = RECEIPT_TAG.length + 3 * HASH_BYTES
/** Where the parts that differ from message to message begin. */
export const SINGLE_ID_OFFSET = SINGLE_TAG.length + HASH_BYTES
export const BATCH_COUNT_OFFSET = BATCH_TAG.length + HASH_BYTES
export const BATCH_ROOT_OFFSET = BATCH_COUNT_OFFSET + 4

/** UTF-16 units of a realm's name. */
export const REALM_LENGTH_MAX = 255

/** Hash of a realm's name: BLAKE3("stemedb.realm.v1\0" ‖ realm in UTF-8). A name has at most {@link REALM_LENGTH_MAX} characters. */
export function realmHashOf(realm: string): Uint8Array {
  return blake3(concatBytes(REALM_TAG, new TextEncoder().encode(realm)))
}

/** What an agent signs for one assertion: tag ‖ realm hash ‖ id. */
export function singleMessage(realmHash: Uint8Array, id: Uint8Array): Uint8Array {
  assert(realmHash.length === HASH_BYTES && id.length === HASH_BYTES, 'hashes have 32 bytes')
  return concatBytes(SINGLE_TAG, realmHash, id)
}

/** What an agent signs for a batch: tag ‖ realm hash ‖ count as u32, little-endian ‖ Merkle root of the ids in order. */
export function batchMessage(realmHash: Uint8Array, count: number, root: Uint8Array): Uint8Array {
  assert(realmHash.length === HASH_BYTES && root.length === HASH_BYTES, 'hashes have 32 bytes')
  const message = new Uint8Array(BATCH_MESSAGE_BYTES)
  message.set(BATCH_TAG)
  message.set(realmHash, BATCH_TAG.length)
  new DataView(message.buffer).setUint32(BATCH_COUNT_OFFSET, count, true)
  message.set(root, BATCH_ROOT_OFFSET)
  return message
}

/** What a node signs for a commit group: tag ‖ node id ‖ realm hash ‖ group root. */
export function receiptMessage(nodeId: Uint8Array, realmHash: Uint8Array, groupRoot: Uint8Array): Uint8Array {
  assert(nodeId.length === HASH_BYTES && realmHash.length === HASH_BYTES && groupRoot.length === HASH_BYTES, 'hashes have 32 bytes')
  return concatBytes(RECEIPT_TAG, nodeId, realmHash, groupRoot)
}
