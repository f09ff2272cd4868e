import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { repoRoot } from './root.ts'

/** System calls that the shim counts: `truncate` is ftruncate, `open` also openat, as libc's functions make them. */
export type CountedCall = 'fdatasync' | 'fsync' | 'pwrite' | 'write' | 'open' | 'rename' | 'link' | 'unlink' | 'truncate'

export interface Fault {
  /** Part of the path of the files that it is about. */
  readonly path: string
  readonly operation: CountedCall | 'sync' | 'any'
  /** Which one of them fails, from 1; 0 only logs. */
  readonly nth: number
  readonly action: 'eio' | 'enospc' | 'kill' | 'torn' | 'lie'
  /** Time between the decision and the error, in which everything else settles. */
  readonly delayMs?: number
}

/** A line of the shim's log. */
export interface ShimEvent {
  /** CLOCK_MONOTONIC, the clock of `process.hrtime`. */
  readonly monoMs: number
  /** `again`: a sync of the very file whose sync has failed. `call`: any other one that counts, where only the log was asked for. */
  readonly what: 'fault' | 'ok' | 'error' | 'again' | 'call'
  readonly operation: string
  readonly fd: number
  readonly count: number
  readonly path: string
}

/** The compiled shim in a folder of its own. Needs gcc. */
export class Shim {
  readonly #folder: string
  readonly #library: string
  #logs = 0

  constructor() {
    this.#folder = mkdtempSync(join(tmpdir(), 'stemedb-shim-'))
    this.#library = join(this.#folder, 'shim.so')
    execFileSync('gcc', ['-O2', '-Wall', '-shared', '-fPIC', '-o', this.#library, join(repoRoot, 'test', 'support', 'shim.c'), '-ldl'])
  }

  /** The environment that puts `fault` into a process, and the file that tells what happened there. */
  environment(fault: Fault): { readonly env: Record<string, string>; readonly log: string } {
    const log = join(this.#folder, `log-${this.#logs++}`)
    const env = {
      LD_PRELOAD: this.#library, FT_PATH: fault.path, FT_OP: fault.operation, FT_N: String(fault.nth), FT_ACT: fault.action,
      FT_DELAY_MS: String(fault.delayMs ?? 0), FT_LOG: log,
    }
    return { env, log }
  }

  /** The environment that makes every sync of files whose path contains `path` take as long as was last `set`. */
  slowSyncs(path: string): { readonly env: Record<string, string>, readonly set: (ms: number) => void } {
    const control = join(this.#folder, `slow-${this.#logs++}`)
    const set = (ms: number): void => {
      // Renamed, so that nobody reads half of it.
      writeFileSync(`${control}.tmp`, String(ms))
      renameSync(`${control}.tmp`, control)
    }
    set(0)
    return { env: { LD_PRELOAD: this.#library, FT_PATH: path, FT_SLOW: control }, set }
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

/** What a shim wrote, in order; nothing where it never saw such a file. */
export function readShimLog(path: string): ShimEvent[] {
  if (!existsSync(path)) return []
  return readFileSync(path, 'utf8').split('\n').filter((line) => line !== '').map((line) => {
    const [ns, what, operation, fd, count, ...rest] = line.split(' ')
    return {
      monoMs: Number(ns) / 1e6, what: what as ShimEvent['what'], operation: operation!, fd: Number(fd), count: Number(count),
      path: rest.join(' '),
    }
  })
}
