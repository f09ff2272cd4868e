import fc from 'fast-check'
import t from 'tap'
import { ERROR_CODES } from '../../../src/base/error-codes.ts'
import { checkSubjectPath, copyText } from '../../../src/record/text.ts'
import { arbitrarySubject } from './arbitrary.ts'

const NOT_UTF8 = ERROR_CODES.text_not_utf8.number
const INVALID = ERROR_CODES.field_invalid.number
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function isUtf8(bytes: Uint8Array): boolean {
  try {
    decoder.decode(bytes)
    return true
  } catch {
    return false
  }
}

/** Copies with the text at an odd place between bytes that would be wrong, and looks that nothing else was written. */
function copy(bytes: Uint8Array, controlsRefused = false): number {
  const from = new Uint8Array(bytes.length + 9).fill(0xc3)
  from.set(bytes, 3)
  const to = new Uint8Array(bytes.length + 9).fill(0xaa)
  const code = copyText(new DataView(from.buffer), 3, bytes.length, new DataView(to.buffer), 5, controlsRefused)
  const outside = [...to.subarray(0, 5), ...to.subarray(5 + bytes.length)]
  if (outside.some((byte) => byte !== 0xaa)) throw new Error('wrote outside')
  if (code === 0 && !Buffer.from(to.subarray(5, 5 + bytes.length)).equals(bytes)) throw new Error('copied wrong')
  return code
}

/** Numbers of cases, so that a sweep of hundreds of thousands is a handful of asserts. */
function disagreements(cases: Iterable<Uint8Array>): number {
  let wrong = 0
  for (const bytes of cases) if ((copy(bytes) === 0) !== isUtf8(bytes)) wrong++
  return wrong
}

t.test('UTF-8 as TextDecoder sees it: all sequences of one and two bytes, at each place in a word', async (t) => {
  function* sequences(): Iterable<Uint8Array> {
    for (let a = 0x70; a < 256; a++) {
      for (let before = 0; before < 4; before++) yield Uint8Array.of(...Array<number>(before).fill(0x61), a)
      for (let b = 0x70; b < 256; b++) yield Uint8Array.of(0x61, a, b)
    }
  }
  t.equal(disagreements(sequences()), 0)
})

t.test('UTF-8 as TextDecoder sees it: longer sequences around every boundary', async (t) => {
  const leads = [0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xf8, 0xff]
  const trails = [0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff]
  function* sequences(): Iterable<Uint8Array> {
    for (const a of leads) for (const b of trails) for (const c of trails) {
      yield Uint8Array.of(a, b, c)
      for (const d of trails) yield Uint8Array.of(0x61, 0x62, a, b, c, d)
    }
  }
  t.equal(disagreements(sequences()), 0)
})

t.test('UTF-8 as TextDecoder sees it: anything', async () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => (copy(bytes) === 0) === isUtf8(bytes)), { numRuns: 2000 })
  fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => copy(new TextEncoder().encode(text)) === 0))
  fc.assert(fc.property(fc.string({ unit: 'binary', minLength: 1, maxLength: 30 }), fc.nat(), fc.integer({ min: 1, max: 255 }), (text, at, flip) => {
    const bytes = new TextEncoder().encode(text)
    bytes[at % bytes.length]! ^= flip
    return (copy(bytes) === 0) === isUtf8(bytes)
  }), { numRuns: 1000 })
})

t.test('control characters: each at each place of a word, and nothing else', async (t) => {
  let wrong = 0
  for (let byte = 0; byte < 128; byte++) {
    for (let at = 0; at < 9; at++) {
      const text = Uint8Array.of(0x20, 0x7e, 0x21, 0x7d, 0x80 ^ 0xff, 0x22, 0x7c, 0x23, 0x7e).fill(byte, at, at + 1)
      if (byte === 0x7f || at !== 4) text[4] = at === 4 ? byte : 0x41
      const isControl = byte < 0x20 || byte === 0x7f
      if (copy(text, true) !== (isControl ? INVALID : 0)) wrong++
      if (copy(text, false) !== 0) wrong++
    }
  }
  t.equal(wrong, 0)
  t.equal(copy(new TextEncoder().encode('é\u0001'), true), INVALID, 'behind the fast path too')
  t.equal(copy(new TextEncoder().encode('\u0080\u009f'), true), 0, 'C1 controls are taken')
  t.equal(copy(Uint8Array.of(0x61, 0x62, 0x63, 0x64, 0xed, 0xa0, 0x80), true), NOT_UTF8)
})

/** The grammar of docs/formats/claim.md. */
const GRAMMAR = /^(?:[A-Za-z][A-Za-z0-9+.-]*:\/\/)?[^/]+(?:\/[^/]+)*$/su

function pathCode(subject: string): number {
  const bytes = new TextEncoder().encode(`/${subject}/`)
  return checkSubjectPath(new DataView(bytes.buffer), 1, bytes.length - 2)
}

t.test('subject paths', async (t) => {
  fc.assert(fc.property(arbitrarySubject, (subject) => pathCode(subject) === 0))
  const pieces = fc.array(fc.constantFrom('/', '//', '://', ':', 'a', 'rfc', '9', '+', '.', 'é', ' ', '-'), { minLength: 1, maxLength: 7 })
  fc.assert(fc.property(pieces.map((parts) => parts.join('')), (subject) => (pathCode(subject) === 0) === GRAMMAR.test(subject)), { numRuns: 3000 })
  for (const subject of ['a', 'a/b', 'rfc://9162/section/2', 'A:B', 'x+y.z-1://h', 'a:b/c', ':', 'a:/b']) t.equal(pathCode(subject), 0, subject)
  for (const subject of ['', '/', 'a/', '/a', 'a//b', 'rfc://', 'rfc:///a', '://a', '9a://b', 'a/b://c', 'é://a']) t.equal(pathCode(subject), INVALID, subject)
})
