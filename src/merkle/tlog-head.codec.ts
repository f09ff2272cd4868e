import { crc32c } from '../base/crc32c.ts'
import { assert } from '../base/assert.ts'
import { HASH_BYTES } from './blake3.layout.ts'
import { OWN_CHECKPOINT_BYTES_MAX } from './checkpoint.ts'

/**
 * A slot of `tlog/head`, which has two that are written in turn, so that a torn write leaves the one before. Little-endian.
 *
 * | offset | bytes | field |
 * | --- | --- | --- |
 * | 0 | 4 | magic `STLH` |
 * | 4 | 4 | version, 1 |
 * | 8 | 8 | sequence, from 1: the greater of two valid slots counts |
 * | 16 | 8 | leaves whose ids and levels are on stable storage |
 * | 24 | 32 | root of those leaves |
 * | 56 | 4 | bytes of the checkpoint |
 * | 60 | 640 | the checkpoint, zeros behind it |
 * | 1020 | 4 | CRC32C over bytes 0..1019 |
 */
export const HEAD_SLOT_BYTES = 1024
/** A slot has a page of its own: no write touches what holds the other one. */
export const HEAD_SLOT_STRIDE = 4096

const MAGIC = 0x484c5453
const VERSION = 1
const TEXT_AT = 60
const CRC_AT = HEAD_SLOT_BYTES - 4

assert(TEXT_AT + OWN_CHECKPOINT_BYTES_MAX <= CRC_AT && HEAD_SLOT_BYTES <= HEAD_SLOT_STRIDE, 'a slot holds a checkpoint')

export interface HeadSlot {
  readonly sequence: number
  readonly filesSize: number
  readonly filesRoot: Uint8Array
  /** '' before the first one. */
  readonly checkpoint: string
}

export function encodeHeadSlot({ sequence, filesSize, filesRoot, checkpoint }: HeadSlot): Uint8Array {
  const bytes = new Uint8Array(HEAD_SLOT_BYTES)
  const view = new DataView(bytes.buffer)
  const text = new TextEncoder().encode(checkpoint)
  assert(text.length <= OWN_CHECKPOINT_BYTES_MAX, 'a checkpoint of this node is short')
  view.setUint32(0, MAGIC, true)
  view.setUint32(4, VERSION, true)
  view.setBigUint64(8, BigInt(sequence), true)
  view.setBigUint64(16, BigInt(filesSize), true)
  bytes.set(filesRoot, 24)
  view.setUint32(56, text.length, true)
  bytes.set(text, TEXT_AT)
  view.setUint32(CRC_AT, crc32c(bytes.subarray(0, CRC_AT)), true)
  return bytes
}

/** Undefined where no whole slot was written there. */
export function decodeHeadSlot(bytes: Uint8Array): HeadSlot | undefined {
  if (bytes.length < HEAD_SLOT_BYTES) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEAD_SLOT_BYTES)
  if (view.getUint32(0, true) !== MAGIC || view.getUint32(4, true) !== VERSION) return undefined
  if (crc32c(bytes.subarray(0, CRC_AT)) !== view.getUint32(CRC_AT, true)) return undefined
  const textBytes = view.getUint32(56, true)
  if (textBytes > OWN_CHECKPOINT_BYTES_MAX) return undefined
  return {
    sequence: Number(view.getBigUint64(8, true)),
    filesSize: Number(view.getBigUint64(16, true)),
    filesRoot: bytes.slice(24, 24 + HASH_BYTES),
    checkpoint: new TextDecoder().decode(bytes.slice(TEXT_AT, TEXT_AT + textBytes)),
  }
}
