import fc from 'fast-check'
import t from 'tap'
import { toHex } from '../../../src/base/bytes.ts'
import { DbError } from '../../../src/base/errors.ts'
import { agentFromText, agentToDidKey } from '../../../src/record/agent-key.ts'
import { SOURCE_CLASSES } from '../../../src/record/assertion.ts'
import { assertionFromJson, assertionToJson, parseRfc3339 } from '../../../src/record/assertion.json.ts'
import { claimBytesOf } from '../../../src/record/claim.ts'
import { JSON_DEPTH_MAX, parseStrictJson } from '../../../src/record/strict-json.ts'
import { arbitraryAssertion, arbitraryHash } from './arbitrary.ts'

const AGENT_HEX = 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a'
const AGENT_DID = 'did:key:z6MktwupdmLXVVqTzCw4i46r4uGyosGXRnR3XjN4Zq7oMMsw'
const MINIMAL = { subject: 'a', predicate: 'b', object: 'c', confidence: 1, agent: AGENT_HEX, asserted_at: 5 }

function errorOf(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    if (error instanceof DbError) return `${error.code} ${String(error.details['pointer'])}`
    throw error
  }
  return 'none'
}

t.test('JSON there and back is the same claim', async () => {
  fc.assert(fc.property(arbitraryAssertion, (assertion) => {
    const text = JSON.stringify(assertionToJson(assertion))
    const back = assertionFromJson(parseStrictJson(text))
    return Buffer.from(claimBytesOf(back)).equals(claimBytesOf(assertion)) && JSON.stringify(assertionToJson(back)) === text
  }), { numRuns: 300 })
})

t.test('defaults, and short forms', async (t) => {
  const assertion = assertionFromJson(MINIMAL)
  t.match(assertion, { sourceClass: 5, lifecycle: 'proposed', object: { kind: 'text', value: 'c' }, assertedAtMs: 5 })
  t.strictSame(assertion.sourceHash, new Uint8Array(32))
  t.notOk('note' in assertion)
  t.strictSame(assertionFromJson({ ...MINIMAL, object: 7 }).object, { kind: 'number', value: 7 })
  t.strictSame(assertionFromJson({ ...MINIMAL, object: false }).object, { kind: 'boolean', value: false })
  t.strictSame(assertionFromJson({ ...MINIMAL, object: { type: 'reference', value: 'x' } }).object, { kind: 'reference', value: 'x' })
  t.equal(assertionFromJson({ ...MINIMAL, note: null }).note, undefined, 'null is left out')
  SOURCE_CLASSES.forEach((name, number) => {
    t.equal(assertionFromJson({ ...MINIMAL, source_class: name }).sourceClass, number)
    t.equal(assertionFromJson({ ...MINIMAL, source_class: number }).sourceClass, number)
  })
  t.equal(assertionFromJson({ ...MINIMAL, asserted_at: '2026-01-01T00:00:00.250Z' }).assertedAtMs, 1_767_225_600_250)
  const agent = new Uint8Array(32).fill(3)
  const { agent: _agent, asserted_at: _at, ...rest } = MINIMAL
  t.match(assertionFromJson(rest, '', { agent, assertedAtMs: 9 }), { agent, assertedAtMs: 9 })
  t.equal(toHex(assertionFromJson(MINIMAL, '', { agent }).agent), AGENT_HEX, 'what is said goes before a default')
})

t.test('-0 becomes 0 everywhere', async (t) => {
  const assertion = assertionFromJson({ ...MINIMAL, object: -0, confidence: -0, source_class: -0, asserted_at: -0, vector: [-0, -1e-60] })
  t.ok(Object.is(assertion.confidence, 0) && Object.is(assertion.sourceClass, 0) && Object.is(assertion.assertedAtMs, 0))
  t.ok(Object.is(assertion.object.value, 0))
  t.ok(assertion.vector!.every((element) => Object.is(element, 0)))
})

