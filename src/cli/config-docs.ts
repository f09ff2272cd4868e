import { KiB } from '../base/units.ts'
import { OPTIONS, OPTION_NAMES, flagOf, variableOf, type Option, type OptionName } from '../config/options.ts'

const GROUP_TITLES: Readonly<Record<Option['group'], string>> = {
  node: 'Node', network: 'Network', threads: 'Threads', limits: 'Limits', wal: 'WAL', store: 'Store', lens: 'Lenses', audit: 'Audit', log: 'Log',
}

/** Groups in the order in which the table first names them, each with its settings. */
export function optionGroups(): { title: string, names: OptionName[] }[] {
  const groups = new Map<Option['group'], OptionName[]>()
  for (const name of OPTION_NAMES) {
    const { group } = OPTIONS[name]
    const names = groups.get(group) ?? []
    names.push(name)
    groups.set(group, names)
  }
  return [...groups].map(([group, names]) => ({ title: GROUP_TITLES[group], names }))
}

/** `67108864` → `64MiB`; a number that is no whole multiple stays as it is. */
export function sizeText(bytes: number): string {
  for (const [suffix, unit] of [['GiB', KiB ** 3], ['MiB', KiB ** 2], ['KiB', KiB]] as const) {
    if (bytes >= unit && bytes % unit === 0) return `${bytes / unit}${suffix}`
  }
  return String(bytes)
}

function valueText(option: Option, value: number | string): string {
  return option.type === 'number' && option.unit.startsWith('bytes') ? sizeText(Number(value)) : String(value)
}

/** The default as a person writes it: `64MiB`, `required`, or nothing for an empty text. */
export const defaultText = (option: Option): string => valueText(option, option.default)

/** What a setting may be: `64KiB .. 1GiB (bytes)`, `required | optional`, `text`. */
export function rangeText(option: Option): string {
  switch (option.type) {
    case 'number': return `${valueText(option, option.min)} .. ${valueText(option, option.max)} (${option.unit})`
    case 'choice': return option.choices.join(' | ')
    case 'text': return 'text'
  }
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else {
      line = line === '' ? word : `${line} ${word}`
    }
  }
  lines.push(line)
  return lines
}

/** The whole text of `.env.example`. */
export function renderEnvExample(): string {
  const lines = [
    '# Settings of a StemeDB node, with their defaults. Written by `stemedb config env`; do not edit the original.',
    '# Nothing reads this file by itself: `node --env-file=.env dist/src/cli/main.js serve`, or `EnvironmentFile=` of systemd.',
    '# A flag (`--api-port`) goes before a variable. Sizes take k, m, g (64MiB). docs/reference/config.md says more.',
  ]
  for (const { title, names } of optionGroups()) {
    lines.push('', `# --- ${title} ---`)
    for (const name of names) {
      const option: Option = OPTIONS[name]
      lines.push('', ...wrap(`${option.meaning} [${rangeText(option)}]`, 110).map((line) => `# ${line}`))
      lines.push(`#${variableOf(name)}=${defaultText(option)}`)
    }
  }
  return lines.join('\n') + '\n'
}

const cell = (text: string): string => text.replaceAll('|', '\\|')

/** The whole text of docs/reference/config.md. */
export function renderConfigReference(): string {
  const lines = [
    '# Settings',
    '',
    'Written by `stemedb config markdown` from the one table of options (`src/config/options.ts`); a test holds it to that.',
    '',
    'Every setting has a flag of `stemedb serve` and a variable. A flag goes before a variable, a variable before the default.',
    'Sizes take the suffixes `k`, `m`, `g`, also as `KiB`, `MiB`, `GiB`; all are powers of 1024. An unknown or out-of-range',
    'setting stops the start with a message that names it, and the exit code 78.',
  ]
  for (const { title, names } of optionGroups()) {
    lines.push('', `## ${title}`, '', '| flag | variable | default | may be | meaning |', '| --- | --- | --- | --- | --- |')
    for (const name of names) {
      const option: Option = OPTIONS[name]
      const shown = defaultText(option)
      lines.push(`| \`${flagOf(name)}\` | \`${variableOf(name)}\` | ${shown === '' ? '(empty)' : `\`${shown}\``} | ${cell(rangeText(option))} | ${cell(option.meaning)} |`)
    }
  }
  return lines.join('\n') + '\n'
}
