import { seededRandom } from '../../src/base/random.ts'
import type { Assertion } from '../../src/record/assertion.ts'
import { encodeAssertion } from '../../src/wire/assertion.codec.ts'
import { encodeBatch } from '../../src/wire/batch.codec.ts'

/** The curve's base point: a good public key for what is not signed. */
const AGENT = Uint8Array.from({ length: 32 }, (_, i) => (i === 0 ? 0x58 : 0x66))

/** The k-th assertion of all micro-benches: about 300 bytes, no two alike. */
export function assertionAt(index: number): Assertion {
  const random = seededRandom(index)
  return {
    subject: `drug/compound-${random.u32() % 1_000_000}/trial/${index}`, predicate: 'has_side_effect',
    object: { kind: 'text', value: `observed in ${random.u32()} of ${random.u32()} patients, table ${index}` }, confidence: (random.u32() % 101) / 100,
    sourceClass: 1, sourceHash: Uint8Array.from({ length: 32 }, () => random.u32()), lifecycle: 'approved', agent: AGENT,
    assertedAtMs: 1_750_000_000_000 + index, note: `row ${index}`,
  }
}

export const encodedAt = (index: number): Uint8Array => encodeAssertion(assertionAt(index))

/** An unsigned batch of `count` assertions from the `first` on. */
export const batchAt = (first: number, count: number): Uint8Array =>
  encodeBatch({ requestId: BigInt(first), items: Array.from({ length: count }, (_, i) => ({ assertion: encodedAt(first + i) })) })
