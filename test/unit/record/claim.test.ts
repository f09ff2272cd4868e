import { blake3 } from 'hash-wasm'
import t from 'tap'
import { toHex } from '../../../src/base/bytes.ts'
import { ERROR_CODES, errorNameOf } from '../../../src/base/error-codes.ts'
import { DbError } from '../../../src/base/errors.ts'
import type { Assertion } from '../../../src/record/assertion.ts'
import { assertionFromJson } from '../../../src/record/assertion.json.ts'
import { assertionIdOf, claimBytesOf, initHash } from '../../../src/record/claim.ts'
import { CLAIM_BYTES_MAX } from '../../../src/record/limits.ts'
import { AssertionView } from '../../../src/wire/assertion-view.ts'
import { claimFaultField, claimIdInto, claimOfView } from '../../../src/wire/claim-id.ts'
import { decodeAssertion, encodeAssertion } from '../../../src/wire/assertion.codec.ts'
import { verifyBuffer, verifyFault } from '../../../src/wire/verifier.ts'
import { assertionOf } from './arbitrary.ts'
import { bufferOf, floatsOf, numberOf, plainOf, readVectors, textBytes, type VectorClaim } from './vectors.ts'

await initHash()
const vectors = readVectors()
const accepted = vectors.filter((vector) => vector.error === undefined)
const refused = vectors.filter((vector) => vector.error !== undefined)

/** The table of docs/formats/claim.md once more, sharing nothing with src/. */
function referenceClaim(claim: VectorClaim): Uint8Array {
  const parts: Uint8Array[] = []
  const u8 = (value: number): void => void parts.push(Uint8Array.of(value))
  const u32 = (value: number): void => void parts.push(new Uint8Array(Uint32Array.of(value).buffer))
  const fixed = (hex: string): void => void parts.push(Buffer.from(hex, 'hex'))
  const sized = (bytes: Uint8Array): void => {
    u32(bytes.length)
    parts.push(bytes)
  }
  const f64 = (value: number): void => void parts.push(new Uint8Array(Float64Array.of(value).buffer))
  const optional = <T>(value: T | undefined, write: (value: T) => void): void => {
    u8(value === undefined ? 0 : 1)
    if (value !== undefined) write(value)
  }
  const text = (value: Parameters<typeof textBytes>[0]): void => sized(textBytes(value))
  parts.push(Buffer.from('stemedb.claim.v1\0'))
  text(claim.subject!)
  text(claim.predicate!)
  u8(['', 'text', 'number', 'boolean', 'reference'].indexOf(claim.object!.type))
  const value = claim.object!.value
  if (claim.object!.type === 'number') f64(numberOf(value as number))
  else if (claim.object!.type === 'boolean') u8(value ? 1 : 0)
  else text(value as string)
  f64(numberOf(claim.confidence))
  u8(claim.source_class)
  fixed(claim.source_hash!)
  optional(claim.source_uri, text)
  u8(['', 'proposed', 'under_review', 'approved', 'deprecated', 'rejected', 'retracted'].indexOf(claim.lifecycle!))
  optional(claim.epoch, fixed)
  optional(claim.parent, fixed)
  fixed(claim.agent!)
  parts.push(new Uint8Array(BigUint64Array.of(BigInt(claim.asserted_at)).buffer))
  optional(claim.note, text)
  optional(claim.vector, (floats) => {
    const elements = floatsOf(floats)
    u32(elements.length)
    parts.push(new Uint8Array(elements.buffer))
  })
  return new Uint8Array(Buffer.concat(parts))
}

/** The name of the code of a buffer, and the field that it is about. */
function refusalOf(buffer: Uint8Array): { error: string, field: string } | undefined {
  const structural = verifyBuffer('Assertion', buffer)
  if (structural !== 0) return { error: errorNameOf(structural), field: /Assertion\.(\w+):/.exec(verifyFault())?.[1] ?? '' }
  const code = claimIdInto(new AssertionView().reset(buffer), new Uint8Array(32), 0)
  return code === 0 ? undefined : { error: errorNameOf(code), field: claimFaultField().replace('asserted_at_ms', 'asserted_at') }
}

function errorOf(action: () => unknown): { error: string, field: string } | undefined {
  try {
    action()
    return undefined
  } catch (error) {
    if (!(error instanceof DbError)) throw error
    return { error: error.code, field: String(error.details['pointer']).split('/')[1]! }
  }
}

