/**
 * Texts that are a number and a unit: `500 mg` and `0.5 g` are one value. A small table of units that do not depend on where
 * or when one is: no currencies, no months, no temperatures (which need more than a factor).
 */
export interface Quantity {
  /** Quantities of one dimension can be compared. */
  readonly dimension: Dimension
  /** In the dimension's base unit. Finite. */
  readonly value: number
}

export type Dimension = 'mass' | 'length' | 'time' | 'data' | 'percent'

/** A longer text is no quantity. */
export const QUANTITY_CHARACTERS_MAX = 40

/** Factors to micrograms, micrometres, nanoseconds, bits and percent: whole numbers as far as may be, which multiply without rounding. */
export const UNITS: Readonly<Record<Dimension, Readonly<Record<string, number>>>> = {
  mass: {
    ug: 1, µg: 1, μg: 1, mcg: 1, mg: 1e3, g: 1e6, kg: 1e9, t: 1e12, oz: 28_349_523.125, lb: 453_592_370,
  },
  length: {
    um: 1, µm: 1, μm: 1, mm: 1e3, cm: 1e4, m: 1e6, km: 1e9, in: 25_400, ft: 304_800, yd: 914_400, mi: 1_609_344_000,
  },
  time: {
    ns: 1, us: 1e3, µs: 1e3, μs: 1e3, ms: 1e6, s: 1e9, sec: 1e9, min: 6e10, h: 3.6e12, hr: 3.6e12, hour: 3.6e12, hours: 3.6e12,
    d: 8.64e13, day: 8.64e13, days: 8.64e13, week: 6.048e14, weeks: 6.048e14,
  },
  data: {
    bit: 1, bits: 1, B: 8, kB: 8e3, MB: 8e6, GB: 8e9, TB: 8e12, PB: 8e15,
    KiB: 8 * 2 ** 10, MiB: 8 * 2 ** 20, GiB: 8 * 2 ** 30, TiB: 8 * 2 ** 40, PiB: 8 * 2 ** 50,
  },
  percent: { '%': 1, percent: 1, '‰': 0.1 },
}

const BY_UNIT: ReadonlyMap<string, { readonly dimension: Dimension, readonly factor: number }> = new Map(
  (Object.keys(UNITS) as Dimension[]).flatMap((dimension) =>
    Object.entries(UNITS[dimension]).map(([unit, factor]) => [unit, { dimension, factor }] as const)))

const FORM = /^([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?) ?(\D+)$/

const PLUS = 43
const MINUS = 45
const POINT = 46
const ZERO = 48
const NINE = 57

/**
 * The quantity that a text is: a decimal number, at most one space, a unit of the table as it is written there (`mg` is not `Mg`).
 * Undefined for any other text, and for a number beyond the range of doubles.
 */
export function quantityOf(text: string): Quantity | undefined {
  if (text.length > QUANTITY_CHARACTERS_MAX || text.length < 2) return undefined
  // Most texts are words: their first character tells.
  const first = text.charCodeAt(0)
  if (!(first >= ZERO && first <= NINE) && first !== MINUS && first !== PLUS && first !== POINT) return undefined
  const match = FORM.exec(text)
  if (match === null) return undefined
  const unit = BY_UNIT.get(match[2]!)
  if (unit === undefined) return undefined
  const value = Number(match[1]) * unit.factor
  return Number.isFinite(value) ? { dimension: unit.dimension, value } : undefined
}
