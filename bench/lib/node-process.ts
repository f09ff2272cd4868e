import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from '../../src/base/clock.ts'
import { startServer, type RunningServer, type Settings } from '../../test/support/server.ts'

const POLL_MS = 5

export interface BenchNode {
  readonly server: RunningServer
  readonly dataDir: string
  /** Stops it and removes its data. */
  remove(): Promise<void>
}

let nodes = 0

/** A node of the build under test with default settings, quiet, in a fresh folder of `dir`. */
export async function startNode(dir: string, settings: Settings = {}): Promise<BenchNode> {
  const dataDir = join(dir, `node-${nodes++}`)
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  return nodeOn(dataDir, settings)
}

/** The same over a folder that is there. */
export async function nodeOn(dataDir: string, settings: Settings = {}): Promise<BenchNode> {
  const server = await startServer({ dataDir, settings: { logLevel: 'warn', lensThreads: 0, ...settings }, readyMsMax: 120_000 })
  return {
    server, dataDir,
    async remove() {
      await server.kill9()
      rmSync(dataDir, { recursive: true, force: true })
    },
  }
}

interface Progress {
  readonly durableLsn: number
  readonly appliedLsn: number
}

export async function progressOf(server: Pick<RunningServer, 'url'>): Promise<Progress> {
  const response = await fetch(`${server.url}/v1/health`)
  const json = await response.json() as { durable_lsn: number, applied_lsn: number }
  return { durableLsn: json.durable_lsn, appliedLsn: json.applied_lsn }
}

/** Milliseconds until everything that is durable now is indexed, from now on. @throws {Error} after `msMax`. */
export async function untilApplied(server: Pick<RunningServer, 'url'>, msMax = 120_000): Promise<number> {
  const start = systemClock.monoMs()
  let untilLsn: number | undefined
  for (;;) {
    const { durableLsn, appliedLsn } = await progressOf(server)
    untilLsn ??= durableLsn
    const waited = systemClock.monoMs() - start
    if (appliedLsn >= untilLsn) return waited
    if (waited > msMax) throw new Error(`applied LSN ${appliedLsn} of ${untilLsn} after ${msMax} ms`)
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

/** Milliseconds until /readyz says 200, from now on. @throws {Error} after `msMax`. */
export async function untilReady(server: RunningServer, msMax = 120_000): Promise<number> {
  const start = systemClock.monoMs()
  for (;;) {
    const ready = await fetch(`${server.url}/readyz`).then((response) => response.status === 200, () => false)
    const waited = systemClock.monoMs() - start
    if (ready) return waited
    if (waited > msMax) throw new Error(`not ready after ${msMax} ms`)
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}
