import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

function findRoot(from: string): string {
  return existsSync(join(from, 'package.json')) ? from : findRoot(dirname(from))
}

/** The repository's folder, from wherever the compiled test lies. */
export const repoRoot = findRoot(dirname(fileURLToPath(import.meta.url)))

/** The folder of the build that this test belongs to (`dist`, or a helper's own): where src/ and workers/ stand beside test/. */
export const buildRoot = join(dirname(fileURLToPath(import.meta.url)), '..', '..')
