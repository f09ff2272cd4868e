import { execFile } from 'node:child_process'
import { cliPath, type RunningServer } from '../support/server.ts'

export interface CommandResult {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
  /** Each line of standard output as JSON. @throws {SyntaxError} */
  lines(): Record<string, unknown>[]
}

const OUTPUT_BYTES_MAX = 64 * 2 ** 20

/** Runs one `stemedb` command to its end, as a shell would. */
export function stemedb(args: readonly string[], options: { readonly input?: string, readonly env?: Record<string, string>, readonly msMax?: number, readonly uid?: number } = {}): Promise<CommandResult> {
  return new Promise((resolve) => {
    const env = { ...process.env, ...options.env }
    const child = execFile(process.execPath, [cliPath, ...args], { env, maxBuffer: OUTPUT_BYTES_MAX, timeout: options.msMax ?? 60_000, ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }) }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1
      resolve({ code, stdout, stderr, lines: () => stdout.trim().split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Record<string, unknown>) })
    })
    child.stdin?.on('error', () => undefined) // it may end without reading
    child.stdin?.end(options.input)
  })
}

/** Environment of a client command: which node, which key. */
export const clientEnv = (server: RunningServer, keyFile: string): Record<string, string> => ({ STEMEDB_URL: server.wsUrl.replace(/\/v1\/stream$/, ''), STEMEDB_KEY_FILE: keyFile })
