import { readFileSync, readdirSync, statSync } from 'node:fs'
import { join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { SCHEMA } from '../../../src/fbs/schema.ts'
import { repoRoot } from '../../support/root.ts'

const generated = join(repoRoot, 'src', 'fbs')

const filesUnder = (folder: string): string[] => readdirSync(folder).flatMap((name) => {
  const path = join(folder, name)
  return statSync(path).isDirectory() ? filesUnder(path) : [path]
})

t.test('src/fbs is what the schemas make, byte for byte: after a change of fbs/, npm run fbs', async (t) => {
  const { generate } = await import(pathToFileURL(join(repoRoot, 'fbs', 'generate.mjs')).href) as { generate: () => Promise<Map<string, string>> }
  const files = await generate()
  t.strictSame(filesUnder(generated).map((path) => relative(generated, path)).sort(), [...files.keys()].sort())
  for (const [name, text] of files) t.ok(readFileSync(join(generated, name), 'utf8') === text, name)
})

t.test('the schema knows what the generated code knows', async (t) => {
  t.strictSame(SCHEMA.Assertion.fields.map(({ name }) => name), [
    'subject', 'predicate', 'object_kind', 'object_text', 'object_number', 'object_boolean', 'confidence', 'source_class', 'source_hash',
    'source_uri', 'lifecycle', 'epoch', 'parent', 'agent', 'asserted_at_ms', 'note', 'vector',
  ], 'append only: a claim is read by slot')
  SCHEMA.Assertion.fields.forEach((field, i) => t.equal(field.slot, i))
  t.match(SCHEMA.SignedAssertion.fields, [{ kind: 'nested', target: 'Assertion', required: true }, { kind: 'struct', size: 64, align: 1 }])
  t.match(SCHEMA.Batch.fields[4], { kind: 'tables', target: 'SignedAssertion', required: true })
  t.match(SCHEMA.Ack.fields[7], { kind: 'vector', size: 24, align: 8 })
  t.equal(SCHEMA.Batch.identifier, 'SBAT')
  const identifiers = Object.values(SCHEMA).map(({ identifier }) => identifier as string).filter((identifier) => identifier !== '')
  t.equal(new Set(identifiers).size, identifiers.length, 'an identifier names one root')
})
