import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { repoRoot } from '../support/root.ts'

/** What was found once, by target: `test/fuzz/corpus/<target>/<hash>.hex`, which every test run replays. */
const CORPUS = join(repoRoot, 'test', 'fuzz', 'corpus')
const DIGITS_A_LINE = 128

export interface CorpusFile {
  readonly target: string
  readonly name: string
  readonly input: Uint8Array
}

export function readCorpus(): CorpusFile[] {
  if (!existsSync(CORPUS)) return []
  return readdirSync(CORPUS).sort().flatMap((target) => readdirSync(join(CORPUS, target)).sort().map((name) => (
    { target, name, input: new Uint8Array(Buffer.from(readFileSync(join(CORPUS, target, name), 'latin1').replaceAll(/\s/g, ''), 'hex')) })))
}

/** Writes an input where the next test run finds it; the path. */
export function keepInput(target: string, input: Uint8Array): string {
  const folder = join(CORPUS, target)
  mkdirSync(folder, { recursive: true })
  const path = join(folder, `${createHash('sha256').update(input).digest('hex').slice(0, 12)}.hex`)
  const lines = Buffer.from(input).toString('hex').match(new RegExp(`.{1,${DIGITS_A_LINE}}`, 'g')) ?? []
  writeFileSync(path, `${lines.join('\n')}\n`)
  return path
}
