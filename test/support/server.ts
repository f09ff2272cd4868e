import { spawn, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { systemClock } from '../../src/base/clock.ts'
import { flagOf, type OptionName } from '../../src/config/options.ts'
import { buildRoot } from './root.ts'

export type Settings = Readonly<Partial<Record<OptionName, string | number>>>

export interface ServerOptions {
  readonly dataDir: string
  /** Settings by their names; given as flags. apiPort is 0 (a free one) where nothing else is said. */
  readonly settings?: Settings
  readonly env?: Readonly<Record<string, string>>
  /** A command that runs the server's command line as its last arguments, such as strace with its flags. */
  readonly wrapper?: readonly string[]
  /** Modules that Node loads first, in every thread: how a test makes a mutant of the server without a hook in it. */
  readonly preload?: readonly string[]
  /** Milliseconds until the ready line must have come. */
  readonly readyMsMax?: number
}

/** What `stemedb serve` prints on stdout, as one line of JSON, when it serves. */
export interface ReadyLine {
  readonly ready: true
  readonly port: number
  readonly pid: number
  /** Last durable LSN that recovery found. */
  readonly durable_lsn: number
  /** Records that ingest had to apply again. */
  readonly replayed: number
  /** Bytes of a torn tail that were cut. */
  readonly truncated_bytes: number
}

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** When it ended, on the monotonic clock. */
  readonly monoMs: number
}

/** The process ended, or said nothing, before it was ready. */
export class StartFailure extends Error {
  override name = 'StartFailure'
  readonly exit: Exit | undefined
  readonly logs: string

  constructor(message: string, exit: Exit | undefined, logs: string) {
    super(`${message}\n${logs}`)
    this.exit = exit
    this.logs = logs
  }
}

export interface RunningServer {
  readonly ready: ReadyLine
  /** Milliseconds from the start of the process to its ready line. */
  readonly startMs: number
  readonly port: number
  /** Of the server itself, also under a wrapper. */
  readonly pid: number
  /** `http://127.0.0.1:port` */
  readonly url: string
  /** Where a WebSocket goes. */
  readonly wsUrl: string
  /** Resolves when the process that was spawned has ended. */
  readonly exited: Promise<Exit>
  /** The last lines of stdout and stderr. */
  logs(): string
  /** SIGKILL, and waits until it is gone. */
  kill9(): Promise<Exit>
  /** SIGTERM, and waits; SIGKILL where it takes more than `msMax`. */
  stop(msMax?: number): Promise<Exit>
}

export const WS_PATH = '/v1/stream'
export const SUBPROTOCOL = 'stemedb.v1'

const LOG_LINES_MAX = 400

/** Servers of this process that have not ended, so that none outlives the test. */
const running = new Set<() => void>()
process.on('exit', () => { for (const kill of running) kill() })

/** The built command line's entry. */
export const cliPath = join(buildRoot, 'src', 'cli', 'main.js')

function environment(options: ServerOptions): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([key]) => !key.startsWith('STEMEDB_') && !key.startsWith('NODE_') && !key.startsWith('TAP'))
  const preload = (options.preload ?? []).map((path) => `--import=${path}`)
  return {
    ...Object.fromEntries(inherited),
    ...(preload.length > 0 ? { NODE_OPTIONS: preload.join(' ') } : {}),
    ...options.env,
  }
}

export function serverCommand(options: ServerOptions): string[] {
  // One lens thread: a start takes long enough, and nothing here waits for answers.
  const settings: Settings = { apiPort: 0, logFormat: 'json', lensThreads: 1, ...options.settings, dataDir: options.dataDir }
  const flags = (Object.entries(settings) as [OptionName, string | number][]).flatMap(([name, value]) => [flagOf(name), String(value)])
  return [...(options.wrapper ?? []), process.execPath, cliPath, 'serve', ...flags]
}

function parseReady(line: string): ReadyLine | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null && (value as ReadyLine).ready === true ? value as ReadyLine : undefined
  } catch {
    return undefined // a line of a log that is no JSON
  }
}

class LogTail {
  readonly #lines: string[] = []

  add(line: string): void {
    this.#lines.push(line)
    if (this.#lines.length > LOG_LINES_MAX) this.#lines.shift()
  }

  text(): string {
    return this.#lines.join('\n')
  }
}

function eachLine(child: ChildProcess, take: (line: string) => void): void {
  for (const stream of [child.stdout, child.stderr]) {
    let rest = ''
    stream?.setEncoding('utf8')
    stream?.on('data', (chunk: string) => {
      const lines = (rest + chunk).split('\n')
      rest = lines.pop()!
      for (const line of lines) take(line)
    })
  }
}

function signalTo(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error // ESRCH: it is gone, which is what was wanted
  }
}

/** Waits for a promise, but no longer than `msMax`; undefined then. */
export async function within<T>(promise: Promise<T>, msMax: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((resolve) => { timer = setTimeout(() => resolve(undefined), msMax) })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** Starts the built server and waits for its ready line. @throws {StartFailure} with its logs. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const [command, ...args] = serverCommand(options)
  const startedAt = systemClock.monoMs()
  const child = spawn(command!, args, { env: environment(options), stdio: ['ignore', 'pipe', 'pipe'] })
  const tail = new LogTail()
  let serverPid = child.pid ?? 0
  const killNow = (): void => { signalTo(serverPid, 'SIGKILL'); child.kill('SIGKILL') }
  running.add(killNow)
  const exited = new Promise<Exit>((resolve) => {
    child.once('error', (error) => { tail.add(String(error)); resolve({ code: 127, signal: null, monoMs: systemClock.monoMs() }) })
    child.once('close', (code, signal) => resolve({ code, signal, monoMs: systemClock.monoMs() }))
  })
  void exited.then(() => running.delete(killNow))
  const readyLine = new Promise<ReadyLine>((resolve) => {
    eachLine(child, (line) => {
      tail.add(line)
      const parsed = parseReady(line)
      if (parsed !== undefined) resolve(parsed)
    })
  })
  const msMax = options.readyMsMax ?? 30_000
  const first = await within(Promise.race([readyLine, exited]), msMax)
  if (first === undefined) {
    killNow()
    throw new StartFailure(`not ready after ${msMax} ms`, undefined, tail.text())
  }
  if (!('ready' in first)) throw new StartFailure(`ended before it was ready: code ${first.code}, signal ${first.signal}`, first, tail.text())
  serverPid = first.pid
  const signalled = async (signal: NodeJS.Signals, endMsMax: number): Promise<Exit> => {
    signalTo(serverPid, signal)
    const exit = await within(exited, endMsMax)
    if (exit !== undefined) return exit
    killNow()
    return await exited
  }
  return {
    ready: first,
    startMs: systemClock.monoMs() - startedAt,
    port: first.port,
    pid: first.pid,
    url: `http://127.0.0.1:${first.port}`,
    wsUrl: `ws://127.0.0.1:${first.port}${WS_PATH}`,
    exited,
    logs: () => tail.text(),
    kill9: () => signalled('SIGKILL', 10_000),
    stop: (endMsMax = 20_000) => signalled('SIGTERM', endMsMax),
  }
}
