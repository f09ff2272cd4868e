/** Settings of lenses whose texts hold numbers that are not whole. */

const TIERS = 6
/** A longer text is none of them. */
const TEXT_CHARACTERS_MAX = 256
const DECIMAL = /^\d+(?:\.\d+)?(?:e[+-]?\d{1,3})?$/i

function parseDecimal(text: string): number | undefined {
  if (!DECIMAL.test(text)) return undefined
  const value = Number(text)
  return Number.isFinite(value) ? value : undefined
}

/** `inf,730,365,180,90,30` → half-lives in days, by tier; undefined where it is none such. */
export function parseHalfLives(text: string): readonly number[] | undefined {
  if (text.length > TEXT_CHARACTERS_MAX) return undefined
  const days = text.split(',').map((part) => part.trim().toLowerCase() === 'inf' ? Infinity : parseDecimal(part.trim()))
  return days.length === TIERS && days.every((value) => value !== undefined && value > 0) ? days as number[] : undefined
}

/** `0.01` → 0.01; undefined where it is no number from 0 to 1. */
export function parseTolerance(text: string): number | undefined {
  const value = text.length > TEXT_CHARACTERS_MAX ? undefined : parseDecimal(text.trim())
  return value !== undefined && value <= 1 ? value : undefined
}
