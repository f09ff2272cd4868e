import t from 'tap'
import { AGREED_SHARE_MIN } from '../../src/lens/conflict.ts'
import { LENS_CHAIN_MAX } from '../../src/lens/chain.ts'
import { UNITS } from '../../src/lens/quantity.ts'
import { LENSES, LENS_DEFAULT } from '../../src/lens/registry.ts'
import { readProjectFile } from '../support/tree.ts'

const page = readProjectFile('docs/reference/lenses.md')

t.test('docs/reference/lenses.md is the registry', async (t) => {
  const rows = [...page.matchAll(/^\| `([a-z-]+)` \| (.*) \| ?(.*) ?\|$/gm)].map(([, name, description, needs]) => [name, description, needs!.trim()])
  t.strictSame(rows, LENSES.map(({ name, description, needs = [] }) => [name, description, needs.join(', ')]))
  const sections = page.slice(page.indexOf('## Each lens'), page.indexOf('## Chains'))
  t.strictSame([...sections.matchAll(/^### (.*)$/gm)].map(([, name]) => name), LENSES.map(({ name }) => name))
  t.match(page, `\`${LENS_DEFAULT}\` is what a query that names no lens gets`)
})

t.test('and its figures are those of the code', async (t) => {
  t.match(page, `share of ${AGREED_SHARE_MIN} or more`)
  t.equal(LENS_CHAIN_MAX, 4)
  t.match(page, 'up to four names between commas')
  for (const [dimension, units] of Object.entries(UNITS)) {
    const row = new RegExp(`^\\| ${dimension} \\| (.*) \\|$`, 'm').exec(page)?.[1]?.split(' ')
    // Two characters look like a micro sign; the page shows one.
    t.strictSame(row, Object.keys(units).filter((unit) => !unit.startsWith('μ')), dimension)
  }
})
