import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { ERROR_CODES, type ErrorName } from '../../src/base/error-codes.ts'
import { OPTIONS, OPTION_NAMES, flagOf, variableOf } from '../../src/config/options.ts'
import { METRICS, METRIC_NAMES, METRIC_PREFIX, type Metric } from '../../src/observe/metrics.ts'
import { createMetrics } from '../../src/observe/metrics-registry.ts'
import { repoRoot } from '../support/root.ts'
import { projectFiles, readProjectFile } from '../support/tree.ts'

const files = projectFiles()
const pages = files.filter((path) => path.endsWith('.md'))

/** Cells of all table rows of a page whose first cell has the form. */
const rowsOf = (path: string, firstCell: RegExp): string[][] => readProjectFile(path).split('\n')
  .filter((line) => line.startsWith('| '))
  .map((line) => line.slice(2, -2).split(' | ').map((cell) => cell.trim()))
  .filter((cells) => firstCell.test(cells[0] ?? ''))

t.test('docs/reference/errors.md is the table of codes', async (t) => {
  const expected = (Object.keys(ERROR_CODES) as ErrorName[]).map((name) => {
    const { number, httpStatus, outcome, retryable, title, action } = ERROR_CODES[name]
    return [String(number), `\`${name}\``, String(httpStatus), outcome, retryable ? 'yes' : 'no', title, action]
  }).sort((a, b) => Number(a[0]) - Number(b[0]))
  t.strictSame(rowsOf('docs/reference/errors.md', /^\d+$/), expected)
})

t.test('docs/reference/metrics.md is the table of metrics', async (t) => {
  const expected = METRIC_NAMES.map((name) => {
    const metric: Metric = METRICS[name]
    return [`\`${METRIC_PREFIX}${name}\``, metric.type, Object.keys(metric.labels ?? {}).map((label) => `\`${label}\``).join(', '), metric.help]
  })
  t.strictSame(rowsOf('docs/reference/metrics.md', /^`stemedb_(?!build_info)/), expected)
  const served = new Set([...(await createMetrics('0').text()).matchAll(/^# TYPE (\S+)/gm)].map((match) => match[1]!))
  const documented = new Set([...readProjectFile('docs/reference/metrics.md').matchAll(/^\| `(\w+)`/gm)].map((match) => match[1]!))
  t.strictSame([...served].filter((name) => !documented.has(name)), [], 'served, not documented')
  t.strictSame([...documented].filter((name) => !served.has(name)), [], 'documented, not served')
})

t.test('every metric is written by some code', async (t) => {
  const writers = files.filter((path) => /^(src|workers)\/.*\.ts$/.test(path) && path !== 'src/observe/metrics.ts').map(readProjectFile).join('\n')
  t.strictSame(METRIC_NAMES.filter((name) => !new RegExp(`(?<!\\w)${name}(?!\\w)`).test(writers)), [])
})

t.test('alerts and pages name metrics that exist', async (t) => {
  const known = new Set([...METRIC_NAMES.map((name) => METRIC_PREFIX + name), `${METRIC_PREFIX}build_info`])
  for (const path of files.filter((file) => /^(docs|deploy)\//.test(file) || file === 'README.md')) {
    const named = [...readProjectFile(path).matchAll(/\bstemedb_[a-z_]+(?<!_)\b/g)].map((match) => match[0].replace(/_(bucket|sum|count)$/, (suffix) => (known.has(match[0]) ? suffix : '')))
    t.strictSame(named.filter((name) => !known.has(name) && !/^stemedb_(data|server)$/.test(name)), [], path)
  }
})

t.test('each alert has its section in docs/operations/monitor.md', async (t) => {
  const { groups } = parse(readProjectFile('deploy/prometheus/alerts.yml')) as { groups: { rules: { alert: string, expr: string, labels: { severity: string } }[] }[] }
  const rules = groups.flatMap((group) => group.rules)
  t.ok(rules.every(({ expr, labels }) => expr !== '' && ['critical', 'warning'].includes(labels.severity)))
  const sections = [...readProjectFile('docs/operations/monitor.md').matchAll(/^### (\w+)$/gm)].map((match) => match[1]!)
  t.strictSame(sections.sort(), rules.map(({ alert }) => alert).sort())
})

t.test('docs/reference/config.md and .env.example have every setting, and no other', async (t) => {
  const page = readProjectFile('docs/reference/config.md')
  for (const name of OPTION_NAMES) t.ok(page.includes(variableOf(name)) && page.includes(flagOf(name)), `config.md has ${name}`)
  const known = new Set([...OPTION_NAMES.map(variableOf), 'STEMEDB_KEY_FILE', 'STEMEDB_URL'])
  for (const path of ['docs/reference/config.md', '.env.example', ...files.filter((file) => /^deploy\//.test(file) || /^docs\/operations\//.test(file)), 'README.md']) {
    const named = [...readProjectFile(path).matchAll(/\bSTEMEDB_[A-Z0-9_]+\b/g)].map((match) => match[0])
    t.strictSame(named.filter((name) => !known.has(name)), [], path)
  }
  const example = readProjectFile('.env.example')
  for (const name of OPTION_NAMES) t.ok(example.includes(`${variableOf(name)}=`), `.env.example has ${name}`)
})

t.test('presets are settings that a start takes', async (t) => {
  const { loadConfig } = await import('../../src/config/load.ts')
  const presets = files.filter((path) => /^deploy\/config\/.*\.env$/.test(path))
  t.ok(presets.length >= 3)
  for (const path of presets) {
    const lines = readProjectFile(path).split('\n').filter((line) => line !== '' && !line.startsWith('#'))
    const environment = Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]))
    t.doesNotThrow(() => loadConfig({}, environment), path)
  }
  t.ok(Object.keys(OPTIONS).length > 0)
})

/** GitHub's anchor of a heading. */
const anchorOf = (heading: string): string => heading.toLowerCase().replaceAll(/[`*[\]]|\([^)]*\.md[^)]*\)/g, '').replaceAll(/[^\p{L}\p{N} _-]/gu, '').trim().replaceAll(' ', '-')

