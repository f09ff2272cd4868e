import { Builder } from 'flatbuffers'
import { ERROR_CODES, type ErrorName } from '../base/error-codes.ts'
import type { Config } from '../config/options.ts'
import { ErrorFrame } from '../fbs/stemedb/error-frame.ts'
import { Hash } from '../fbs/stemedb/hash.ts'
import { Welcome } from '../fbs/stemedb/welcome.ts'
import { creditBytesOf } from './front-limits.ts'
import type { PipelineStatus } from './pipeline.ts'

/** Subprotocol that a client must offer (RFC 6455, section 1.9). */
export const SUBPROTOCOL = 'stemedb.v1'
export const PROTOCOL_VERSION = 1

const SBAT = 0x54414253 // "SBAT", little-endian
const ASSERTIONS_ENTRY = 12

export interface WelcomeInput {
  readonly config: Config
  /** 32 bytes: the node's public key. */
  readonly nodeId: Uint8Array
  readonly version: string
  readonly status: PipelineStatus
}

/** First server frame of a session. */
export function encodeWelcome({ config, nodeId, version, status }: WelcomeInput): Uint8Array {
  const builder = new Builder(256)
  const realm = builder.createString(config.realm)
  const serverVersion = builder.createString(version)
  Welcome.startWelcome(builder)
  Welcome.addProtocolVersion(builder, PROTOCOL_VERSION)
  Welcome.addNodeId(builder, Hash.createHash(builder, [...nodeId]))
  Welcome.addRealm(builder, realm)
  Welcome.addSignaturesRequired(builder, config.signatures === 'required')
  Welcome.addFrameBytesMax(builder, config.frameBytesMax)
  Welcome.addBatchAssertionsMax(builder, config.batchAssertionsMax)
  Welcome.addCreditBytes(builder, creditBytesOf(config))
  Welcome.addDurableLsn(builder, BigInt(status.durableLsn))
  Welcome.addDurableHlc(builder, status.durableHlc)
  Welcome.addServerVersion(builder, serverVersion)
  Welcome.addQueriesMax(builder, config.sessionQueriesMax)
  builder.finish(Welcome.endWelcome(builder), 'SWEL')
  return builder.asUint8Array()
}

/** Says why a connection is about to be closed. */
export function encodeErrorFrame(code: ErrorName, detail: string): Uint8Array {
  const builder = new Builder(256)
  const name = builder.createString(code)
  const detailOffset = builder.createString(detail)
  builder.finish(ErrorFrame.createErrorFrame(builder, ERROR_CODES[code].number, name, detailOffset), 'SERR')
  return builder.asUint8Array()
}

/** Whether a frame says of itself that it is a Batch. Nothing else of it has been checked. */
export function isBatchFrame(frame: Uint8Array): boolean {
  if (frame.length < 12) return false
  return (frame[4]! | (frame[5]! << 8) | (frame[6]! << 16) | (frame[7]! << 24)) === SBAT
}

/**
 * The number of assertions that an unverified Batch claims to have, at least 1 and at most `most`, for the rate limit.
 * Right for every frame that verifies; reads nothing outside of `frame`.
 */
export function peekAssertionCount(frame: Uint8Array, most: number): number {
  const { length } = frame
  if (length < 8) return 1
  const view = new DataView(frame.buffer, frame.byteOffset, length)
  const table = view.getUint32(0, true)
  if (table > length - 4) return 1
  const vtable = table - view.getInt32(table, true)
  if (vtable < 0 || vtable > length - ASSERTIONS_ENTRY - 2 || view.getUint16(vtable, true) <= ASSERTIONS_ENTRY) return 1
  const offset = view.getUint16(vtable + ASSERTIONS_ENTRY, true)
  const field = table + offset
  if (offset === 0 || field > length - 4) return 1
  const vector = field + view.getUint32(field, true)
  if (vector > length - 4) return 1
  return Math.min(Math.max(view.getUint32(vector, true), 1), most)
}
