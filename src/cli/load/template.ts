import { assert } from '../../base/assert.ts'
import type { Assertion } from '../../record/assertion.ts'
import { blake3 } from '../../record/blake3.ts'
import { claimBytesOf } from '../../record/claim.ts'
import { HASH_BYTES, NOTE_BYTES_MAX, SIGNATURE_BYTES } from '../../record/limits.ts'
import { BLOCK_BYTES, CHUNK_BYTES, LANES, LANE_INPUT, LANE_OUTPUT } from '../../merkle/blake3.layout.ts'
import { blake3Kernel } from '../../merkle/blake3.ts'
import { encodeAssertion } from '../../wire/assertion.codec.ts'
import { BatchView, encodeBatch } from '../../wire/batch.codec.ts'
import type { SignMode } from '../../client/seal.ts'
import { headerBytesOf, writeHeader } from './raw-ws.ts'

/**
 * Frames by the million, all different, for the cost of a copy: one frame is encoded in full, and every further one is
 * that frame with its request id and the number in each subject overwritten. Ids are those of the claim bytes with the same
 * digits overwritten.
 */

/** Hex digits of the number that makes a subject unlike all others. */
const DIGITS = 12
const MARKER_REQUEST_ID = 0xfedc_ba98_7654_3210n
/** Frames with few assertions cycle through so many templates, so that predicates and values differ. */
export const TEMPLATES = 8

const NAMES = ['dose', 'risk', 'cost', 'size', 'rate', 'mass', 'span', 'grip'] as const

const HEX_PAIRS = new Uint16Array(256)
for (let i = 0; i < 256; i++) {
  const text = i.toString(16).padStart(2, '0')
  HEX_PAIRS[i] = text.charCodeAt(0) | (text.charCodeAt(1) << 8)
}

/** Spreads 0, 1, 2, ... over the 32-bit numbers without a collision (odd multiplier), so that subjects do not come in order. */
const scramble = (n: number): number => Math.imul(n, 0x9e37_79b1) >>> 0

/** Writes assertion `n`'s 12 digits: 16 high bits plain, 32 low bits scrambled. */
export function writeDigits(out: Uint8Array, at: number, n: number): void {
  const high = Math.floor(n / 0x1_0000_0000)
  const low = scramble(n)
  let offset = at
  offset = writePair(out, offset, (high >>> 8) & 255)
  offset = writePair(out, offset, high & 255)
  offset = writePair(out, offset, low >>> 24)
  offset = writePair(out, offset, (low >>> 16) & 255)
  offset = writePair(out, offset, (low >>> 8) & 255)
  writePair(out, offset, low & 255)
}

function writePair(out: Uint8Array, at: number, byte: number): number {
  const pair = HEX_PAIRS[byte]!
  out[at] = pair & 255
  out[at + 1] = pair >> 8
  return at + 2
}

/** The subject of assertion `n` of a run. */
export function subjectOf(runId: string, n: number): string {
  const digits = new Uint8Array(DIGITS)
  writeDigits(digits, 0, n)
  return `load/${runId}/${new TextDecoder().decode(digits)}`
}

export interface TemplateOptions {
  readonly runId: string
  readonly batch: number
  readonly sign: SignMode
  readonly agent: Uint8Array
  readonly recordBytes: number
  readonly assertedAtMs: number
}

/** Text that does not compress to nothing. */
function padding(seed: number, length: number): string {
  let text = ''
  for (let i = 0, x = seed + 1; i < length; i++) {
    x = Math.imul(x ^ (x >>> 15), 0x2c1b_3c6d) + i
    text += String.fromCharCode(97 + ((x >>> 8) & 15))
  }
  return text
}

function assertionOf(options: TemplateOptions, kind: number, noteBytes: number): Assertion {
  return {
    subject: subjectOf(options.runId, 0),
    predicate: `measured-${NAMES[kind % NAMES.length]!}`,
    object: { kind: 'number', value: 1 + kind * 1.25 },
    confidence: 0.5 + (kind % NAMES.length) / 20,
    sourceClass: (kind % 5) as 0 | 1 | 2 | 3 | 4,
    sourceHash: new Uint8Array(HASH_BYTES).fill(kind + 1),
    lifecycle: 'proposed',
    agent: options.agent,
    assertedAtMs: options.assertedAtMs,
    ...(noteBytes > 0 ? { note: padding(kind, noteBytes) } : {}),
  }
}

/** The longest note with which an encoded assertion has at most `recordBytes`. */
function noteBytesFor(options: TemplateOptions): number {
  const { length } = encodeAssertion(assertionOf(options, 0, 1))
  // Both sizes are rounded up to a multiple of 8 by the encoder.
  return Math.min(NOTE_BYTES_MAX, Math.max(1, options.recordBytes - length + 1))
}

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text)

function indexOfOnce(bytes: Uint8Array, needle: Uint8Array): number {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const at = buffer.indexOf(needle)
  assert(at >= 0 && buffer.indexOf(needle, at + 1) < 0, 'a template has its marker once')
  return at
}

/** A template: one frame as it goes out, and where to overwrite it. */
class Template {
  /** WebSocket header and Batch. */
  readonly frame: Uint8Array
  readonly payloadBytes: number
  readonly requestIdAt: number
  /** By item, in the frame and in its claim: where the digits begin. */
  readonly digitsAt: Int32Array
  readonly claimDigitsAt: Int32Array
  readonly claims: readonly Uint8Array[]
  /** Of the batch's signature, or of each item's; empty where none. */
  readonly signaturesAt: Int32Array

