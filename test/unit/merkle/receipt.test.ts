import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { bytesEqual, concatBytes, fromHex, toHex } from '../../../src/base/bytes.ts'
import { groupLeafOf, groupTreeOf, receiptCovers, verifyReceipt, type BatchStatement, type Receipt } from '../../../src/merkle/receipt.ts'
import {
  BATCH_COUNT_OFFSET, BATCH_MESSAGE_BYTES, BATCH_ROOT_OFFSET, RECEIPT_MESSAGE_BYTES, SINGLE_ID_OFFSET, SINGLE_MESSAGE_BYTES,
  batchMessage, realmHashOf, receiptMessage, singleMessage,
} from '../../../src/merkle/signed-message.ts'
import { pathOfId, rootOfIds } from '../../../src/merkle/tree.ts'
import { repoRoot } from '../../support/root.ts'
import { libraryHash, naiveRoot, vectorId } from './naive.ts'

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)
const realm = realmHashOf('default')

t.test('messages, byte by byte', async (t) => {
  t.same(realm, libraryHash(utf8('stemedb.realm.v1\0default')))
  t.same(realmHashOf('é'), libraryHash(concatBytes(utf8('stemedb.realm.v1\0'), Uint8Array.of(0xc3, 0xa9))))
  const id = vectorId(1)
  const single = singleMessage(realm, id)
  t.same(single, concatBytes(utf8('stemedb.sig.v1\0'), realm, id))
  t.equal(single.length, SINGLE_MESSAGE_BYTES)
  t.same(single.subarray(SINGLE_ID_OFFSET), id)
  const batch = batchMessage(realm, 0x01020304, id)
  t.same(batch, concatBytes(utf8('stemedb.batch.v1\0'), realm, Uint8Array.of(4, 3, 2, 1), id))
  t.equal(batch.length, BATCH_MESSAGE_BYTES)
  t.equal(BATCH_ROOT_OFFSET, BATCH_COUNT_OFFSET + 4)
  const receipt = receiptMessage(vectorId(2), realm, vectorId(3))
  t.same(receipt, concatBytes(utf8('stemedb.receipt.v1\0'), vectorId(2), realm, vectorId(3)))
  t.equal(receipt.length, RECEIPT_MESSAGE_BYTES)
})

t.test('messages of the checked-in vectors', async (t) => {
  const file = JSON.parse(readFileSync(join(repoRoot, 'test/vectors/merkle.json'), 'utf8')) as {
    messages: { realm: string; realmHash: string; id: string; single: string; count: number; root: string; batch: string }[]
  }
  t.ok(file.messages.length >= 3)
  for (const vector of file.messages) {
    const hash = realmHashOf(vector.realm)
    t.equal(toHex(hash), vector.realmHash, vector.realm)
    t.equal(toHex(singleMessage(hash, fromHex(vector.id)!)), vector.single)
    t.equal(toHex(batchMessage(hash, vector.count, fromHex(vector.root)!)), vector.batch)
  }
})

const statement = (i: number): BatchStatement => ({
  firstLsn: BigInt(i) * 0x1_0000_0001n, firstHlc: (1n << 60n) + BigInt(i), accepted: i, batchRoot: vectorId(i),
})

t.test('a group leaf is over its 53 bytes', async (t) => {
  t.same(groupLeafOf({ firstLsn: 0x0102030405060708n, firstHlc: 0x1112131415161718n, accepted: 0x21222324, batchRoot: vectorId(0) }),
    libraryHash(concatBytes(
      Uint8Array.of(0, 8, 7, 6, 5, 4, 3, 2, 1, 0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11, 0x24, 0x23, 0x22, 0x21), vectorId(0))))
})

/** Stands in for Ed25519: a keyed hash, so that these tests are about what is signed, not how. */
const fakeSign = (key: Uint8Array, message: Uint8Array): Uint8Array => {
  const half = libraryHash(concatBytes(key, message))
  return concatBytes(half, half)
}
const fakeVerify = (key: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean =>
  bytesEqual(fakeSign(key, message), signature)

function receiptsOf(batches: readonly BatchStatement[]): Receipt[] {
  const nodeId = vectorId(99)
  const group = groupTreeOf(batches)
  t.same(group.root, naiveRoot(batches.map(groupLeafOf)))
  const signature = fakeSign(nodeId, receiptMessage(nodeId, realm, group.root))
  return batches.map((batch, leafIndex) => ({
    ...batch, nodeId, leafIndex, leafCount: batches.length, path: group.paths[leafIndex]!, groupRoot: group.root, signature,
  }))
}

t.test('every receipt of a group verifies alone, and no changed one does', async (t) => {
  for (const count of [1, 2, 3, 5, 8, 13]) {
    for (const receipt of receiptsOf(Array.from({ length: count }, (_, i) => statement(i)))) {
      t.equal(verifyReceipt(receipt, realm, fakeVerify), true)
      const changes: Partial<Receipt>[] = [
        { firstLsn: receipt.firstLsn + 1n }, { firstHlc: receipt.firstHlc - 1n }, { accepted: receipt.accepted + 1 },
        { batchRoot: vectorId(50) }, { nodeId: vectorId(51) }, { groupRoot: vectorId(52) }, { leafIndex: receipt.leafIndex + count },
        { path: concatBytes(receipt.path, vectorId(53)) }, { signature: receipt.signature.slice(1) },
        { batchRoot: receipt.batchRoot.subarray(1) }, { groupRoot: new Uint8Array(0) }, { nodeId: new Uint8Array(0) },
      ]
      for (const change of changes) {
        t.equal(verifyReceipt({ ...receipt, ...change }, realm, fakeVerify), false, Object.keys(change).join())
      }
      t.equal(verifyReceipt(receipt, realmHashOf('other'), fakeVerify), false, 'another realm')
    }
  }
})

t.test('from an id to the node\'s signature', async (t) => {
  const ids = Array.from({ length: 7 }, (_, i) => vectorId(i))
  const packed = concatBytes(...ids)
  const [receipt] = receiptsOf([{ firstLsn: 5n, firstHlc: 6n, accepted: 7, batchRoot: rootOfIds(packed) }, statement(2)])
  for (const [index, id] of ids.entries()) {
    t.equal(receiptCovers(receipt!, id, index, 7, pathOfId(packed, index)), true)
    t.equal(receiptCovers(receipt!, vectorId(70), index, 7, pathOfId(packed, index)), false)
  }
})