t.test('errors carry a JSON pointer', async (t) => {
  const cases: [unknown, string][] = [
    [null, 'field_invalid /7'], [[], 'field_invalid /7'], ['x', 'field_invalid /7'],
    [{ ...MINIMAL, colour: 1 }, 'field_invalid /7/colour'], [{ ...MINIMAL, 'a/b~c': 1 }, 'field_invalid /7/a~1b~0c'],
    [{ ...MINIMAL, subject: undefined }, 'field_missing /7/subject'], [{ ...MINIMAL, subject: 1 }, 'field_invalid /7/subject'],
    [{ ...MINIMAL, subject: 'a//b' }, 'field_invalid /7/subject'], [{ ...MINIMAL, subject: '\ud800' }, 'text_not_utf8 /7/subject'],
    [{ ...MINIMAL, confidence: 2 }, 'field_invalid /7/confidence'], [{ ...MINIMAL, confidence: '1' }, 'field_invalid /7/confidence'],
    [{ ...MINIMAL, object: null }, 'object_null /7/object'], [{ ...MINIMAL, object: [] }, 'field_invalid /7/object'],
    [{ ...MINIMAL, object: { type: 'text' } }, 'field_missing /7/object/value'], [{ ...MINIMAL, object: { value: 'x' } }, 'field_missing /7/object/type'],
    [{ ...MINIMAL, object: { type: 'text', value: null } }, 'object_null /7/object/value'],
    [{ ...MINIMAL, object: { type: 'text', value: 1 } }, 'field_invalid /7/object/value'],
    [{ ...MINIMAL, object: { type: 'date', value: 'x' } }, 'field_invalid /7/object/type'],
    [{ ...MINIMAL, object: { type: 'text', value: 'x', unit: 'm' } }, 'field_invalid /7/object/unit'],
    [{ ...MINIMAL, object: Infinity }, 'number_not_finite /7/object'],
    [{ ...MINIMAL, source_class: 6 }, 'field_invalid /7/source_class'], [{ ...MINIMAL, source_class: 'expertise' }, 'field_invalid /7/source_class'],
    [{ ...MINIMAL, source_class: 'length' }, 'field_invalid /7/source_class'], [{ ...MINIMAL, source_class: 0.5 }, 'field_invalid /7/source_class'],
    [{ ...MINIMAL, source_hash: 'ab' }, 'field_invalid /7/source_hash'], [{ ...MINIMAL, epoch: 'zz'.repeat(32) }, 'field_invalid /7/epoch'],
    [{ ...MINIMAL, parent: 1 }, 'field_invalid /7/parent'], [{ ...MINIMAL, agent: 'did:key:z6Mk' }, 'field_invalid /7/agent'],
    [{ ...MINIMAL, agent: undefined }, 'field_missing /7/agent'], [{ ...MINIMAL, asserted_at: 'yesterday' }, 'field_invalid /7/asserted_at'],
    [{ ...MINIMAL, asserted_at: 1.5 }, 'field_invalid /7/asserted_at'], [{ ...MINIMAL, asserted_at: 2 ** 48 }, 'field_invalid /7/asserted_at'],
    [{ ...MINIMAL, lifecycle: 'Proposed' }, 'field_invalid /7/lifecycle'], [{ ...MINIMAL, note: '' }, 'field_invalid /7/note'],
    [{ ...MINIMAL, source_uri: 'a\nb' }, 'field_invalid /7/source_uri'], [{ ...MINIMAL, vector: 'x' }, 'field_invalid /7/vector'],
    [{ ...MINIMAL, vector: [1, '2'] }, 'field_invalid /7/vector/1'], [{ ...MINIMAL, vector: [1, 1e39] }, 'number_not_finite /7/vector/1'],
    [{ ...MINIMAL, vector: [] }, 'field_invalid /7/vector'], [{ ...MINIMAL, note: 'n'.repeat(4097) }, 'field_too_long /7/note'],
  ]
  for (const [value, expected] of cases) t.equal(errorOf(() => assertionFromJson(value, '/7')), expected, JSON.stringify(value)?.slice(0, 80))
  t.equal(errorOf(() => assertionFromJson(parseStrictJson(JSON.stringify(MINIMAL).replace('{', '{"__proto__":{"note":"x"},')))), 'field_invalid /__proto__')
  t.equal(({} as Record<string, unknown>)['note'], undefined)
})

t.test('agents: hex of either case, did:key, nothing else', async (t) => {
  t.equal(agentToDidKey(agentFromText(AGENT_HEX)!), AGENT_DID)
  t.equal(toHex(agentFromText(AGENT_DID)!), AGENT_HEX)
  t.equal(toHex(agentFromText(AGENT_HEX.toUpperCase())!), AGENT_HEX)
  fc.assert(fc.property(arbitraryHash, (key) => toHex(agentFromText(agentToDidKey(key))!) === toHex(key)))
  const other = AGENT_DID.slice('did:key:z'.length)
  for (const text of ['', AGENT_HEX.slice(1), `${AGENT_HEX}00`, `0x${AGENT_HEX}`, other, `did:key:z1${other}`, `did:key:z${other}1`, 'did:key:z',
    // X25519, P-256 and a key with another multibase.
    'did:key:z6LSbysY2xFMRpGMhb7tFTLMpeuPRaqaWM1yECx2AtzE3KCc', 'did:key:zDnaerDaTF5BXEavCrfRZEk316dpbLsfPDZ3WJ5hRTPFU2169', AGENT_DID.replace(':z', ':f'),
    AGENT_DID.replace('M', '0'), `did:key:z${'1'.repeat(100_000)}`]) t.equal(agentFromText(text), undefined, text.slice(0, 60))
})

