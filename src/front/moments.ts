import { DbError } from '../base/errors.ts'
import { hlcOf, type Hlc } from '../base/hlc.ts'
import { parseRfc3339 } from '../record/assertion.json.ts'
import { ASSERTED_AT_MS_MAX } from '../record/limits.ts'

const DIGITS = /^\d{1,20}$/
const COUNTER_MAX = 0xffff
const HLC_MAX = 2n ** 64n - 1n

function refuse(parameter: string, what: string): never {
  throw new DbError('parameter_invalid', `${parameter} must be ${what}`, { parameter })
}

/** Unix milliseconds of a parameter that names them, or an RFC 3339 time. @throws {DbError} `parameter_invalid` */
export function wallMsParameter(text: string, parameter: string): number {
  const ms = DIGITS.test(text) ? Number(text) : parseRfc3339(text)
  if (ms === undefined || ms < 0 || ms > ASSERTED_AT_MS_MAX) return refuse(parameter, 'Unix milliseconds or an RFC 3339 time (2026-01-31T12:00:00Z)')
  return ms
}

/**
 * The HLC of a moment: an HLC in decimal (above 2^48), or a wall time, which stands for the last HLC of its millisecond.
 * @throws {DbError} `parameter_invalid`
 */
export function hlcParameter(text: string, parameter: string): Hlc {
  if (DIGITS.test(text)) {
    const number = BigInt(text)
    if (number > HLC_MAX) return refuse(parameter, 'an HLC of 64 bits, Unix milliseconds or an RFC 3339 time')
    if (number > BigInt(ASSERTED_AT_MS_MAX)) return number
  }
  return hlcOf(wallMsParameter(text, parameter), COUNTER_MAX)
}
