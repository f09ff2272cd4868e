import { cpSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildRoot } from './root.ts'

/** A change of compiled code: in `file`, a path within the build, every `from` becomes `to`. */
export interface Mutation {
  readonly file: string
  readonly from: string
  readonly to: string
}

/**
 * A copy of these folders of the build with bugs in it, to be loaded beside the real one. Tests run on it what they
 * run on the real code, and must see it fail.
 * @throws where the code has no such place any more: then the mutation must be written anew.
 */
export function mutatedBuild(folders: readonly string[], mutations: readonly Mutation[]): { root: string, remove: () => void } {
  // Inside the repository, so that its packages are found.
  const root = mkdtempSync(join(buildRoot, 'mutant-'))
  for (const folder of folders) {
    cpSync(join(buildRoot, folder), join(root, folder),
      { recursive: true, filter: (path) => path.endsWith('.js') || statSync(path).isDirectory() })
  }
  for (const { file, from, to } of mutations) {
    const path = join(root, file)
    const code = readFileSync(path, 'utf8')
    if (!code.includes(from)) throw new Error(`${file} has no "${from}" to mutate`)
    writeFileSync(path, code.replaceAll(from, () => to))
  }
  return { root, remove: () => rmSync(root, { recursive: true, force: true }) }
}
