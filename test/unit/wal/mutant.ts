import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { mutatedBuild, type Mutation } from '../../support/mutant.ts'
import type { WalModules } from './kit.ts'

export type { Mutation } from '../../support/mutant.ts'

/** The WAL's modules with bugs in them; a mutation's `file` is one of src/wal, or beside it. */
export async function loadMutant(mutations: readonly Mutation[]): Promise<{ modules: WalModules, remove: () => void }> {
  const { root, remove } = mutatedBuild(['src/base', 'src/wal'], mutations.map((mutation) => ({ ...mutation, file: `src/wal/${mutation.file}` })))
  const load = async (name: string): Promise<unknown> => import(pathToFileURL(join(root, 'src', 'wal', name)).href)
  const modules = {
    inspect: await load('inspect.js'), recovery: await load('recovery.js'), reader: await load('wal-reader.js'),
    writer: await load('wal-writer.js'),
  } as WalModules
  return { modules, remove }
}
