import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { buildRoot } from '../../support/root.ts'
import type { WalModules } from './kit.ts'

/** A change of compiled code: in `file` (under src/wal), the first `from` becomes `to`. */
export interface Mutation {
  readonly file: string
  readonly from: string
  readonly to: string
}

/**
 * The WAL's modules with bugs in them: a copy of the build, changed and loaded beside the real one. Tests run on it what
 * they run on the real code, and must see it fail.
 * @throws where the code has no such place any more: then the mutation must be written anew.
 */
export async function loadMutant(mutations: readonly Mutation[]): Promise<{ modules: WalModules, remove: () => void }> {
  // Inside the repository, so that its packages are found.
  const root = mkdtempSync(join(buildRoot, 'mutant-'))
  for (const folder of ['base', 'wal']) {
    cpSync(join(buildRoot, 'src', folder), join(root, folder), { recursive: true })
  }
  for (const { file, from, to } of mutations) {
    const path = join(root, 'wal', file)
    const code = readFileSync(path, 'utf8')
    if (!code.includes(from)) throw new Error(`${file} has no "${from}" to mutate`)
    writeFileSync(path, code.replace(from, () => to))
  }
  const load = async (name: string): Promise<unknown> => import(pathToFileURL(join(root, 'wal', name)).href)
  const modules = {
    inspect: await load('inspect.js'), recovery: await load('recovery.js'), reader: await load('wal-reader.js'),
    writer: await load('wal-writer.js'),
  } as WalModules
  return { modules, remove: () => rmSync(root, { recursive: true, force: true }) }
}
