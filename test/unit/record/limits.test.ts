import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import * as limits from '../../../src/record/limits.ts'
import { JSON_DEPTH_MAX } from '../../../src/record/strict-json.ts'
import { repoRoot } from '../../support/root.ts'
import { readVectors } from './vectors.ts'

const page = (path: string): string => readFileSync(join(repoRoot, 'docs', path), 'utf8')

t.test('docs/reference/limits.md is the table of limits', async (t) => {
  const documented = [...page('reference/limits.md').matchAll(/^\| `([A-Z_]+)` \| (\d+) \|/gm)].map((match) => [match[1]!, Number(match[2])] as const)
  t.strictSame(Object.fromEntries(documented), { ...limits, JSON_DEPTH_MAX })
})

t.test('the example of docs/formats/claim.md is a vector', async (t) => {
  const minimal = readVectors().find((vector) => vector.name === 'minimal')!
  const [, example] = /```\n(7374[\s\S]*?)```/.exec(page('formats/claim.md'))!
  const [body, id] = example!.split('\nid ')
  t.equal(id!.trim(), minimal.id_hex)
  // Hex stands before the first three spaces of a line.
  t.equal(body!.split('\n').map((line) => line.split('   ')[0]!.replaceAll(' ', '')).join(''), minimal.claim_bytes_hex)
})
