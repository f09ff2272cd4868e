import { ByteBuffer } from 'flatbuffers'
import { errorNameOf, type ErrorName } from '../base/error-codes.ts'
import { DbError } from '../base/errors.ts'
import { MiB } from '../base/units.ts'
import { Acks } from '../fbs/stemedb/acks.ts'
import { ErrorFrame } from '../fbs/stemedb/error-frame.ts'
import type { Hash } from '../fbs/stemedb/hash.ts'
import { Receipt as ReceiptFrame } from '../fbs/stemedb/receipt.ts'
import { Welcome as WelcomeFrame } from '../fbs/stemedb/welcome.ts'
import { HASH_BYTES, SIGNATURE_BYTES } from '../record/limits.ts'
import { FEED_ROOTS, parseFeedFrame, type FeedFrame, type FeedIdentifier } from './feed-frames.ts'
import type { Receipt } from '../merkle/receipt.ts'
import { verifyBuffer } from '../wire/verifier.ts'

/** Longest message taken from a server: an ack of the largest batch, every assertion of which has an outcome, is below. */
export const SERVER_FRAME_BYTES_MAX = 16 * MiB

export interface Welcome {
  readonly protocolVersion: number
  readonly nodeId: Uint8Array
  readonly realm: string
  readonly signaturesRequired: boolean
  readonly frameBytesMax: number
  readonly batchAssertionsMax: number
  readonly creditBytes: number
  readonly durableLsn: bigint
  readonly durableHlc: bigint
  readonly serverVersion: string
}

/** What became of one assertion that is not simply new. */
export interface ItemOutcome {
  readonly index: number
  readonly code: ErrorName
  readonly lsn: bigint
  readonly hlc: bigint
}

export interface AckFrame {
  readonly requestId: bigint
  readonly firstLsn: bigint
  readonly firstHlc: bigint
  readonly accepted: number
  /** The whole batch was refused. */
  readonly refused: ErrorName | undefined
  readonly detail: string
  readonly retryAfterMs: number
  readonly outcomes: readonly ItemOutcome[]
}

export type ServerFrame =
  | { readonly kind: 'welcome', readonly welcome: Welcome }
  | { readonly kind: 'acks', readonly acks: readonly AckFrame[], readonly creditBytes: number }
  | { readonly kind: 'receipt', readonly requestId: bigint, readonly durability: number, readonly receipt: Receipt }
  | { readonly kind: 'error', readonly error: DbError }
  | FeedFrame

const IDENTIFIER_OFFSET = 4

function identifierOf(bytes: Uint8Array): string {
  if (bytes.length < IDENTIFIER_OFFSET + 4) return ''
  return String.fromCharCode(...bytes.subarray(IDENTIFIER_OFFSET, IDENTIFIER_OFFSET + 4))
}

/** The bytes of an inline struct, which FlatBuffers gives no accessor for as a whole. A copy. */
function structBytes(struct: { bb_pos: number, bb: ByteBuffer | null } | null, length: number): Uint8Array {
  if (struct === null || struct.bb === null) throw malformed('without a required field')
  return struct.bb.bytes().slice(struct.bb_pos, struct.bb_pos + length)
}

const malformed = (what: string): DbError => new DbError('malformed_frame', `the server sent a frame ${what}`)

type Root = 'Welcome' | 'Acks' | 'Receipt' | 'ErrorFrame' | (typeof FEED_ROOTS)[FeedIdentifier]

function checked(root: Root, bytes: Uint8Array): ByteBuffer {
  const code = verifyBuffer(root, bytes)
  if (code !== 0) throw malformed(`that is no valid ${root} (${errorNameOf(code)})`)
  return new ByteBuffer(bytes)
}

/**
 * Reads one message of a server, whatever it holds.
 * @throws {DbError} `malformed_frame`, and nothing else.
 */
export function parseServerFrame(bytes: Uint8Array): ServerFrame {
  if (bytes.length > SERVER_FRAME_BYTES_MAX) throw malformed(`of ${bytes.length} bytes`)
  const identifier = identifierOf(bytes)
  switch (identifier) {
    case 'SWEL': return { kind: 'welcome', welcome: parseWelcome(checked('Welcome', bytes)) }
    case 'SACK': return parseAcks(checked('Acks', bytes))
    case 'SRCP': return parseReceipt(checked('Receipt', bytes))
    case 'SERR': return { kind: 'error', error: parseError(checked('ErrorFrame', bytes)) }
    case 'SSBD': case 'SDLV': case 'SANS': case 'SHBT': case 'SSUE': return parseFeedFrame(identifier, checked(FEED_ROOTS[identifier], bytes))
    default: throw malformed(`of an unknown kind (${JSON.stringify(identifier)})`)
  }
}

function parseWelcome(buffer: ByteBuffer): Welcome {
  const frame = WelcomeFrame.getRootAsWelcome(buffer)
  return {
    protocolVersion: frame.protocolVersion(),
    nodeId: structBytes(frame.nodeId(), HASH_BYTES),
    realm: frame.realm(),
    signaturesRequired: frame.signaturesRequired(),
    frameBytesMax: frame.frameBytesMax(),
    batchAssertionsMax: frame.batchAssertionsMax(),
    creditBytes: frame.creditBytes(),
    durableLsn: frame.durableLsn(),
    durableHlc: frame.durableHlc(),
    serverVersion: frame.serverVersion() ?? '',
  }
}

function parseAcks(buffer: ByteBuffer): ServerFrame {
  const frame = Acks.getRootAsAcks(buffer)
  const acks = Array.from({ length: frame.acksLength() }, (_, i) => {
    const ack = frame.acks(i)!
    const refused = ack.refused()
    return {
      requestId: ack.requestId(),
      firstLsn: ack.firstLsn(),
      firstHlc: ack.firstHlc(),
      accepted: ack.accepted(),
      refused: refused === 0 ? undefined : errorNameOf(refused),
      detail: ack.detail() ?? '',
      retryAfterMs: ack.retryAfterMs(),
      outcomes: Array.from({ length: ack.outcomesLength() }, (_, k) => {
        const outcome = ack.outcomes(k)!
        return { index: outcome.index(), code: errorNameOf(outcome.code()), lsn: outcome.lsn(), hlc: outcome.hlc() }
      }),
    }
  })
  return { kind: 'acks', acks, creditBytes: frame.creditBytes() }
}

function parseReceipt(buffer: ByteBuffer): ServerFrame {
  const frame = ReceiptFrame.getRootAsReceipt(buffer)
  const path = new Uint8Array(frame.pathLength() * HASH_BYTES)
  for (let i = 0; i < frame.pathLength(); i++) {
    path.set(structBytes(frame.path(i) as Hash | null, HASH_BYTES), i * HASH_BYTES)
  }
  return {
    kind: 'receipt',
    requestId: frame.requestId(),
    durability: frame.durability(),
    receipt: {
      nodeId: structBytes(frame.nodeId(), HASH_BYTES),
      firstLsn: frame.firstLsn(),
      firstHlc: frame.firstHlc(),
      accepted: frame.accepted(),
      batchRoot: structBytes(frame.batchRoot(), HASH_BYTES),
      leafIndex: frame.leafIndex(),
      leafCount: frame.leafCount(),
      path,
      groupRoot: structBytes(frame.groupRoot(), HASH_BYTES),
      signature: structBytes(frame.signature(), SIGNATURE_BYTES),
    },
  }
}

function parseError(buffer: ByteBuffer): DbError {
  const frame = ErrorFrame.getRootAsErrorFrame(buffer)
  return new DbError(errorNameOf(frame.code()), frame.detail(), { from: 'server', name: frame.name() })
}
