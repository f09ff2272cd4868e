import { DbError } from '../../base/errors.ts'
import { KiB } from '../../base/units.ts'

/** Longest stanza (package) and its largest number of fields. */
export const STANZA_BYTES_MAX = 256 * KiB
export const STANZA_FIELDS_MAX = 200

/** One package: its fields by lower-case name, and its text as it came (without the blank line). */
export interface Stanza {
  /** Of its first field, from 1. */
  readonly line: number
  readonly fields: ReadonlyMap<string, string>
  readonly text: string
}

/**
 * Cuts Debian control data (deb822(5), as in `Packages`) into stanzas: `Name: value`, lines that begin with a space go on with the
 * value, blank lines end a stanza, `#` begins a comment line.
 * @throws {DbError} `parameter_invalid` naming the line, where it is something else.
 */
export async function* stanzasOf(lines: AsyncIterable<string>): AsyncGenerator<Stanza> {
  let fields = new Map<string, string>()
  let text: string[] = []
  let bytes = 0
  let name: string | undefined
  let number = 0
  let first = 0
  const refuse = (why: string): never => {
    throw new DbError('parameter_invalid', `line ${number}: ${why}`, { line: number })
  }
  for await (const line of lines) {
    number++
    if (line.trim() === '') {
      if (fields.size > 0) yield { line: first, fields, text: text.join('\n') }
      fields = new Map()
      text = []
      bytes = 0
      name = undefined
      continue
    }
    if (line.startsWith('#')) continue
    bytes += line.length + 1
    if (bytes > STANZA_BYTES_MAX) refuse(`a stanza has more than ${STANZA_BYTES_MAX} characters`)
    text.push(line)
    if (line.startsWith(' ') || line.startsWith('\t')) {
      if (name === undefined) refuse('a continuation of nothing')
      else fields.set(name, `${fields.get(name)!}\n${line.trim()}`)
      continue
    }
    const colon = line.indexOf(':')
    if (colon < 1 || /\s/.test(line.slice(0, colon))) refuse('neither a field (Name: value) nor its continuation')
    name = line.slice(0, colon).toLowerCase()
    if (fields.size === 0) first = number
    if (fields.has(name)) refuse(`${line.slice(0, colon)} is there twice in one stanza`)
    if (fields.size >= STANZA_FIELDS_MAX) refuse(`a stanza has more than ${STANZA_FIELDS_MAX} fields`)
    fields.set(name, line.slice(colon + 1).trim())
  }
  if (fields.size > 0) yield { line: first, fields, text: text.join('\n') }
}
