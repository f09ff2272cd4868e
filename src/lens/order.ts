import { compareBytes } from '../base/bytes.ts'
import { hlcWallMs, type Hlc } from '../base/hlc.ts'
import type { Candidate } from './lens.ts'

/** Later in the order that recency ranks by: HLC, then id. Total, so that it settles whatever else is a tie. */
export function isLater(a: Candidate, b: Candidate): boolean {
  return a.hlc === b.hlc ? compareBytes(a.id, b.id) > 0 : a.hlc > b.hlc
}

/** The latest of at least one. */
export function latestOf<C extends Candidate>(candidates: readonly C[]): C {
  let latest = candidates[0]!
  for (let i = 1; i < candidates.length; i++) if (isLater(candidates[i]!, latest)) latest = candidates[i]!
  return latest
}

const MS_PER_DAY = 86_400_000
const TWO_DIGITS = Array.from({ length: 60 }, (_, n) => String(n).padStart(2, '0'))
let lastDay = -1
let lastDayText = ''

/**
 * The moment of an HLC, for a person: as `toISOString` says it. Written here because that takes longer than finding the
 * winner; the date is kept, as answers that follow one another are often of one day.
 */
export function momentOf(hlc: Hlc): string {
  const wallMs = hlcWallMs(hlc)
  const day = Math.floor(wallMs / MS_PER_DAY)
  if (day !== lastDay) {
    lastDayText = new Date(wallMs).toISOString().split('T')[0]!
    lastDay = day
  }
  const ms = wallMs - day * MS_PER_DAY
  const seconds = Math.floor(ms / 1000)
  const minutes = Math.floor(seconds / 60)
  return `${lastDayText}T${TWO_DIGITS[Math.floor(minutes / 60)]!}:${TWO_DIGITS[minutes % 60]!}:${TWO_DIGITS[seconds % 60]!}.${String(ms % 1000).padStart(3, '0')}Z`
}
