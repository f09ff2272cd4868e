import { toHex } from '../base/bytes.ts'
import { DbError } from '../base/errors.ts'
import type { Config } from '../config/options.ts'
import { agentFromText } from '../record/agent-key.ts'
import type { TrustPolicy } from './record-standing.ts'

/** The settings as lenses want them. @throws {DbError} `config_invalid` where a text is no key */
export function trustPolicyOf({ trustHalfLifeDays, trustReporters }: Pick<Config, 'trustHalfLifeDays' | 'trustReporters'>): TrustPolicy {
  return { halfLifeDays: trustHalfLifeDays, reporters: trustReporters === '' ? undefined : new Set(trustReporters.split(',').map(reporterOf)) }
}

function reporterOf(text: string): string {
  const key = agentFromText(text.trim())
  if (key === undefined) throw new DbError('config_invalid', `trustReporters: ${JSON.stringify(text.trim())} is no agent's key`, { setting: 'trustReporters' })
  return toHex(key)
}