const snake = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`).replace(/_ms$/, '')

t.test('there are enough vectors, of different names', async (t) => {
  t.ok(accepted.length >= 30)
  t.ok(refused.length >= 30)
  t.equal(new Set(vectors.map((vector) => vector.name)).size, vectors.length)
  t.equal(new Set(accepted.map((vector) => vector.id_hex)).size, accepted.length)
})

for (const vector of accepted) {
  t.test(`accepted: ${vector.name}`, async (t) => {
    const plain = plainOf(vector.claim)
    const claim = claimBytesOf(plain)
    if (vector.claim_bytes_hex !== undefined) t.equal(toHex(claim), vector.claim_bytes_hex)
    t.equal(claim.length, vector.claim_bytes_length)
    t.ok(Buffer.from(claim).equals(referenceClaim(vector.claim)), 'the reference agrees')
    t.equal(await blake3(claim), vector.id_hex)
    t.equal(toHex(assertionIdOf(plain)), vector.id_hex)
    for (const buffer of [encodeAssertion(plain), bufferOf(vector.claim), bufferOf(vector.claim, true)]) {
      t.equal(verifyBuffer('Assertion', buffer), 0)
      const view = new AssertionView().reset(buffer)
      const id = new Uint8Array(40)
      t.equal(claimIdInto(view, id, 4), 0)
      t.equal(toHex(id.subarray(4, 36)), vector.id_hex)
      t.strictSame([...id.subarray(0, 4), ...id.subarray(36)], Array(8).fill(0), 'nothing beside the id is written')
      const ofView = claimOfView(view)
      t.ok(typeof ofView !== 'number' && Buffer.from(ofView).equals(claim))
      t.ok(Buffer.from(claimBytesOf(decodeAssertion(buffer))).equals(claim))
    }
  })
}

for (const vector of refused) {
  t.test(`refused: ${vector.name}`, async (t) => {
    const expected = { error: vector.error!, field: vector.field! }
    t.strictSame(refusalOf(bufferOf(vector.claim)), expected, 'in a buffer')
    if (vector.encoders === 'can not say it') return
    if (vector.encoders === undefined) {
      const plain = plainOf(vector.claim)
      const ofPlain = errorOf(() => claimBytesOf(plain))
      t.strictSame(ofPlain && { ...ofPlain, field: snake(ofPlain.field) }, expected, 'in plain data')
      t.ok(errorOf(() => encodeAssertion(plain)) !== undefined, 'by the encoder')
    } else {
      const same = accepted.find(({ name }) => `normalise: ${name}` === vector.encoders)
      t.equal(toHex(assertionIdOf(plainOf(vector.claim))), same?.id_hex, 'plain data is normalised')
      t.equal(toHex(assertionIdOf(decodeAssertion(encodeAssertion(plainOf(vector.claim))))), same?.id_hex)
    }
  })
}

t.test('JSON refuses what the vectors refuse, at the same member', async (t) => {
  for (const { name, claim, error, field } of refused.filter((vector) => vector.encoders === undefined)) {
    if (JSON.stringify(claim).includes('_hex"')) continue
    if (field === 'source_hash' || field === 'lifecycle' && claim.lifecycle === undefined) continue
    const text = (value: unknown): unknown => (typeof value === 'object' && value !== null && 'repeat' in value ? Buffer.from(textBytes(value as never)).toString() : value)
    const json = Object.fromEntries(Object.entries(claim).map(([key, value]) => [key, key === 'vector' ? Array.from(floatsOf(value as never)) : text(value)]))
    if (claim.object !== undefined) json['object'] = { ...claim.object, value: text(claim.object.value) }
    const expected = name === 'object null' ? 'field_missing' : error
    t.strictSame(errorOf(() => assertionFromJson(json)), { error: expected, field }, name)
  }
  t.strictSame(errorOf(() => assertionFromJson({ subject: 'a', predicate: 'b', object: null })), { error: 'object_null', field: 'object' })
})

t.test('plain data of a wrong type is refused, not converted', async (t) => {
  const wrong: [Partial<Record<keyof Assertion, unknown>>, string][] = [
    [{ subject: 7 }, 'field_invalid'], [{ subject: null }, 'field_missing'], [{ confidence: '0.5' }, 'field_invalid'],
    [{ sourceClass: 1.5 }, 'field_invalid'], [{ sourceClass: '1' }, 'field_invalid'], [{ sourceHash: 'ab' }, 'field_invalid'],
    [{ sourceHash: new Uint8Array(31) }, 'field_invalid'], [{ agent: new Uint8Array(33) }, 'field_invalid'],
    [{ epoch: null }, 'field_invalid'], [{ assertedAtMs: 1.5 }, 'field_invalid'], [{ assertedAtMs: -1 }, 'field_invalid'],
    [{ assertedAtMs: Number.NaN }, 'field_invalid'], [{ vector: [1, 2] }, 'field_invalid'], [{ object: { kind: 'boolean', value: 1 } }, 'field_invalid'],
    [{ object: { kind: 'date', value: 1 } }, 'field_invalid'], [{ object: null }, 'object_null'], [{ object: { kind: 'number', value: '7' } }, 'field_invalid'],
  ]
  for (const [change, code] of wrong) {
    const [field] = Object.keys(change)
    t.strictSame(errorOf(() => claimBytesOf(assertionOf(change as Partial<Assertion>))), { error: code, field }, JSON.stringify(change))
  }
})

t.test('the longest claim is as long as the limit says, less the object\'s spare bytes', async (t) => {
  const longest = accepted.find((vector) => vector.name === 'everything largest')!
  // Characters of three bytes do not fill 65,536, and a text needs no room for the longest fixed value.
  t.equal(longest.claim_bytes_length, CLAIM_BYTES_MAX - 4 - (65536 - 2 * 10922 * 3))
})

t.test('an earlier claim stays what it was when the next is computed', async (t) => {
  const first = claimBytesOf(assertionOf({ subject: 'a' }))
  const copy = first.slice()
  claimBytesOf(assertionOf({ subject: 'b' }))
  t.strictSame(first, copy)
  t.throws(() => claimBytesOf(assertionOf({ predicate: '' })))
  t.strictSame(claimBytesOf(assertionOf({ subject: 'a' })), copy, 'a refusal leaves nothing behind')
})

t.test('codes that refusals use exist', async (t) => {
  for (const vector of refused) t.ok(vector.error! in ERROR_CODES)
})
