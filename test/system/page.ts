import { execFile } from 'node:child_process'
import { cliPath } from '../support/server.ts'

// Pages whose commands a test runs line by line, and what they show of each.

/** A command of the page, and what it prints there; undefined where the page does not show it. */
export interface Step {
  readonly command: string
  readonly shown: string | undefined
}

/** Commands that the test does itself: the node is started, and `stemedb` is a function. */
const DONE_BY_TEST = /^(npm |alias )/

/** What ``` fences a page has, in order. */
const fencesOf = (page: string): { kind: string, text: string }[] =>
  [...page.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map((match) => ({ kind: match[1]!, text: match[2]! }))

/** Every line of an `sh` fence is a command (a `\` at its end goes on); a `text` fence shows what the last one before it prints. */
export function stepsOf(page: string): Step[] {
  const steps: Step[] = []
  for (const { kind, text } of fencesOf(page)) {
    if (kind === 'text') steps.push({ ...steps.pop()!, shown: text })
    else if (kind === 'sh') for (const command of text.replaceAll(/\\\n\s*/g, '').split('\n')) if (command !== '') steps.push({ command, shown: undefined })
  }
  return steps.filter(({ command }) => !DONE_BY_TEST.test(command))
}

/** What is another at every run, or follows from how old the claims are today, is not compared. */
export const withoutChance = (text: string): string[] => text
  .replaceAll(/did:key:\w+|z6Mk\w+…/g, 'KEY').replaceAll(/\+[0-9a-f]{8}\+[A-Za-z0-9+/=]{44}/g, '+KEY').replaceAll(/\b[0-9a-f]{12,64}…?(?![\w.-])/g, 'HEX')
  .replaceAll(/^Made a new agent key.*$/gm, '').replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME').replaceAll(/\d+ µs/g, 'N µs').replaceAll(/of the \d+ assertions/g, 'of the N assertions')
  .replaceAll(/(conflict|certainty) [\d.]+/g, '$1 N').replaceAll(/"conflict_score":[\d.]+/g, '"conflict_score":N').replaceAll(/\d+%/g, 'N%').replaceAll(/--cursor \S+/g, '--cursor C')
  .replaceAll(/(?<![\w.])\d\.\d{1,3}(?![\w.~+-])/g, 'N').replaceAll(/[█▏▎▍▌▋▊▉]+/g, '█').replaceAll(/─+/g, '─').replaceAll(/ +/g, ' ')
  .split('\n').map((line) => line.trim()).filter((line) => line !== '')

export interface Done { readonly code: number, readonly printed: string }

/** Runs all commands in one bash, standard output and error as one. @returns what each has printed, and how it ended */
export function runAll(commands: readonly string[], cwd: string, env: Record<string, string>): Promise<Done[]> {
  const mark = '@@@'
  const script = [
    'exec 2>&1', 'set -o pipefail', `stemedb() { "${process.execPath}" "${cliPath}" "$@"; }`,
    ...commands.flatMap((command) => [command, `printf '\\n${mark}%d\\n' $?`]),
  ].join('\n')
  return new Promise((resolve, reject) => {
    execFile('bash', ['-c', script], { cwd, env: { ...process.env, ...env }, maxBuffer: 2 ** 24, timeout: 200_000 }, (error, stdout) => {
      if (error !== null && typeof error.code !== 'number') return reject(new Error('bash', { cause: error }))
      const parts = stdout.split(new RegExp(`\\n${mark}(\\d+)\\n`))
      return resolve(commands.map((_, i) => ({ printed: parts[2 * i] ?? '(did not run)', code: Number(parts[2 * i + 1] ?? -1) })))
    })
  })
}