t.test('relative links resolve, anchors too', async (t) => {
  const broken: string[] = []
  for (const page of pages) {
    const text = readProjectFile(page).replaceAll(/```[\s\S]*?```/g, '')
    for (const [, target] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target!)) continue
      const [path, anchor] = target!.split('#')
      const file = path === '' ? page : join(dirname(page), path!)
      if (!existsSync(join(repoRoot, file))) broken.push(`${page}: ${target}`)
      else if (anchor !== undefined && file.endsWith('.md')) {
        const headings = [...readProjectFile(file).matchAll(/^#+ (.*)$/gm)].map((match) => anchorOf(match[1]!))
        if (!headings.includes(anchor)) broken.push(`${page}: no heading for ${target}`)
      }
    }
  }
  t.strictSame(broken, [])
})

t.test('what error messages send people to is there', async (t) => {
  const actions = Object.values(ERROR_CODES).map(({ action }) => action).join(' ')
  for (const [path] of actions.matchAll(/docs\/[\w/-]+\.md/g)) t.ok(files.includes(path), path)
})

t.test('commands in pages are scripts of package.json', async (t) => {
  const { scripts } = JSON.parse(readProjectFile('package.json')) as { scripts: Record<string, string> }
  for (const page of pages) {
    const named = [...readProjectFile(page).matchAll(/\bnpm run (?:-s )?([\w:-]+)/g)].map((match) => match[1]!)
    t.strictSame(named.filter((name) => !(name in scripts)), [], page)
  }
})

t.test('docs/README.md leads to every page', async (t) => {
  const reached = new Set<string>()
  const follow = (page: string): void => {
    if (reached.has(page) || !files.includes(page)) return
    reached.add(page)
    for (const [, target] of readProjectFile(page).matchAll(/\]\(([^)\s#]+\.md)(?:#[^)]*)?\)/g)) follow(join(dirname(page), target!))
  }
  follow('docs/README.md')
  t.strictSame(pages.filter((page) => page.startsWith('docs/') && !reached.has(page)), [])
})
