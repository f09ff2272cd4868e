import fc from 'fast-check'
import { LIFECYCLES, type Assertion, type ObjectValue, type SourceClass } from '../../../src/record/assertion.ts'

/** Text of all planes without lone surrogates; short, and now and then long. */
const text = fc.oneof(
  { weight: 4, arbitrary: fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }) },
  { weight: 2, arbitrary: fc.string({ minLength: 1, maxLength: 40 }) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', minLength: 200, maxLength: 900 }) },
)
// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u001f\u007f]/g
const name = fc.string({ unit: 'binary', minLength: 1, maxLength: 30 }).map((value) => value.replaceAll(CONTROL, '_'))
const segment = name.map((value) => value.replaceAll('/', '-'))
const path = fc.array(segment, { minLength: 1, maxLength: 4 }).map((segments) => segments.join('/'))
const scheme = fc.stringMatching(/^[a-zA-Z][a-zA-Z0-9+.-]{0,8}$/)

export const arbitrarySubject = fc.oneof(path, fc.tuple(scheme, path).map(([name, rest]) => `${name}://${rest}`))
export const arbitraryHash = fc.uint8Array({ minLength: 32, maxLength: 32 })
const finite = fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0)

export const arbitraryObject: fc.Arbitrary<ObjectValue> = fc.oneof(
  fc.oneof(text, fc.constant('')).map((value) => ({ kind: 'text' as const, value })),
  finite.map((value) => ({ kind: 'number' as const, value })),
  fc.boolean().map((value) => ({ kind: 'boolean' as const, value })),
  name.map((value) => ({ kind: 'reference' as const, value })),
)

/** Assertions that keep every rule. */
export const arbitraryAssertion: fc.Arbitrary<Assertion> = fc.record({
  subject: arbitrarySubject,
  predicate: name,
  object: arbitraryObject,
  confidence: fc.double({ min: 0, max: 1, noNaN: true }).map((value) => value + 0),
  sourceClass: fc.integer({ min: 0, max: 5 }) as fc.Arbitrary<SourceClass>,
  sourceHash: arbitraryHash,
  sourceUri: name,
  lifecycle: fc.constantFrom(...LIFECYCLES),
  epoch: arbitraryHash,
  parent: arbitraryHash,
  agent: arbitraryHash,
  assertedAtMs: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
  note: text,
  vector: fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), { minLength: 1, maxLength: 20 })
    .map((values) => Float32Array.from(values, (value) => value + 0)),
}, {
  requiredKeys: ['subject', 'predicate', 'object', 'confidence', 'sourceClass', 'sourceHash', 'lifecycle', 'agent', 'assertedAtMs'],
  noNullPrototype: true,
}) as fc.Arbitrary<Assertion>

/** A plain one, with parts replaced. */
export function assertionOf(changes: Partial<Assertion> = {}): Assertion {
  return {
    subject: 'drug/aspirin/safety', predicate: 'has_risk', object: { kind: 'text', value: 'bleeding' }, confidence: 0.75,
    sourceClass: 1, sourceHash: new Uint8Array(32), lifecycle: 'proposed', agent: new Uint8Array(32).fill(7),
    assertedAtMs: 1_767_225_600_000, ...changes,
  }
}
