import { execFileSync, spawnSync } from 'node:child_process'
import { closeSync, cpSync, mkdtempSync, openSync, readFileSync, renameSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { fromHex, toHex } from '../../src/base/bytes.ts'
import { systemClock } from '../../src/base/clock.ts'
import { isDbError } from '../../src/base/errors.ts'
import { LogMonitor, connect, createSigner, httpProofs, newSecretKey, verifyCheckpoint, verifyProofFile, verifySignatureProof, type SignatureProof } from '../../src/client/client.ts'
import { scrape } from '../support/bystander.ts'
import { buildRoot, repoRoot } from '../support/root.ts'
import { startServer, type RunningServer, type Settings } from '../support/server.ts'
import { nodeKeyOf } from './proofs.ts'

t.setTimeout(300_000)

const CHECKPOINT_MS = 20

function newDir(t: Test): string {
  const dataDir = mkdtempSync(join(tmpdir(), 'stemedb-proofs-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  return dataDir
}

async function serve(t: Test, dataDir: string, settings: Settings = {}): Promise<RunningServer> {
  const server = await startServer({ dataDir, settings: { tlogCheckpointMs: CHECKPOINT_MS, walSegmentBytes: 16 * 2 ** 20, ...settings } })
  t.teardown(() => server.kill9())
  return server
}

/** Writes `count` assertions that nobody else writes, signed by batch. @returns their ids, in the order of the log */
async function write(server: RunningServer, count: number, salt: string, attemptsMax = 100): Promise<string[]> {
  const client = await connect(server.url, { WebSocket, signer: await createSigner(newSecretKey()), reconnect: { attemptsMax } })
  const ids: string[] = []
  const drafts = Array.from({ length: count }, (_, i) => ({ subject: `proof/${salt}/${i}`, predicate: 'is', object: { kind: 'number', value: i }, confidence: 1 } as const))
  for (const ack of await client.assertMany(drafts)) for (const result of ack.results) if (result.ok) ids[result.lsn - 1] = toHex(result.id)
  await client.close()
  return ids
}

const get = async (url: string): Promise<{ status: number, type: string, text: string, bytes: Uint8Array }> => {
  // A connection that was idle while we waited for a process may be gone.
  const response = await fetch(url).catch(() => fetch(url))
  const bytes = new Uint8Array(await response.arrayBuffer())
  return { status: response.status, type: response.headers.get('content-type') ?? '', text: new TextDecoder().decode(bytes), bytes }
}

/** The node's last head, once it covers `size` assertions. */
async function headOf(server: RunningServer, size: number, key: Uint8Array): Promise<string> {
  for (let tries = 0; ; tries++) {
    const { status, text } = await get(`${server.url}/v1/proofs/checkpoint`)
    if (status === 200 && (await verifyCheckpoint(text, key)).size >= size) return text
    if (tries > 1000) throw new Error(`no head of ${size}: ${status} ${text}`)
    await new Promise<void>((resolve) => void systemClock.timer(20, resolve))
  }
}

const codeOf = async (work: Promise<unknown>): Promise<string> =>
  work.then(() => 'nothing', (error: unknown) => (isDbError(error) ? error.code : String(error)))

t.test('everything is proven, offline and by somebody else\'s tool', async (t) => {
  const dataDir = newDir(t)
  const server = await serve(t, dataDir)
  const key = nodeKeyOf(dataDir)
  const ids = await write(server, 700, 'all')
  t.equal(ids.length, 700)
  const head = await headOf(server, 700, key)
  t.match(head, new RegExp(`^stemedb/default/${toHex(key)}\n700\n[A-Za-z0-9+/]{43}=\n\n— stemedb/default/${toHex(key)} [A-Za-z0-9+/=]{92}\n$`))

  const monitor = new LogMonitor(httpProofs(server.url), key, 'default')
  t.equal((await monitor.advance()).size, 700)
  for (const i of [0, 1, 254, 255, 256, 511, 512, 698, 699]) t.equal(await monitor.includes(ids[i]!), i)
  const kept = monitor.head!
  await write(server, 300, 'more')
  await headOf(server, 1000, key)
  t.equal((await monitor.advance()).size, 1000, 'a head that only grew is taken')
  t.not(monitor.head, kept)
  t.equal(await monitor.includes(ids[42]!), 42)

  const signature = JSON.parse((await get(`${server.url}/v1/proofs/signature/${ids[42]}`)).text) as SignatureProof
  t.match(signature, { id: ids[42], signed_by: 'batch', realm: 'default' })
  t.ok(await verifySignatureProof(signature))
  t.notOk(await verifySignatureProof({ ...signature, id: ids[43]! }))
  t.notOk(await verifySignatureProof({ ...signature, realm: 'other' }))

  const file = join(dataDir, 'one.tlog-proof')
  const bundle = await get(`${server.url}/v1/proofs/bundle/${ids[42]}`)
  t.match(bundle.type, /^text\/plain/)
  writeFileSync(file, bundle.text)
  const verified = await verifyProofFile(bundle.text, { key, realm: 'default' })
  t.match(verified, { index: 42, signed: 'batch', assertion: { subject: 'proof/all/42' } })
  const script = join(repoRoot, 'test', 'support', 'check_tlog_proof.py')
  t.match(execFileSync('python3', [script, file, toHex(key), ids[42]!], { encoding: 'utf8' }), /^42 1000\n$/, 'Python agrees')
  t.equal(spawnSync('python3', [script, file, toHex(key), ids[43]!]).status, 1, 'and says no to another assertion')
  t.equal(spawnSync('python3', [script, file, toHex(newSecretKey()), ids[42]!]).status, 1, 'and to another key')

  const cli = join(buildRoot, 'src', 'cli', 'main.js')
  const run = (...args: string[]) => spawnSync(process.execPath, [cli, 'verify', ...args], { encoding: 'utf8' })
  const offline = run(file, '--key', toHex(key), '--json')
  t.equal(offline.status, 0, offline.stderr)
  t.match(JSON.parse(offline.stdout), { ok: true, id: ids[42], index: 42, lsn: 43, size: 1000, signed_by: 'batch', pinned: true })
  t.equal(run(ids[7]!, '--url', server.url, '--json').status, 0)
  t.match(run(ids[7]!, '--url', server.url).stdout, /LSN 8/)
  const wrong = run(file, '--key', toHex(newSecretKey()))
  t.equal(wrong.status, 1)
  t.match(wrong.stderr, /not signed by this key/)
  writeFileSync(file, bundle.text.replace('index 42', 'index 43'))
  t.equal(run(file, '--key', toHex(key)).status, 1)

  await t.test('tiles make a mirror', async (t) => {
    const tile = await get(`${server.url}/v1/proofs/tile/0/000`)
    t.equal(tile.status, 200)
    t.equal(tile.bytes.length, 8192)
    const entries = await get(`${server.url}/v1/proofs/tile/entries/002`)
    t.equal(toHex(entries.bytes.subarray(0, 34)), `0020${ids[512]}`)
    t.equal((await get(`${server.url}/v1/proofs/tile/0/003.p/232`)).bytes.length, 232 * 32)
    t.equal((await get(`${server.url}/v1/proofs/tile/1/000.p/3`)).bytes.length, 96)
    t.equal((await get(`${server.url}/v1/proofs/tile/0/003.p/233`)).status, 404)
    t.equal((await get(`${server.url}/v1/proofs/tile/0/004`)).status, 404)
    t.equal((await get(`${server.url}/v1/proofs/tile/0/x000/001`)).status, 400)
  })

  await t.test('the empty tree is the beginning of every tree', async (t) => {
    const consistency = async (query: string): Promise<object> => JSON.parse((await get(`${server.url}/v1/proofs/consistency?${query}`)).text) as object
    const empty = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
    t.strictSame(await consistency('from=0&to=0'), { from: 0, to: 0, root: empty, path: [], checkpoint: null })
    t.match(await consistency('from=0&to=7'), { from: 0, to: 7, path: { length: 0 }, checkpoint: null })
    t.match(await consistency('from=0'), { from: 0, to: 1000, path: { length: 0 }, checkpoint: String })
  })

  await t.test('what is refused', async (t) => {
    const refused = async (path: string): Promise<string> => {
      const { status, text } = await get(`${server.url}/v1/proofs/${path}`)
      return `${status} ${(JSON.parse(text) as { code: string }).code}`
    }
    t.equal(await refused(`inclusion/${'0'.repeat(64)}`), '404 not_found')
    t.equal(await refused('inclusion/zz'), '400 parameter_invalid')
    t.equal(await refused(`inclusion/${ids[42]}?size=42`), '400 parameter_invalid')
    t.equal(await refused(`inclusion/${ids[42]}?size=1001`), '400 parameter_invalid')
    t.equal(await refused('consistency'), '400 parameter_invalid')
    t.equal(await refused('consistency?from=8&to=7'), '400 parameter_invalid')
    t.equal(await refused('consistency?from=8&to=0'), '400 parameter_invalid')
    t.equal(await refused('consistency?from=9007199254740991'), '400 parameter_invalid')
    t.equal(await refused('consistency?from=0&to=9007199254740991'), '400 parameter_invalid')
    t.equal(await refused(`bundle/${'1'.repeat(64)}`), '404 not_found')
  })
})

t.test('a node that rewrote history is caught by who kept one head', async (t) => {
  const dataDir = newDir(t)
  const first = await serve(t, dataDir)
  const key = nodeKeyOf(dataDir)
  await write(first, 300, 'true')
  await headOf(first, 300, key)
  const monitor = new LogMonitor(httpProofs(first.url), key)
  await monitor.advance()
  const kept = monitor.head!
  await first.stop()
  cpSync(dataDir, join(dataDir, '..', `${dataDir.split('/').at(-1)}-copy`), { recursive: true })
  const copy = `${dataDir}-copy`
  t.teardown(() => rmSync(copy, { recursive: true, force: true }))

  // The operator keeps the key, and begins the log anew: for the node itself nothing is wrong.
  for (const name of ['wal', 'db', 'tlog']) rmSync(join(dataDir, name), { recursive: true })
  const liar = await serve(t, dataDir)
  await write(liar, 299, 'false')
  await headOf(liar, 299, key)
  const shorter = new LogMonitor(httpProofs(liar.url), key)
  await shorter.resume(kept)
  t.equal(await codeOf(shorter.advance()), 'history_rewritten', 'a shorter log')
  await write(liar, 1, 'false2')
  await headOf(liar, 300, key)
  t.equal(await codeOf(shorter.advance()), 'history_rewritten', 'another log of the same size')
  await write(liar, 100, 'false3')
  await headOf(liar, 400, key)
  t.equal(await codeOf(shorter.advance()), 'history_rewritten', 'another log that is longer')
  t.equal(shorter.head, kept, 'and the head is kept')
  await liar.stop()

  await t.test('a node that still has its head refuses by itself', async (t) => {
    // Another node's log under the same key, beside the old head.
    const other = await serve(t, copy)
    await other.stop()
    for (const name of ['wal', 'db']) {
      rmSync(join(copy, name), { recursive: true })
      renameSync(join(dataDir, name), join(copy, name))
    }
    const confused = await serve(t, copy)
    for (let tries = 0; tries < 500; tries++) {
      const { text } = await get(`${confused.url}/v1/proofs/checkpoint`)
      if (text.includes('proof_log_diverged')) break
      await new Promise<void>((resolve) => void systemClock.timer(20, resolve))
    }
    const { status, text } = await get(`${confused.url}/v1/proofs/checkpoint`)
    t.equal(status, 500)
    t.match(text, /proof_log_diverged/)
    t.match((await get(`${confused.url}/readyz?verbose`)).text, /proofs.*proof_log_diverged/)
    const [isDiverged, errors] = await scrape(confused.url, 'stemedb_tlog_diverged', 'stemedb_tlog_errors_total')
    t.equal(isDiverged, 1, 'its alert is on the gauge')
    t.ok(errors! >= 1)
    t.equal((await write(confused, 5, 'on')).filter(Boolean).length, 5, 'and goes on with everything else')
  })
})

t.test('kill -9 at any moment: every later head goes on from every one that was given out', async (t) => {
  const dataDir = newDir(t)
  let monitor: LogMonitor | undefined
  let total = 0
  for (let round = 0; round < 4; round++) {
    const server = await serve(t, dataDir, { tlogCheckpointMs: 10 })
    const key = nodeKeyOf(dataDir)
    const kept = monitor?.head
    monitor = new LogMonitor(httpProofs(server.url), key)
    if (kept !== undefined) await monitor.resume(kept)
    await headOf(server, total, key)
    await monitor.advance()
    const writing = write(server, 3000, `round${round}`, 1).then((ids) => ids, () => [])
    // Heads are taken while tiles are being written, up to the kill.
    const untilMs = systemClock.monoMs() + 80 + round * 40
    while (systemClock.monoMs() < untilMs) await monitor.advance()
    await server.kill9()
    await writing
    total = (await verifyCheckpoint(monitor.head!, key)).size
    t.pass(`round ${round}: ${total}`)
  }
  const server = await serve(t, dataDir)
  const key = nodeKeyOf(dataDir)
  const last = new LogMonitor(httpProofs(server.url), key)
  await last.resume(monitor!.head!)
  await headOf(server, server.ready.durable_lsn, key)
  t.equal((await last.advance()).size, server.ready.durable_lsn)
  await server.stop()
  t.ok(statSync(join(dataDir, 'tlog', 'ids')).size >= server.ready.durable_lsn * 32)

  await t.test('tiles that are gone or torn are made again', async (t) => {
    const head = last.head!
    const spoil = [
      () => rmSync(join(dataDir, 'tlog', 'ids')),
      () => writeFileSync(join(dataDir, 'tlog', 'level-1'), readFileSync(join(dataDir, 'tlog', 'level-1')).fill(0)),
      () => writeFileSync(join(dataDir, 'tlog', 'ids'), readFileSync(join(dataDir, 'tlog', 'ids')).subarray(0, 100)),
    ]
    for (const damage of spoil) {
      damage()
      const again = await serve(t, dataDir)
      const check = new LogMonitor(httpProofs(again.url), key)
      await check.resume(head)
      await headOf(again, again.ready.durable_lsn, key)
      await check.advance()
      t.equal(check.head!.split('\n')[2], head.split('\n')[2], 'the same root')
      await again.stop()
    }
  })
})

t.test('tiles that rot under a running node are made again, and nothing wrong is given out meanwhile', async (t) => {
  const dataDir = newDir(t)
  const server = await serve(t, dataDir)
  const key = nodeKeyOf(dataDir)
  const ids = await write(server, 700, 'rot')
  const head = await headOf(server, 700, key)
  const spoil = openSync(join(dataDir, 'tlog', 'ids'), 'r+')
  writeSync(spoil, new Uint8Array(32), 0, 32, 300 * 32)
  closeSync(spoil)
  const monitor = new LogMonitor(httpProofs(server.url), key)
  await monitor.resume(head)
  const codes = new Set<number>()
  for (let tries = 0; tries < 500; tries++) {
    const { status, text } = await get(`${server.url}/v1/proofs/inclusion/${ids[301]}`)
    codes.add(status)
    if (status === 200) break
    t.match(text, /proof_pending/)
    await new Promise<void>((resolve) => void systemClock.timer(20, resolve))
  }
  t.strictSame([...codes], [503, 200], 'what does not hold is not given out, and holds soon')
  t.equal(await monitor.includes(ids[301]!), 301)
  t.match((await get(`${server.url}/metrics`)).text, /^stemedb_tlog_rebuilds_total 1$/m)
  t.equal((await get(`${server.url}/v1/proofs/checkpoint`)).text, head, 'the head stands')
})

t.test('without the log', async (t) => {
  const server = await serve(t, newDir(t), { tlogEnabled: 'off' })
  const ids = await write(server, 3, 'off')
  const { status, text } = await get(`${server.url}/v1/proofs/checkpoint`)
  t.equal(status, 404)
  t.match(text, /proofs_disabled/)
  const signature = JSON.parse((await get(`${server.url}/v1/proofs/signature/${ids[1]}`)).text) as SignatureProof
  t.ok(await verifySignatureProof(signature), 'signatures are proven all the same')
  t.ok(fromHex(ids[0]!, 32))
})
