import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { systemClock } from '../../base/clock.ts'
import { DbError } from '../../base/errors.ts'
import { flagOf, type OptionName } from '../../config/options.ts'

const mainPath = fileURLToPath(new URL('../main.js', import.meta.url))
const READY_MS_MAX = 60_000
const LOG_CHARACTERS_MAX = 2000

/**
 * What a trial never takes from the surroundings: it must not meet the real node, nor be held back by its limits. Everything
 * else is as the operator has set it.
 */
const OWN = { apiPort: 0, bindAddress: '127.0.0.1', tlsCertFile: '', tlsKeyFile: '', mode: 'threaded', ratePerSecond: 0, walReserveBytes: 0, logLevel: 'warn' } as const

/** A node of its own process, in a folder of its own, until {@link TrialNode.remove}. */
export class TrialNode {
  readonly url: string
  readonly #child: ChildProcess
  readonly #dir: string

  private constructor(child: ChildProcess, dir: string, url: string) {
    this.#child = child
    this.#dir = dir
    this.url = url
  }

  /** @throws {DbError} `unreachable` as rejection, with the end of its log, where it does not start. */
  static async start(parentDir: string, settings: Readonly<Partial<Record<OptionName, string | number>>>): Promise<TrialNode> {
    const dir = mkdtempSync(join(parentDir, 'node-'))
    const flags = (Object.entries({ ...OWN, ...settings, dataDir: dir }) as [OptionName, string | number][]).flatMap(([name, value]) => [flagOf(name), String(value)])
    const child = spawn(process.execPath, [mainPath, 'serve', ...flags], { stdio: ['ignore', 'pipe', 'pipe'] })
    let log = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => { log = (log + text).slice(-LOG_CHARACTERS_MAX) })
    try {
      const url = await new Promise<string>((resolve, reject) => {
        const refuse = (why: string): void => reject(new DbError('unreachable', `the trial node ${why}: ${log.trim()}`))
        let out = ''
        child.stdout.setEncoding('utf8').on('data', (text: string) => {
          out += text
          const line = out.split('\n').find((candidate) => candidate.startsWith('{'))
          if (line !== undefined && out.includes('\n')) resolve((JSON.parse(line) as { url: string }).url)
        })
        child.once('error', (error) => refuse(`can not be started (${error.message})`))
        child.once('close', (code) => refuse(`ended with exit code ${String(code)}`))
        systemClock.timer(READY_MS_MAX, () => refuse('was not ready in time'))
      })
      return new TrialNode(child, dir, url)
    } catch (error) {
      child.kill('SIGKILL')
      rmSync(dir, { recursive: true, force: true })
      throw error
    }
  }

  /** Ends it, without an orderly end, and removes what it stored. */
  async remove(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const gone = new Promise((resolve) => this.#child.once('close', resolve))
      this.#child.kill('SIGKILL')
      await gone
    }
    rmSync(this.#dir, { recursive: true, force: true })
  }
}
