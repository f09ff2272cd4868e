import { runCli } from '../../../src/cli/program.ts'
import type { Console } from '../../../src/cli/console.ts'

export interface TestConsole extends Console {
  readonly outLines: string[]
  readonly errLines: string[]
}

/** A console that keeps what is written and reads what it is given. */
export function testConsole(stdin = ''): TestConsole {
  const outLines: string[] = []
  const errLines: string[] = []
  return {
    outLines,
    errLines,
    out: (line) => void outLines.push(line),
    err: (line) => void errLines.push(line),
    isTerminal: false,
    stdin: async function* () {
      yield new TextEncoder().encode(stdin)
    },
  }
}

export type Ran = TestConsole & { readonly code: number }

/** Runs a command line, on a terminal of so many columns where they are given. */
export async function run(args: readonly string[], stdin = '', columns?: number): Promise<Ran> {
  const console = { ...testConsole(stdin), columns }
  const code = await runCli(args, console)
  return { ...console, code }
}