t.test('RFC 3339', async (t) => {
  for (const text of ['1970-01-01T00:00:00Z', '2024-02-29T23:59:59.999Z', '2026-01-31t12:00:00z', '0000-01-01T00:00:00Z', '9999-12-31T23:59:59Z']) {
    t.equal(parseRfc3339(text), Date.parse(text.toUpperCase()), text)
  }
  t.equal(parseRfc3339('2026-01-31T12:00:00+05:30'), Date.parse('2026-01-31T06:30:00Z'))
  t.equal(parseRfc3339('2026-01-31 12:00:00.1239-01:00'), Date.parse('2026-01-31T13:00:00.123Z'))
  for (const text of ['', '2026-01-31', '2026-02-30T00:00:00Z', '2025-02-29T00:00:00Z', '2026-13-01T00:00:00Z', '2026-00-01T00:00:00Z', '2026-01-01T24:00:00Z',
    '2026-01-01T23:59:60Z', '2026-01-01T00:00:00', '2026-01-01T00:00:00+24:00', '2026-1-1T00:00:00Z', ' 2026-01-01T00:00:00Z', '2026-01-01T00:00:00.Z', '+02026-01-01T00:00:00Z']) {
    t.equal(parseRfc3339(text), undefined, text)
  }
})

t.test('strict JSON is JSON', async (t) => {
  const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value))
  fc.assert(fc.property(fc.jsonValue({ stringUnit: 'binary', maxDepth: 6 }), fc.constantFrom(0, 1, '\t'), (value, indent) => {
    const text = JSON.stringify(value, null, indent)
    const expected = JSON.parse(text) as unknown
    return JSON.stringify(plain(parseStrictJson(text))) === JSON.stringify(expected)
  }), { numRuns: 500 })
  t.strictSame(parseStrictJson(' [1, -0.5e+3, "\\u00e9\\ud83d\\udca7\\n\\/", true, false, null, {}, [ ] ] '), [1, -500, 'é💧\n/', true, false, null, Object.create(null), []])
  t.ok(Object.is(parseStrictJson('-0'), -0))
})

t.test('strict JSON refuses what JSON.parse refuses, and no text breaks it', async (t) => {
  const seeds = ['{"a":[1,2.5e3,"x\\n",null],"b":{"c":true}}', '"\\ud83d\\udca7"', '[[[]]]', '{"a":1,"a":2}', '12345678901234567890', '1e999']
  const alphabet = '{}[]",:\\0123456789.eE+-truefalsn u\u0000\ud800é\n'
  fc.assert(fc.property(fc.constantFrom(...seeds), fc.array(fc.tuple(fc.nat(60), fc.nat(2), fc.nat(alphabet.length - 1)), { maxLength: 4 }), (seed, edits) => {
    let text = seed
    for (const [at, cut, letter] of edits) text = text.slice(0, at) + alphabet[letter] + text.slice(at + cut)
    let ours: unknown
    try {
      ours = parseStrictJson(text)
    } catch (error) {
      return error instanceof DbError
    }
    return JSON.stringify(ours) === JSON.stringify(JSON.parse(text))
  }), { numRuns: 5000 })
  for (const [text, error] of [
    ['{"a":1,"a":2}', 'malformed_json /a'], ['{"x":{"a":1,"\\u0061":2}}', 'malformed_json /x/a'], ['{"__proto__":1,"__proto__":2}', 'malformed_json /__proto__'],
    ['[1,"\\ud800"]', 'text_not_utf8 /1'], ['["\\udca7\\ud83d"]', 'text_not_utf8 /0'], ['{"n":9007199254740993}', 'field_invalid /n'], ['[1e400]', 'number_not_finite /0'],
    ['[1,]', 'malformed_json /1'], ['{,}', 'malformed_json '], ['[1 2]', 'malformed_json '], ['01', 'malformed_json '], ['', 'malformed_json '], ['"a', 'malformed_json '],
    ['"\t"', 'malformed_json '], ['"\\x"', 'malformed_json '], ['"\\u12g4"', 'malformed_json '], ['nul', 'malformed_json '], ['NaN', 'malformed_json '], ["{'a':1}", 'malformed_json '],
    ['{"a"1}', 'malformed_json /a'], ['1 1', 'malformed_json '], ['\ufeff1', 'malformed_json '], ['{"toString":1,"x":}', 'malformed_json /x'],
  ] as const) t.equal(errorOf(() => parseStrictJson(text)), error, text)
  t.ok(parseStrictJson('[9007199254740991,9007199254740992,-1152921504606846976]'))
  for (const text of ['9007199254740993', '-9007199254740993', '12345678901234567890']) t.equal(errorOf(() => parseStrictJson(text)), 'field_invalid ', text)
  t.ok(parseStrictJson('6.02214076e23'), 'with an exponent nothing is lost silently that a double could hold')
  t.doesNotThrow(() => parseStrictJson('['.repeat(JSON_DEPTH_MAX) + ']'.repeat(JSON_DEPTH_MAX)))
  t.match(errorOf(() => parseStrictJson('['.repeat(JSON_DEPTH_MAX + 1) + ']'.repeat(JSON_DEPTH_MAX + 1))), /^malformed_json/)
  t.match(errorOf(() => parseStrictJson('{"a":'.repeat(1_000_000))), /^malformed_json/, 'no recursion without end')
})
