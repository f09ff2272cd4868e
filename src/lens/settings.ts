import { must } from '../base/assert.ts'
import { parseHalfLives, parseTolerance } from '../config/lens-values.ts'
import type { Config } from '../config/options.ts'
import type { LensContext } from './lens.ts'

/** What of a lens's context is a setting of the node. */
export type LensSettings = Pick<LensContext, 'halfLifeDays' | 'tolerance' | 'escalationCount'>

/** The constant part of every context, of settings that have been validated. */
export function lensSettingsOf(config: Pick<Config, 'decayHalfLifeDays' | 'consensusTolerance' | 'escalationCount'>): LensSettings {
  return Object.freeze({
    halfLifeDays: must(parseHalfLives(config.decayHalfLifeDays), 'a valid decayHalfLifeDays'),
    tolerance: must(parseTolerance(config.consensusTolerance), 'a valid consensusTolerance'),
    ...(config.escalationCount > 0 && { escalationCount: config.escalationCount }),
  })
}
