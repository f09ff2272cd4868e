import { availableParallelism } from 'node:os'
import { DbError } from '../base/errors.ts'
import { OPTIONS, OPTION_NAMES, flagOf, variableOf, type Config, type OptionName } from './options.ts'
import { validateConfig } from './validate.ts'

const SUFFIXES: Readonly<Record<string, number>> = { k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 }

/** `64MiB`, `64m`, `67108864` → 67108864; undefined where it is no whole number. */
export function parseNumber(text: string): number | undefined {
  const match = /^(\d+)(?:([kmg])(?:i?b)?)?$/i.exec(text.trim().replaceAll('_', ''))
  if (match === null) return undefined
  return Number(match[1]) * (SUFFIXES[(match[2] ?? '').toLowerCase()] ?? 1)
}

function parseOption(name: OptionName, value: string, where: string): string | number {
  const option = OPTIONS[name]
  const refuse = (why: string): never => {
    throw new DbError('config_invalid', `${where}: ${why}`, { setting: name, value })
  }
  switch (option.type) {
    case 'text':
      return value
    case 'choice':
      return (option.choices as readonly string[]).includes(value) ? value
        : refuse(`"${value}" is not one of ${option.choices.join(', ')}`)
    case 'number': {
      const parsed = parseNumber(value)
      if (parsed === undefined) return refuse(`"${value}" is not a whole number (${option.unit})`)
      if (parsed < option.min || parsed > option.max) {
        return refuse(`${value} is outside ${option.min}..${option.max} ${option.unit}`)
      }
      return parsed
    }
  }
}

/** Longer than any name: more of a wrong one would only cost time. */
const NAME_CHARACTERS_MAX = 64

/** The setting whose name is nearest to a wrong one, for the message. */
function nearest(given: string, names: readonly string[]): string {
  const wrong = given.slice(0, NAME_CHARACTERS_MAX)
  const distance = (a: string, b: string): number => {
    let row = Array.from({ length: b.length + 1 }, (_, i) => i)
    for (let i = 1; i <= a.length; i++) {
      const next = [i]
      for (let j = 1; j <= b.length; j++) {
        next.push(Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)))
      }
      row = next
    }
    return row[b.length]!
  }
  const distances = names.map((name) => distance(wrong, name))
  return names[distances.indexOf(Math.min(...distances))] ?? ''
}

/** Variables of ours that are no settings. */
const OTHER_VARIABLES = new Set(['STEMEDB_KEY_FILE', 'STEMEDB_URL'])

/**
 * Settings from flags (first), `STEMEDB_*` variables and the defaults, checked one by one and together.
 * @param flags option name → text, as the command line gave it.
 * @throws {DbError} `config_invalid` naming the setting, where it came from, and what it may be.
 */
export function loadConfig(
  flags: Readonly<Partial<Record<OptionName, string>>> = {},
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Config {
  const variables = OPTION_NAMES.map(variableOf)
  for (const key of Object.keys(environment)) {
    if (!key.startsWith('STEMEDB_') || variables.includes(key) || OTHER_VARIABLES.has(key)) continue
    throw new DbError('config_invalid', `${key}: no such setting; did you mean ${nearest(key, variables)}?`, { setting: key })
  }
  for (const key of Object.keys(flags)) {
    if (!Object.hasOwn(OPTIONS, key)) throw new DbError('config_invalid', `${key}: no such setting`, { setting: key })
  }
  const values = {} as Record<OptionName, string | number>
  for (const name of OPTION_NAMES) {
    const fromFlag = flags[name]
    const fromVariable = environment[variableOf(name)]
    values[name] = fromFlag !== undefined ? parseOption(name, fromFlag, flagOf(name))
      : fromVariable !== undefined ? parseOption(name, fromVariable, variableOf(name))
        : OPTIONS[name].default
  }
  return completeConfig(values as Config)
}

/** Derives what is left to the machine, checks the whole and freezes it. @throws {DbError} `config_invalid` */
export function completeConfig(config: Config, cores = availableParallelism()): Config {
  const complete: Config = {
    ...config,
    verifyThreads: config.verifyThreads || Math.max(1, cores - 1),
    lensThreads: config.lensThreads || Math.max(2, cores >> 1),
  }
  validateConfig(complete)
  return Object.freeze(complete)
}

/** Defaults with some replaced: for tests and embedded use. @throws {DbError} `config_invalid` */
export function configWith(overrides: Partial<Config>): Config {
  const defaults = Object.fromEntries(OPTION_NAMES.map((name) => [name, OPTIONS[name].default])) as unknown as Config
  return completeConfig({ ...defaults, ...overrides })
}
