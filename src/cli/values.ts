import { DbError } from '../base/errors.ts'
import { parseNumber } from '../config/load.ts'

/** Values of options, as people write them. All throw {DbError} `parameter_invalid`, naming the option. */

function invalid(name: string, text: string, why: string): never {
  throw new DbError('parameter_invalid', `${name}: "${text}" ${why}`, { parameter: name })
}

/** Undefined where the option is not given. */
export function wholeNumber(name: string, text: string | undefined, least = 0): number | undefined {
  if (text === undefined) return undefined
  if (!/^\d{1,15}$/.test(text)) invalid(name, text, 'is no whole number')
  return Number(text) < least ? invalid(name, text, `is below ${least}`) : Number(text)
}

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/** `30`, `30s`, `500ms`, `2m` → milliseconds. */
export function parseDuration(name: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text.trim())
  if (match === null) return invalid(name, text, 'is no time; write 30s, 500ms or 2m')
  return Number(match[1]) * UNITS_MS[match[2] ?? 's']!
}

/** The longest wait for an answer: {@link parseDuration}, and no wait at all is none. */
export function timeoutOf(text: string): number {
  const ms = parseDuration('--timeout', text)
  return ms > 0 ? ms : invalid('--timeout', text, 'is no time to wait')
}

/** `200000`, `200k`, `1.5M` → a count, with decimal suffixes. */
export function parseCount(name: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)([kM])?$/.exec(text.trim().replaceAll('_', ''))
  if (match === null) return invalid(name, text, 'is no number; write 200000, 200k or 1.5M')
  return Math.round(Number(match[1]) * (match[2] === 'k' ? 1e3 : match[2] === 'M' ? 1e6 : 1))
}

/** `1GiB`, `512m` → bytes. */
export function parseSize(name: string, text: string): number {
  return parseNumber(text) ?? invalid(name, text, 'is no size; write 1GiB or 512m')
}
