import { Builder } from 'flatbuffers'
import { Receipt } from '../fbs/stemedb/receipt.ts'
import { groupTreeOf, type BatchStatement } from '../merkle/receipt.ts'
import { receiptMessage } from '../merkle/signed-message.ts'
import type { ThreadMetrics } from '../observe/thread-metrics.ts'
import type { Bell } from '../ring/bell.ts'
import type { RingReader, RingWriter } from '../ring/ring.ts'
import type { Stage, StepOutcome } from '../thread/stage.ts'
import {
  RECEIPT_REQUEST_ACCEPTED_OFFSET, RECEIPT_REQUEST_BYTES, RECEIPT_REQUEST_COUNT_BYTES, RECEIPT_REQUEST_FIRST_HLC_OFFSET,
  RECEIPT_REQUEST_FIRST_LSN_OFFSET, RECEIPT_REQUEST_GENERATION_OFFSET, RECEIPT_REQUEST_REQUEST_ID_OFFSET,
  RECEIPT_REQUEST_ROOT_OFFSET, RECEIPT_REQUEST_SLOT_OFFSET,
} from './receipt-request.layout.ts'

/** Merkle → front: u32 slot, u32 generation, then the "SRCP" frame for the client. */
export const RECEIPT_FRAME_OFFSET = 8

/** `wal` of `Receipt.durability`. */
const DURABILITY_WAL = 1
/** Largest receipt: its fields and a path of 32 steps at most. */
const RECEIPT_BYTES_MAX = 2048

export interface ReceiptDependencies {
  readonly requests: RingReader
  readonly receipts: RingWriter
  /** The node's Ed25519 public key. */
  readonly nodeId: Uint8Array
  readonly realmHash: Uint8Array
  /** Signs with the node's key; 64 bytes. */
  readonly sign: (message: Uint8Array) => Uint8Array
  readonly metrics: ThreadMetrics
}

interface Request extends BatchStatement {
  readonly slot: number
  readonly generation: number
  readonly requestId: bigint
}

/** Builds each commit group's tree, signs its root once, and sends every batch that asked its receipt. */
export class ReceiptStage implements Stage {
  readonly blockedOn: Bell
  readonly #deps: ReceiptDependencies
  readonly #builder = new Builder(RECEIPT_BYTES_MAX)

  constructor(deps: ReceiptDependencies) {
    this.#deps = deps
    this.blockedOn = deps.receipts.space
  }

  step(): StepOutcome {
    const { requests, receipts, metrics } = this.#deps
    if (!requests.peek()) return 'idle'
    const count = requests.view.getUint32(requests.payloadOffset, true)
    if (!receipts.hasRoom(count * (RECEIPT_BYTES_MAX + 16))) return 'blocked'
    this.#signGroup(Array.from({ length: count }, (_, i) => this.#read(i)))
    requests.release()
    metrics.inc('merkle_groups_total')
    return 'progress'
  }

  idleMs(): number {
    return 1000
  }

  finish(): void {
    // Nothing is kept between frames.
  }

  #read(index: number): Request {
    const { view, bytes, payloadOffset } = this.#deps.requests
    const at = payloadOffset + RECEIPT_REQUEST_COUNT_BYTES + index * RECEIPT_REQUEST_BYTES
    const root = at + RECEIPT_REQUEST_ROOT_OFFSET
    return {
      slot: view.getUint32(at + RECEIPT_REQUEST_SLOT_OFFSET, true),
      generation: view.getUint32(at + RECEIPT_REQUEST_GENERATION_OFFSET, true),
      requestId: view.getBigUint64(at + RECEIPT_REQUEST_REQUEST_ID_OFFSET, true),
      firstLsn: view.getBigUint64(at + RECEIPT_REQUEST_FIRST_LSN_OFFSET, true),
      firstHlc: view.getBigUint64(at + RECEIPT_REQUEST_FIRST_HLC_OFFSET, true),
      accepted: view.getUint32(at + RECEIPT_REQUEST_ACCEPTED_OFFSET, true),
      // Native code keeps no views of shared memory: a copy.
      batchRoot: bytes.slice(root, root + 32),
    }
  }

  #signGroup(batches: readonly Request[]): void {
    const { receipts, nodeId, realmHash, sign } = this.#deps
    const tree = groupTreeOf(batches)
    const signature = sign(receiptMessage(nodeId, realmHash, tree.root))
    for (const [index, batch] of batches.entries()) {
      const frame = this.#encode(batch, index, batches.length, tree.paths[index]!, tree.root, signature)
      const at = receipts.reserve(RECEIPT_FRAME_OFFSET + frame.length)
      receipts.view.setUint32(at, batch.slot, true)
      receipts.view.setUint32(at + 4, batch.generation, true)
      receipts.bytes.set(frame, at + RECEIPT_FRAME_OFFSET)
      receipts.publishQuietly()
    }
    receipts.wake()
  }

  #encode(batch: Request, leafIndex: number, leafCount: number, path: Uint8Array, groupRoot: Uint8Array, signature: Uint8Array): Uint8Array {
    const builder = this.#builder
    builder.clear()
    Receipt.startPathVector(builder, path.length / 32)
    pushBytes(builder, path)
    const pathVector = builder.endVector()
    Receipt.startReceipt(builder)
    Receipt.addRequestId(builder, batch.requestId)
    Receipt.addNodeId(builder, pushStruct(builder, this.#deps.nodeId))
    Receipt.addFirstLsn(builder, batch.firstLsn)
    Receipt.addFirstHlc(builder, batch.firstHlc)
    Receipt.addAccepted(builder, batch.accepted)
    Receipt.addBatchRoot(builder, pushStruct(builder, batch.batchRoot))
    Receipt.addDurability(builder, DURABILITY_WAL)
    Receipt.addLeafIndex(builder, leafIndex)
    Receipt.addLeafCount(builder, leafCount)
    Receipt.addPath(builder, pathVector)
    Receipt.addGroupRoot(builder, pushStruct(builder, groupRoot))
    Receipt.addSignature(builder, pushStruct(builder, signature))
    builder.finish(Receipt.endReceipt(builder), 'SRCP')
    return builder.asUint8Array()
  }
}

/** Writes bytes backwards, as the builder grows; they then stand in order. */
function pushBytes(builder: Builder, bytes: Uint8Array): void {
  builder.prep(1, bytes.length)
  for (let i = bytes.length - 1; i >= 0; i--) builder.writeInt8(bytes[i]!)
}

function pushStruct(builder: Builder, bytes: Uint8Array): number {
  pushBytes(builder, bytes)
  return builder.offset()
}
