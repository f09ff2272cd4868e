import { toHex } from '../../src/base/bytes.ts'
import { seededRandom } from '../../src/base/random.ts'
import type { Assertion } from '../../src/record/assertion.ts'
import { assertionIdOf, initHash } from '../../src/record/claim.ts'
import { encodeAssertion } from '../../src/wire/assertion.codec.ts'

export interface Claim {
  /** Hex. */
  readonly id: string
  readonly assertion: Assertion
  /** The encoded assertion. */
  readonly bytes: Uint8Array
  readonly print: string
}

/** The base point of the curve's group: a public key that is neither weak nor anybody's. */
const AGENT = Uint8Array.from({ length: 32 }, (_, i) => (i === 0 ? 0x58 : 0x66))

const printOf = (subject: string, predicate: string, object: string, confidence: number, note: string): string =>
  [subject, predicate, object, confidence, note].join('\u0001')

/** The print of an assertion with a text as its object, which all of these have. */
export const printOfAssertion = ({ subject, predicate, object, confidence, note }: Assertion): string =>
  printOf(subject, predicate, String(object.value), confidence, String(note))

/** The same print from the JSON of an assertion that the server gave. */
export function printOfJson(json: { subject?: unknown, predicate?: unknown, object?: unknown, confidence?: unknown, note?: unknown }): string {
  const object = json.object
  const text = typeof object === 'object' && object !== null ? String((object as { value?: unknown }).value) : String(object)
  return printOf(String(json.subject), String(json.predicate), text, Number(json.confidence), String(json.note))
}

/** Claims without end, no two alike; each carries its number and a text that follows from it. One seed, one sequence. */
export class ClaimSource {
  readonly #seed: number
  readonly #assertedAtMs: number
  readonly #subjects: number
  #next = 0

  /** `await initHash()` first (see {@link claimSource}). */
  constructor(seed: number, assertedAtMs: number, subjects = 64) {
    this.#seed = seed
    this.#assertedAtMs = assertedAtMs
    this.#subjects = subjects
  }

  next(): Claim {
    const number = this.#next++
    const random = seededRandom(this.#seed ^ Math.imul(number, 0x9e3779b1))
    let text = `${this.#seed}:${number}:`
    const length = 40 + random.u32() % 300
    while (text.length < length) text += random.u32().toString(36)
    const subject = `fault/${this.#seed}/${random.u32() % this.#subjects}`
    const predicate = `p${random.u32() % 4}`
    const confidence = (random.u32() % 101) / 100
    const note = `n${number}`
    const assertion: Assertion = {
      subject, predicate, object: { kind: 'text', value: text }, confidence, sourceClass: 3, sourceHash: new Uint8Array(32),
      lifecycle: 'proposed', agent: AGENT, assertedAtMs: this.#assertedAtMs, note,
    }
    return {
      id: toHex(assertionIdOf(assertion)), assertion, bytes: encodeAssertion(assertion),
      print: printOf(subject, predicate, text, confidence, note),
    }
  }
}

export async function claimSource(seed: number, assertedAtMs: number, subjects?: number): Promise<ClaimSource> {
  await initHash()
  return new ClaimSource(seed, assertedAtMs, subjects)
}
