import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { repoRoot } from '../support/root.ts'

/** What this reads of autocannon's result. */
export interface CannonResult {
  readonly '2xx': number
  readonly non2xx: number
  readonly errors: number
  readonly timeouts: number
  readonly latency: { readonly p99: number }
}

const execute = promisify(execFile)

/** Runs autocannon in a process of its own, with these arguments. */
export async function autocannon(args: readonly string[]): Promise<CannonResult> {
  const program = join(repoRoot, 'node_modules', 'autocannon', 'autocannon.js')
  const { stdout } = await execute(process.execPath, [program, '-j', '-n', ...args], { timeout: 60_000 })
  return JSON.parse(stdout.slice(stdout.indexOf('{'))) as CannonResult
}
