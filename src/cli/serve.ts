import { loadConfig } from '../config/load.ts'
import type { OptionName } from '../config/options.ts'

/** `stemedb serve`: settings from flags, variables and defaults, then the node until a signal. Returns its exit code. */
export async function runServe(flags: Readonly<Partial<Record<OptionName, string>>>): Promise<number> {
  const config = loadConfig(flags)
  const { runNode } = await import('../node/main.ts')
  return runNode(config)
}
