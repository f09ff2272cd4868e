import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import WebSocket from 'ws'
import { EXIT } from '../../src/base/exit-codes.ts'
import { connect } from '../../src/client/client.ts'
import { createSigner } from '../../src/client/signer.ts'
import { buildRoot } from '../support/root.ts'
import { StartFailure, startServer, type RunningServer, type Settings } from '../support/server.ts'

t.setTimeout(240_000)

// A node from its start to its end: modes, locks, wrong settings, drains, damaged indexes.

const MAIN = join(buildRoot, 'src', 'cli', 'main.js')
const SEGMENT = { walSegmentBytes: 16 * 2 ** 20 }

function newDataDir(t: Test): string {
  const dataDir = mkdtempSync(join(tmpdir(), 'stemedb-life-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  return dataDir
}

async function serve(t: Test, dataDir: string, settings: Settings = {}): Promise<RunningServer> {
  const server = await startServer({ dataDir, settings: { ...SEGMENT, ...settings } })
  t.teardown(() => server.kill9())
  return server
}

/** @throws {Error} where the node starts */
async function failedStart(dataDir: string, preload: readonly string[] = []): Promise<StartFailure> {
  const outcome = await startServer({ dataDir, settings: SEGMENT, preload }).catch((error: unknown) => error)
  if (outcome instanceof StartFailure) return outcome
  throw new Error('it started')
}

async function refusesToStart(t: Test, dataDir: string, words: RegExp): Promise<void> {
  const { exit, logs } = await failedStart(dataDir)
  t.equal(exit?.code, EXIT.data)
  t.match(logs, words)
}

const signer = await createSigner(new Uint8Array(32).fill(7))

async function write(server: RunningServer, from: number, count: number): Promise<number> {
  const client = await connect(server.wsUrl, { signer, WebSocket })
  const acks = await client.assertMany(Array.from({ length: count }, (_, i) =>
    ({ subject: `sensor/${from + i}`, predicate: 'temperature', object: from + i, confidence: 1, assertedAtMs: 1_700_000_000_000 })))
  await client.close()
  return acks.reduce((sum, ack) => sum + ack.results.length, 0)
}

/** Acked is durable; the indexes follow a moment later. */
async function untilIndexed(server: RunningServer): Promise<void> {
  for (;;) {
    const { durable_lsn: durable, applied_lsn: applied } = await (await fetch(`${server.url}/v1/health`)).json() as { durable_lsn: number, applied_lsn: number }
    if (applied >= durable) return
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

async function answersOf(server: RunningServer, prefix: string): Promise<number> {
  await untilIndexed(server)
  const response = await fetch(`${server.url}/v1/query?prefix=${prefix}&limit=1000`)
  t.equal(response.status, 200)
  return (await response.json() as { answers: unknown[] }).answers.length
}

const stemedb = (...args: string[]): { status: number | null, stdout: string, stderr: string } =>
  spawnSync(process.execPath, [MAIN, ...args], { encoding: 'utf8', timeout: 60_000 })

for (const mode of ['threaded', 'inline']) {
  t.test(`${mode}: writes, reads, drains, and replays nothing afterwards`, async (t) => {
    const dataDir = newDataDir(t)
    const first = await serve(t, dataDir, { mode })
    t.equal(await write(first, 0, 600), 600)
    t.equal(await answersOf(first, 'sensor/'), 600)
    t.equal((await fetch(`${first.url}/readyz`)).status, 200)
    t.equal((await first.stop()).code, 0)

    const second = await serve(t, dataDir, { mode })
    t.match(second.ready, { durable_lsn: 600, replayed: 0, truncated_bytes: 0, clean_shutdown: true })
    t.equal(await write(second, 0, 600), 600, 'known ids are acked again')
    t.equal(await answersOf(second, 'sensor/'), 600)
    const metrics = await (await fetch(`${second.url}/metrics`)).text()
    t.match(metrics, /^stemedb_durable_lsn 600$/m, 'nothing was written twice')
    await second.kill9()

    const third = await serve(t, dataDir, { mode })
    t.equal(third.ready.durable_lsn, 600)
    t.equal(await answersOf(third, 'sensor/'), 600)
  })
}

t.test('a data directory is for its owner only, and for one process', async (t) => {
  const dataDir = join(newDataDir(t), 'data')
  await serve(t, dataDir)
  for (const name of ['', 'wal', 'db', 'node.key']) t.equal(statSync(join(dataDir, name)).mode & 0o077, 0, name)
  await refusesToStart(t, dataDir, /data_dir_locked/)
})

t.test('a wrong setting stops the start and says which', async (t) => {
  const dataDir = newDataDir(t)
  for (const [args, words] of [
    [['--ring-bytes', '1000000'], /ringBytes|ring-bytes/], [['--signatures', 'maybe'], /required, optional/],
    [['--api-port', '70000'], /65535/],
  ] as const) {
    const { status, stderr } = stemedb('serve', '--data-dir', dataDir, ...args)
    t.equal(status, EXIT.config, args.join(' '))
    t.match(stderr, words)
  }
  t.equal(readdirSync(dataDir).length, 0, 'nothing was touched')
})

/** A module for `preload` that has the thread of subscriptions run `code` before its own. */
const inFeedThread = (code: string): string => `data:text/javascript,${encodeURIComponent(`if (process.argv[1].includes("feed.worker")) ${code}`)}`

t.test('a thread that can not load ends the start, with the reason', async (t) => {
  const { exit, logs } = await failedStart(newDataDir(t), [inFeedThread('throw new Error("nothing to feed")')])
  t.equal(exit?.code, EXIT.internal)
  t.match(logs, /"message":"the node did not start"/)
  t.match(logs, /nothing to feed/)
})

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  t.test(`${signal} before the node serves ends the start, and the next one works`, async (t) => {
    const dataDir = newDataDir(t)
    const { exit, logs } = await failedStart(dataDir, [inFeedThread(`{ process.kill(process.pid, "${signal}"); await new Promise((resolve) => setTimeout(resolve, 60_000)) }`)])
    t.match(exit, { code: EXIT.ok, signal: null }, logs)
    t.match(logs, /listening/, 'the door was open')
    t.notMatch(logs, /"ready":true/, 'it never said that it is ready')
    t.match(logs, /asked to end before it served/)
    t.equal(await write(await serve(t, dataDir), 0, 10), 10)
  })
}

t.test('a node whose standard output nobody reads serves, and drains when it is asked to', async (t) => {
  const child = spawn(process.execPath, [MAIN, 'serve', '--data-dir', newDataDir(t), '--api-port', '0', '--wal-segment-bytes', String(SEGMENT.walSegmentBytes)], { stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => child.kill('SIGKILL'))
  const ended = new Promise((resolve) => child.once('close', resolve))
  child.stdout.destroy()
  let logs = ''
  const isReady = new Promise<void>((resolve) => child.stderr.on('data', (piece: Buffer) => {
    logs += piece.toString()
    if (logs.includes('"message":"ready"')) resolve()
  }))
  await Promise.race([isReady, ended])
  // Some turns later the line has met that nobody reads it.
  const [, url] = /"url":"(http:[^"]+)"/.exec(logs)!
  for (let i = 0; i < 3; i++) t.equal((await fetch(`${url}/v1/health`)).status, 200)
  child.kill('SIGTERM')
  t.equal(await ended, EXIT.ok, logs)
  t.match(logs, /draining[^]*stopped/)
})

t.test('a thread that has more members still stores everything once', async (t) => {
  const server = await serve(t, newDataDir(t), { verifyThreads: 3, lensThreads: 2, merkleThreads: 2 })
  const counts = await Promise.all([0, 1, 2, 3].map((i) => write(server, i * 200, 400)))
  t.equal(counts.reduce((a, b) => a + b, 0), 1600)
  t.equal(await answersOf(server, 'sensor/'), 1000)
})

t.test('receipts come over the WebSocket and verify', async (t) => {
  const server = await serve(t, newDataDir(t))
  const client = await connect(server.wsUrl, { signer, WebSocket })
  const acks = await client.assertMany([{ subject: 'a/b', predicate: 'p', object: 'x', confidence: 1 }], { receipts: true })
  const receipt = await acks[0]!.receipt
  t.match(receipt, { accepted: 1, firstLsn: 1n })
  await client.close()
})

t.test('damaged indexes: the node says so, store verify finds it, store rebuild mends it', async (t) => {
  const dataDir = newDataDir(t)
  const server = await serve(t, dataDir)
  await write(server, 0, 500)
  await server.stop()
  const intact = stemedb('store', 'verify', '--data-dir', dataDir)
  t.equal(intact.status, 0, intact.stderr + intact.stdout)

  writeFileSync(join(dataDir, 'db', 'CURRENT'), 'MANIFEST-999999\n')
  await refusesToStart(t, dataDir, /store rebuild/)
  const rebuilt = stemedb('store', 'rebuild', '--data-dir', dataDir)
  t.equal(rebuilt.status, 0, rebuilt.stderr + rebuilt.stdout)
  t.equal(stemedb('store', 'verify', '--data-dir', dataDir).status, 0)
  const again = await serve(t, dataDir)
  t.equal(await answersOf(again, 'sensor/'), 500)
})