  constructor(options: TemplateOptions, shift: number, noteBytes: number) {
    const { batch, sign, agent, runId } = options
    const assertions = Array.from({ length: batch }, (_, i) => assertionOf(options, i + shift, noteBytes))
    const encoded = assertions.map((assertion) => encodeAssertion(assertion))
    const blank = new Uint8Array(SIGNATURE_BYTES)
    const payload = encodeBatch({
      requestId: MARKER_REQUEST_ID,
      flags: 0,
      ...(sign === 'batch' ? { agent, signature: blank } : {}),
      items: encoded.map((bytes) => (sign === 'single' ? { assertion: bytes, signature: blank } : { assertion: bytes })),
    })
    const headerBytes = headerBytesOf(payload.length)
    this.payloadBytes = payload.length
    this.frame = new Uint8Array(headerBytes + payload.length)
    this.frame.set(payload, writeHeader(this.frame, 0, payload.length))
    const marker = new Uint8Array(8)
    new DataView(marker.buffer).setBigUint64(0, MARKER_REQUEST_ID, true)
    this.requestIdAt = indexOfOnce(this.frame, marker)
    const view = new BatchView().reset(payload)
    const prefix = ascii(`load/${runId}/`)
    this.claims = assertions.map((assertion) => claimBytesOf(assertion))
    this.claimDigitsAt = Int32Array.from(this.claims, (claim) => indexOfOnce(claim, prefix) + prefix.length)
    this.digitsAt = Int32Array.from(encoded, (bytes, i) => headerBytes + view.itemOffset(i) + indexOfOnce(bytes, prefix) + prefix.length)
    this.signaturesAt = sign === 'none' ? new Int32Array(0)
      : sign === 'batch' ? Int32Array.of(headerBytes + view.signatureOffset)
        : Int32Array.from(encoded, (_, i) => headerBytes + view.itemSignatureOffset(i))
  }
}

/** Makes frame number 0, 1, 2, ... of a run, and their ids. All frames have the same size. */
export class FrameMaker {
  readonly batch: number
  readonly sign: SignMode
  /** Of a whole WebSocket frame, and of the Batch in it. */
  readonly frameBytes: number
  readonly payloadBytes: number
  readonly recordBytes: number
  readonly #templates: readonly Template[]
  readonly #claimBytes: number

  constructor(options: TemplateOptions) {
    this.batch = options.batch
    this.sign = options.sign
    const noteBytes = noteBytesFor(options)
    const count = options.batch >= TEMPLATES ? 1 : TEMPLATES
    this.#templates = Array.from({ length: count }, (_, i) => new Template(options, i * options.batch, noteBytes))
    const first = this.#templates[0]!
    this.frameBytes = first.frame.length
    this.payloadBytes = first.payloadBytes
    this.recordBytes = encodeAssertion(assertionOf(options, 0, noteBytes)).length
    this.#claimBytes = first.claims[0]!.length
    for (const template of this.#templates) {
      assert(template.frame.length === this.frameBytes, 'templates have one size')
      for (const claim of template.claims) assert(claim.length === this.#claimBytes, 'claims have one size')
    }
  }

  #of(index: number): Template {
    return this.#templates[index % this.#templates.length]!
  }

  /** Writes frame `index`, unsigned, at `at` of `out`. */
  write(out: Uint8Array, at: number, index: number): void {
    const template = this.#of(index)
    out.set(template.frame, at)
    const requestAt = at + template.requestIdAt
    for (let i = 0, rest = index; i < 8; i++) {
      out[requestAt + i] = rest & 255
      rest = Math.floor(rest / 256)
    }
    const { digitsAt } = template
    const first = index * this.batch
    for (let i = 0; i < digitsAt.length; i++) writeDigits(out, at + digitsAt[i]!, first + i)
  }

  /** Puts signatures (64 bytes each: one, or one an item) into the frame that begins at `at`. */
  setSignature(out: Uint8Array, at: number, index: number, item: number, signature: Uint8Array): void {
    out.set(signature, at + this.#of(index).signaturesAt[item]!)
  }

  /** The ids of frame `index`, 32 bytes each. */
  idsInto(out: Uint8Array, index: number): void {
    const { claims, claimDigitsAt } = this.#of(index)
    const first = index * this.batch
    if (this.#claimBytes > CHUNK_BYTES) {
      for (let i = 0; i < this.batch; i++) {
        const claim = claims[i]!
        writeDigits(claim, claimDigitsAt[i]!, first + i)
        out.set(blake3(claim), i * HASH_BYTES)
      }
      return
    }
    const kernel = blake3Kernel()
    const { memory } = kernel
    const length = this.#claimBytes
    const padded = Math.ceil(length / BLOCK_BYTES) * BLOCK_BYTES
    for (let i = 0; i < this.batch; i += LANES) {
      const lanes = Math.min(LANES, this.batch - i)
      for (let lane = 0; lane < lanes; lane++) {
        const at = LANE_INPUT + lane * CHUNK_BYTES
        memory.set(claims[i + lane]!, at)
        memory.fill(0, at + length, at + padded)
        writeDigits(memory, at + claimDigitsAt[i + lane]!, first + i + lane)
      }
      kernel.hashLanes(length, lanes > 1 ? length : 0, lanes > 2 ? length : 0, lanes > 3 ? length : 0)
      for (let k = 0; k < lanes * HASH_BYTES; k++) out[i * HASH_BYTES + k] = memory[LANE_OUTPUT + k]!
    }
  }
}
