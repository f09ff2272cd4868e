import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { repoRoot } from './root.ts'

/** Files of the project by their path from its root: tracked ones, and new ones that are not ignored. */
export function projectFiles(): string[] {
  const output = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '-z'], { cwd: repoRoot, encoding: 'utf8' })
  return [...new Set(output.split('\0'))].filter((path) => path !== '' && existsSync(join(repoRoot, path))).sort()
}

export const readProjectFile = (path: string): string => readFileSync(join(repoRoot, path), 'utf8')
