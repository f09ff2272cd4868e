import { spawn } from 'node:child_process'
import { Parser, type Result } from 'tap-parser'

export interface Failure {
  readonly name: string
  /** Where and why, as lines. */
  readonly detail: string
}
export interface Skip {
  readonly name: string
  readonly reason: string
}
/** What a test file said. Counts are of leaf results: assertions, and subtests that were skipped whole. */
export interface FileResult {
  readonly passed: number
  readonly failures: readonly Failure[]
  readonly skips: readonly Skip[]
  readonly seconds: number
  /** The end of what it wrote to standard error, where it failed. */
  readonly stderr: string
}

export interface TapFileOptions {
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

/** Standard error that is kept, from its end, to be shown where a file fails. */
const STDERR_CHARACTERS_MAX = 8192
/** Logs of a server that a failure carries, from their end. */
const LOG_CHARACTERS_MAX = 4096
/** Time that a file's processes have to end after SIGTERM. */
const KILL_AFTER_MS = 5000
/** Process groups of the files that run now. */
const groups = new Set<number>()

function signalGroup(leader: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-leader, signal)
  } catch {
    // ESRCH: all of it has ended already.
  }
}

/** Ends what every running file has started: for the runner's own end. */
export function killAll(): void {
  for (const leader of groups) signalGroup(leader, 'SIGKILL')
}

const asText = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value))

/** The parts of a TAP diagnostic that say where and why, most telling first. */
function describe(result: Result): string {
  const diag = (result.diag ?? {}) as Record<string, unknown>
  const at = diag['at'] as { fileName?: string, lineNumber?: number } | undefined
  const lines: string[] = []
  if (at?.fileName !== undefined) lines.push(`at ${at.fileName}:${at.lineNumber ?? 0}`)
  for (const key of ['error', 'message', 'diff', 'found', 'wanted', 'doNotWant', 'pattern', 'signal', 'timeout', 'code', 'details']) {
    if (diag[key] !== undefined) lines.push(`${key}: ${asText(diag[key]).trimEnd()}`)
  }
  if (typeof diag['stack'] === 'string') lines.push(diag['stack'].trimEnd())
  // Of a server that did what it should not have done: what cannot be provoked again is known from here only.
  if (typeof diag['logs'] === 'string') lines.push(`logs, their end:\n${diag['logs'].slice(-LOG_CHARACTERS_MAX).trimEnd()}`)
  return lines.join('\n')
}

class Collector {
  passed = 0
  readonly failures: Failure[] = []
  readonly skips: Skip[] = []
  readonly parser: Parser
  #sawEnd: (ok: boolean) => void = () => {}
  readonly ended: Promise<boolean>

  constructor() {
    this.ended = new Promise((resolve) => { this.#sawEnd = resolve })
    this.parser = new Parser((final) => {
      // A file that is skipped whole has a plan and no result; the parser also gives one to a file that said nothing.
      const reason = final.plan.skipAll ? final.plan.skipReason.replace(/^skip:?\s*/i, '') : ''
      if (reason !== '' && reason !== 'no tests found') this.skips.push({ name: 'whole file', reason })
      this.#sawEnd(final.ok)
    })
    this.parser.on('result', (result: Result) => this.#take(result))
  }

  #take(result: Result): void {
    const name = result.fullname || result.name
    if (result.skip !== false && result.skip !== undefined) {
      this.skips.push({ name, reason: typeof result.skip === 'string' ? result.skip : result.name })
    } else if (result.todo !== false && result.todo !== undefined) {
      this.skips.push({ name, reason: `not written yet: ${result.name}` })
    } else if (result.ok) this.passed += 1
    else this.failures.push({ name, detail: describe(result) })
  }
}

/**
 * Runs one compiled test file in a process group of its own and reads its TAP. All that it started is killed when it
 * ends, or when `timeoutMs` have passed, which is a failure.
 */
export async function runTapFile(path: string, cwd: string, timeoutMs: number, more: TapFileOptions = {}): Promise<FileResult> {
  const started = performance.now()
  const collector = new Collector()
  const child = spawn(process.execPath, ['--enable-source-maps', path, ...(more.args ?? [])], {
    // Tap's own limit of 30 s a subtest depends on what else the machine does; the file's limit is the one that counts.
    cwd, detached: true, env: { ...process.env, ...more.env, TAP: '1', TAP_TIMEOUT: String(Math.ceil(timeoutMs / 1000)) }, stdio: ['ignore', 'pipe', 'pipe'],
  })
  const leader = child.pid
  if (leader === undefined) throw new Error(`could not start ${path}`)
  groups.add(leader)

  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => { stderr = (stderr + text).slice(-STDERR_CHARACTERS_MAX) })
  child.stdout.pipe(collector.parser)
  let timedOut = false
  let killTimer: NodeJS.Timeout | undefined
  const timer = setTimeout(() => {
    timedOut = true
    signalGroup(leader, 'SIGTERM')
    killTimer = setTimeout(() => signalGroup(leader, 'SIGKILL'), KILL_AFTER_MS)
  }, timeoutMs)

  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (...outcome) => resolve(outcome))
  })
  clearTimeout(timer)
  clearTimeout(killTimer)
  // What outlives its test would hold our end of the pipe open, and disturb the next file's measurements.
  signalGroup(leader, 'SIGKILL')
  groups.delete(leader)
  const planHeld = await collector.ended

  const failures = [...collector.failures]
  const failure = (detail: string): number => failures.push({ name: 'whole file', detail })
  if (timedOut) failure(`did not end within ${timeoutMs / 1000} s`)
  else if (collector.passed + collector.skips.length + failures.length === 0) failure('said nothing')
  else if (failures.length === 0 && !planHeld) failure('its plan does not hold, or a subtest failed without a failed assertion')
  else if (failures.length === 0 && code !== 0) failure(`ended with ${signal ?? `exit code ${String(code)}`}`)
  return {
    passed: collector.passed, failures, skips: collector.skips, seconds: (performance.now() - started) / 1000,
    stderr: failures.length === 0 ? '' : stderr.trimEnd(),
  }
}
