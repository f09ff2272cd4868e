import { bytesEqual, concatBytes } from '../../src/base/bytes.ts'
import { isDbError } from '../../src/base/errors.ts'
import { resultsOf } from '../../src/client/acks.ts'
import { parseServerFrame } from '../../src/client/frames.ts'
import { readAcks } from '../../src/cli/load/acks-reader.ts'
import { FrameParser, frameOf } from '../../src/cli/load/raw-ws.ts'
import { leafHashOf, verifyInclusion } from '../../src/merkle/proof.ts'
import { verifyReceipt } from '../../src/merkle/receipt.ts'
import { pathOfId, rootOfIds } from '../../src/merkle/tree.ts'
import { encodeAcks, encodeError, encodeReceipt, encodeWelcome } from '../unit/client/fake-node.ts'
import { flatbufferMutation } from './flatbuffers.mutations.ts'
import type { FuzzTarget } from './fuzzer.ts'
import { pick, viewOf, INTERESTING } from './mutations.ts'

const ACKS = [
  encodeAcks([{ requestId: 1n, firstLsn: 3, accepted: 1, outcomes: [{ index: 0, code: 24 }, { index: 2, code: 1, lsn: 9 }] }, { requestId: 2n, refused: 'disk_full', retryAfterMs: 5 }], 1),
  encodeAcks([], 0),
]
const ITEMS = Array.from({ length: 3 }, (_, i) => ({ id: new Uint8Array(32).fill(i), encoded: new Uint8Array(0) }))

const serverFrameTarget: FuzzTarget = {
  name: 'server-frame',
  seeds: () => [
    encodeWelcome({ realm: 'r', signaturesRequired: true, creditBytes: 5, frameBytesMax: 6, batchAssertionsMax: 7, protocolVersion: 1 }),
    encodeError('internal'), encodeReceipt(1n, new Uint8Array(32)), ...ACKS,
  ],
  mutations: [flatbufferMutation('Acks'), flatbufferMutation('Receipt'), flatbufferMutation('Welcome'), flatbufferMutation('ErrorFrame')],
  run(input) {
    try {
      const frame = parseServerFrame(input)
      if (frame.kind === 'receipt') verifyReceipt(frame.receipt, new Uint8Array(32), () => true)
      if (frame.kind === 'acks') for (const ack of frame.acks) if (resultsOf(ITEMS, ack).length !== ITEMS.length) throw new Error('not a result an item')
      return true
    } catch (error) {
      if (isDbError(error) && error.code !== 'malformed_frame') throw new Error(`it promises malformed_frame and threw ${error.code}`, { cause: error })
      throw error
    }
  },
}

/** The load generator's reader of the same frames, without the verifier: wrong numbers are its due, reads outside are not. */
const fastAcksTarget: FuzzTarget = {
  name: 'fast-acks',
  seeds: () => [...ACKS],
  mutations: [flatbufferMutation('Acks')],
  run(input) {
    let acks = 0
    readAcks(viewOf(input), (ack) => {
      acks++
      if (ack.outcomeCount > 0 && ack.outcomesAt + 24 * ack.outcomeCount > input.length) throw new Error('outcomes lie outside')
    })
    return acks > 0
  },
}

const bare = (payload: Uint8Array, opcode: number, final = true): Uint8Array => {
  const masked = frameOf(payload, opcode)
  // A server's frame: without the bit and the key of the mask.
  const key = masked.length - payload.length - 4
  masked[0] = (final ? 0x80 : 0) | opcode
  masked[1]! &= 0x7f
  return concatBytes(masked.subarray(0, key), payload)
}

function messagesOf(input: Uint8Array, chunkBytes: number): string[] {
  const seen: string[] = []
  const note = (kind: string) => (bytes: Uint8Array | string): void => { seen.push(kind + (typeof bytes === 'string' ? bytes : Buffer.from(bytes).toString('hex'))) }
  const parser = new FrameParser({ message: note('m'), ping: note('p'), closed: note('c') })
  try {
    for (let at = 0; at < input.length; at += chunkBytes) parser.push(input.subarray(at, at + chunkBytes))
  } catch (error) {
    if (!isDbError(error)) throw error
    seen.push(error.message)
  }
  return seen
}

const webSocketTarget: FuzzTarget = {
  name: 'load-websocket',
  seeds: () => [
    concatBytes(bare(ACKS[0]!, 2), bare(new Uint8Array(3), 9), bare(Uint8Array.of(3, 232, 65), 8)),
    concatBytes(bare(new Uint8Array(5), 2, false), bare(new Uint8Array(0), 0, false), bare(new Uint8Array(200).fill(1), 0)),
    bare(new Uint8Array(1000).fill(2), 2),
  ],
  mutations: [(bytes, random) => {
    bytes[random.u32() % bytes.length] = pick([0x80, 0x81, 0x82, 0x88, 0x89, 0, 1, 2, 126, 127, 254, 255], random)
    return bytes
  }],
  run(input) {
    const whole = messagesOf(input, Math.max(1, input.length))
    if (JSON.stringify(messagesOf(input, 1 + input.length % 13)) !== JSON.stringify(whole)) throw new Error('messages depend on how they came')
    return whole.some((message) => message.startsWith('m'))
  },
}

const IDS = concatBytes(...Array.from({ length: 7 }, (_, i) => new Uint8Array(32).fill(i + 1)))
const ROOT = rootOfIds(IDS)

/** Index and count as doubles, an id, and a path: whatever is said to be in the tree must be one of its seven ids. */
const proofTarget: FuzzTarget = {
  name: 'merkle-proof',
  seeds: () => Array.from({ length: 7 }, (_, i) => {
    const head = new Uint8Array(16)
    viewOf(head).setFloat64(0, i, true)
    viewOf(head).setFloat64(8, 7, true)
    return concatBytes(head, IDS.subarray(32 * i, 32 * i + 32), pathOfId(IDS, i))
  }),
  mutations: [
    (bytes, random) => {
      if (bytes.length >= 16) viewOf(bytes).setFloat64(8 * (random.u32() & 1), pick([...INTERESTING, Number.NaN, -1, 0.5, 2 ** 53, Infinity, 6, 9], random), true)
      return bytes
    },
    // A node of the tree where an id is asked for: without tags for leaves and nodes it would pass.
    (bytes, random) => {
      if (bytes.length >= 80) bytes.set(leafHashOf(IDS.subarray(0, 32)), random.u32() & 1 ? 16 : 48)
      return bytes
    },
    (bytes, random) => Buffer.concat([bytes.subarray(0, 48), bytes.subarray(48 + 32 * (random.u32() % 3))]),
  ],
  run(input) {
    if (input.length < 48) return false
    const view = viewOf(input)
    const id = input.subarray(16, 48)
    if (!verifyInclusion(id, view.getFloat64(0, true), view.getFloat64(8, true), input.subarray(48), ROOT)) return false
    for (let i = 0; i < 7; i++) if (bytesEqual(id, IDS.subarray(32 * i, 32 * i + 32))) return true
    throw new Error('a proof of what is not in the tree')
  },
}

export const clientTargets: readonly FuzzTarget[] = [serverFrameTarget, fastAcksTarget, webSocketTarget, proofTarget]
