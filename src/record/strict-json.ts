/**
 * JSON in which nothing is lost or read in two ways (RFC 7493, "I-JSON", made strict): `JSON.parse` keeps the last of
 * two equal members, rounds 9007199254740993, makes 1e400 infinite and lets `"\ud800"` pass. Each is refused here.
 */
import { DbError } from '../base/errors.ts'
import type { ErrorName } from '../base/error-codes.ts'

/** Arrays and objects inside one another. */
export const JSON_DEPTH_MAX = 64

const SPACE = /[ \t\n\r]*/y
const NUMBER = /-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y
/** Characters of a string up to a quote, an escape or what may not stand there. */
// eslint-disable-next-line no-control-regex
const PLAIN = /[^"\\\u0000-\u001f]*/y
const LONE_SURROGATE = /\p{Surrogate}/u
const ESCAPES: Readonly<Record<string, string>> =
  { '"': '"', '\\': '\\', '/': '/', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }

/**
 * The value of a JSON text. Objects have no prototype, so that no member's name is special.
 * @throws {DbError} `malformed_json` (with `offset` in UTF-16 units), `text_not_utf8` for a lone surrogate,
 * `number_not_finite`, or `field_invalid` for an integer whose digits a double does not keep; each with a `pointer`.
 */
export function parseStrictJson(text: string): unknown {
  return new Parser(text).parse()
}

class Parser {
  readonly #text: string
  #at = 0
  readonly #path: (string | number)[] = []

  constructor(text: string) {
    this.#text = text
  }

  parse(): unknown {
    this.#space()
    const value = this.#value()
    this.#space()
    if (this.#at < this.#text.length) this.#malformed('something follows the value')
    return value
  }

  #refuse(code: ErrorName, why: string): never {
    const pointer = this.#path.map((step) => `/${pointerStep(step)}`).join('')
    throw new DbError(code, `${pointer === '' ? 'JSON' : pointer}: ${why}`, { pointer, offset: this.#at })
  }

  #malformed(why: string): never {
    this.#refuse('malformed_json', `${why} (at character ${this.#at})`)
  }

  #space(): void {
    SPACE.lastIndex = this.#at
    SPACE.test(this.#text)
    this.#at = SPACE.lastIndex
  }

  #value(): unknown {
    switch (this.#text[this.#at]) {
      case '{': return this.#object()
      case '[': return this.#array()
      case '"': return this.#string()
      case 't': return this.#word('true', true)
      case 'f': return this.#word('false', false)
      case 'n': return this.#word('null', null)
      default: return this.#number()
    }
  }

  #word<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) this.#malformed('no such value')
    this.#at += word.length
    return value
  }

  #number(): number {
    NUMBER.lastIndex = this.#at
    const match = NUMBER.exec(this.#text)
    if (match === null) this.#malformed(this.#at < this.#text.length ? 'a value was expected' : 'the text ends too early')
    const value = Number(match[0])
    if (!Number.isFinite(value)) this.#refuse('number_not_finite', 'the number is too large for a double')
    // An integer that is neither the double's value nor how it is written would change without a word.
    const isInteger = match[1] === undefined && match[2] === undefined
    if (isInteger && !Number.isSafeInteger(value) && String(value) !== match[0] && BigInt(match[0]) !== BigInt(value)) {
      this.#refuse('field_invalid', 'a double can not hold this integer; send it as text, or with an exponent')
    }
    this.#at += match[0].length
    return value
  }

  #string(): string {
    let value = ''
    this.#at++
    for (;;) {
      PLAIN.lastIndex = this.#at
      PLAIN.test(this.#text)
      value += this.#text.slice(this.#at, PLAIN.lastIndex)
      this.#at = PLAIN.lastIndex
      const next = this.#text[this.#at]
      if (next === '"') break
      if (next !== '\\') this.#malformed(next === undefined ? 'a string does not end' : 'a control character in a string')
      value += this.#escape()
    }
    this.#at++
    if (LONE_SURROGATE.test(value)) this.#refuse('text_not_utf8', 'a lone surrogate')
    return value
  }

  #escape(): string {
    const letter = this.#text[this.#at + 1] ?? ''
    if (letter === 'u') {
      const digits = this.#text.slice(this.#at + 2, this.#at + 6)
      if (!/^[0-9a-fA-F]{4}$/.test(digits)) this.#malformed('an escape needs four hex digits')
      this.#at += 6
      return String.fromCharCode(Number.parseInt(digits, 16))
    }
    if (!Object.hasOwn(ESCAPES, letter)) this.#malformed('no such escape')
    this.#at += 2
    return ESCAPES[letter]!
  }

  /** Past the bracket of an array or object, to what follows. */
  #open(): void {
    if (this.#path.length >= JSON_DEPTH_MAX) this.#malformed(`deeper than ${JSON_DEPTH_MAX}`)
    this.#at++
    this.#space()
  }

  #array(): unknown[] {
    const values: unknown[] = []
    this.#open()
    if (this.#takes(']')) return values
    for (;;) {
      this.#path.push(values.length)
      this.#space()
      values.push(this.#value())
      this.#path.pop()
      this.#space()
      if (this.#takes(']')) return values
      if (!this.#takes(',')) this.#malformed('a comma or ] was expected')
    }
  }

  #object(): Record<string, unknown> {
    const members = Object.create(null) as Record<string, unknown>
    this.#open()
    if (this.#takes('}')) return members
    for (;;) {
      this.#space()
      if (this.#text[this.#at] !== '"') this.#malformed('a member\'s name was expected')
      const name = this.#string()
      this.#path.push(name)
      if (Object.hasOwn(members, name)) this.#malformed('the member stands there twice')
      this.#space()
      if (!this.#takes(':')) this.#malformed('a colon was expected')
      this.#space()
      members[name] = this.#value()
      this.#path.pop()
      this.#space()
      if (this.#takes('}')) return members
      if (!this.#takes(',')) this.#malformed('a comma or } was expected')
    }
  }

  #takes(character: string): boolean {
    if (this.#text[this.#at] !== character) return false
    this.#at++
    return true
  }
}

/** One step of a JSON pointer (RFC 6901), escaped. */
export function pointerStep(step: string | number): string {
  return String(step).replaceAll('~', '~0').replaceAll('/', '~1')
}
