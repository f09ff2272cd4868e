import { chmodSync, chownSync, cpSync, existsSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import WebSocket from 'ws'
import { EXIT } from '../../src/base/exit-codes.ts'
import { connect } from '../../src/client/client.ts'
import { createSigner } from '../../src/client/signer.ts'
import { StartFailure, startServer, type RunningServer, type ServerOptions } from '../support/server.ts'
import { stemedb, type CommandResult } from './command.ts'

t.setTimeout(600_000)

// What an operator does wrong, or has to do: other users' folders, keys that are left behind, ports, and a log that is damaged for good.

const SEGMENT = { walSegmentBytes: 1024 * 1024, frameBytesMax: 256 * 1024, groupBytesMax: 256 * 1024, tlogCheckpointMs: 100 }
/** nobody: any user that is not root. */
const OTHER = 65534
const IS_ROOT = process.geteuid?.() === 0
const notRoot = IS_ROOT ? {} : { skip: 'only root can be another user' }

/** Others may pass through it. */
function newDataDir(t: Test): string {
  const root = mkdtempSync(join(tmpdir(), 'stemedb-operator-'))
  chmodSync(root, 0o755)
  t.teardown(() => rmSync(root, { recursive: true, force: true }))
  return join(root, 'data')
}

async function serve(t: Test, dataDir: string, options: Partial<ServerOptions> = {}): Promise<RunningServer> {
  const server = await startServer({ dataDir, readyMsMax: 120_000, ...options, settings: { ...SEGMENT, ...options.settings } })
  t.teardown(() => server.kill9())
  return server
}

/** @throws {Error} where the node starts */
async function failedStart(dataDir: string, options: Partial<ServerOptions> = {}): Promise<StartFailure> {
  const outcome = await startServer({ dataDir, readyMsMax: 120_000, ...options, settings: { ...SEGMENT, ...options.settings } }).catch((error: unknown) => error)
  if (outcome instanceof StartFailure) return outcome
  throw new Error('it started')
}

const asOther = { wrapper: ['setpriv', `--reuid=${OTHER}`, `--regid=${OTHER}`, '--clear-groups'] }

function giveTo(path: string, uid: number): void {
  chownSync(path, uid, uid)
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) giveTo(join(path, entry.name), uid)
    else chownSync(join(path, entry.name), uid, uid)
  }
}

const signer = await createSigner(new Uint8Array(32).fill(7))
const TEXT = 'x'.repeat(1000)

async function write(server: RunningServer, from: number, count: number): Promise<void> {
  const client = await connect(server.wsUrl, { signer, WebSocket })
  for (let i = from; i < from + count; i += 50) {
    await client.assertMany(Array.from({ length: Math.min(50, from + count - i) }, (_, k) =>
      ({ subject: `sensor/${i + k}`, predicate: 'text', object: `${i + k} ${TEXT}`, confidence: 1, assertedAtMs: 1_700_000_000_000 })))
  }
  await client.close()
}

async function answersOf(server: RunningServer, minLsn: number): Promise<number> {
  let found = 0
  for (let cursor: string | undefined = ''; cursor !== undefined;) {
    const response = await fetch(`${server.url}/v1/query?prefix=sensor/&limit=500&min_lsn=${minLsn}${cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`}`)
    if (response.status !== 200) throw new Error(await response.text())
    const page = await response.json() as { answers: unknown[], cursor?: string }
    found += page.answers.length
    cursor = page.cursor
  }
  return found
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!await holds()) await new Promise((resolve) => setTimeout(resolve, 20))
}

async function filledDir(t: Test, count = 50): Promise<string> {
  const dataDir = newDataDir(t)
  const server = await serve(t, dataDir)
  await write(server, 0, count)
  await server.stop()
  return dataDir
}

t.test('root touches no data directory of another user, and says which command to run', notRoot, async (t) => {
  const dataDir = await filledDir(t)
  giveTo(dataDir, OTHER)
  for (const command of [['store', 'verify'], ['store', 'rebuild'], ['wal', 'cut', '--at', '1:512']]) {
    const { code, stderr } = await stemedb([...command, '--data-dir', dataDir])
    t.equal(code, EXIT.config, command.join(' '))
    t.ok(stderr.includes(`sudo -u nobody stemedb ${command.join(' ')} --data-dir ${dataDir} `), stderr)
  }
  const user = await stemedb(['store', 'verify', '--data-dir', dataDir], { uid: OTHER })
  t.equal(user.code, EXIT.ok, user.stderr)
  await (await serve(t, dataDir, asOther)).stop()
})

t.test('files of another user: a wrong setting, and no fault of the disk', notRoot, async (t) => {
  const dataDir = await filledDir(t)
  const says = (told: { readonly code?: number | null, readonly exit?: { code: number | null } | undefined, readonly stderr?: string, readonly logs?: string }, what: string): void => {
    t.equal(told.code ?? told.exit?.code, EXIT.config, what)
    t.match(told.stderr ?? told.logs, /run it as the node's user/, what)
    t.notMatch(told.stderr ?? told.logs, /holds no|not there/, what)
  }
  const commands = [['wal', 'inspect'], ['wal', 'verify'], ['store', 'verify'], ['store', 'rebuild'], ['wal', 'cut', '--at', '1:512']]
  for (const command of commands) says(await stemedb([...command, '--data-dir', dataDir], { uid: OTHER }), command.join(' '))
  says(await failedStart(dataDir, asOther), 'serve, none of it')
  giveTo(dataDir, OTHER)
  giveTo(join(dataDir, 'db'), 0)
  chownSync(join(dataDir, 'db'), OTHER, OTHER)
  says(await failedStart(dataDir, asOther), 'serve, what root left in db/')
  giveTo(dataDir, OTHER)
  chownSync(join(dataDir, 'wal', 'MANIFEST'), 0, 0)
  says(await failedStart(dataDir, asOther), 'serve, the manifest')
})

t.test('a log without its key: no new key, and where the old one belongs', async (t) => {
  const dataDir = await filledDir(t)
  const copy = newDataDir(t)
  cpSync(join(dataDir, 'wal'), join(copy, 'wal'), { recursive: true })
  const { exit, logs } = await failedStart(copy)
  t.equal(exit?.code, EXIT.config)
  t.match(logs, /node\.key is missing.*put the node\.key there/)
  t.notOk(existsSync(join(copy, 'node.key')))
  for (const name of ['node.key', 'tlog']) cpSync(join(dataDir, name), join(copy, name), { recursive: true })
  const server = await serve(t, copy)
  t.equal(await answersOf(server, 50), 50)
  await server.stop()
})

t.test('a port in use, an address of nobody, a folder that is a file: wrong settings', async (t) => {
  const server = await serve(t, newDataDir(t))
  const taken = await failedStart(newDataDir(t), { settings: { apiPort: server.port } })
  t.equal(taken.exit?.code, EXIT.config)
  t.match(taken.logs, /the port is in use.*set another apiPort/)
  await server.stop()
  const foreign = await failedStart(newDataDir(t), { settings: { bindAddress: '192.0.2.1' } })
  t.equal(foreign.exit?.code, EXIT.config)
  t.match(foreign.logs, /correct bindAddress/)
  const file = newDataDir(t)
  writeFileSync(file, '')
  const { exit, logs } = await failedStart(file)
  t.equal(exit?.code, EXIT.config)
  t.match(logs, /a file stands where a folder must be/)
})

/** Flips a byte in the middle of the second segment, where only readers of that record see it. Its LSN, and where the record is. */
async function damage(dataDir: string): Promise<{ readonly at: string, readonly lsnFirst: number }> {
  const inspected = await stemedb(['wal', 'inspect', '--data-dir', dataDir, '--from-segment', '2', '--limit', '1000', '--json'])
  const batches = inspected.lines().filter((record) => record['segmentId'] === 2 && record['kind'] === 'batch')
  const record = batches[batches.length >> 1] as { offset: number, lsnFirst: number }
  const path = join(dataDir, 'wal', '0000000002.wal')
  const bytes = readFileSync(path)
  bytes[record.offset + 100]! ^= 1
  writeFileSync(path, bytes)
  return { at: `2:${record.offset}`, lsnFirst: record.lsnFirst }
}

const ASSERTIONS = 4000

const jsonOf = ({ stdout, stderr }: CommandResult): Record<string, unknown> => JSON.parse(stdout === '' ? stderr : stdout) as Record<string, unknown>

t.test('a sealed segment is damaged and there is no backup: cut there, the node starts with all before it', async (t) => {
  const dataDir = newDataDir(t)
  const first = await serve(t, dataDir)
  await write(first, 0, ASSERTIONS)
  await until(async () => (await (await fetch(`${first.url}/v1/proofs/checkpoint`)).text()).split('\n')[1] === String(ASSERTIONS))
  const locked = await stemedb(['wal', 'cut', '--at', '1:512', '--data-dir', dataDir])
  t.match([locked.code, locked.stderr], [EXIT.data, /data_dir_locked/], 'not while it runs')
  await first.stop()
  const { at, lsnFirst } = await damage(dataDir)
  const lsnKept = lsnFirst - 1
  t.ok(lsnKept > 100 && lsnKept < ASSERTIONS / 2, `LSN ${lsnKept} of ${ASSERTIONS}`)

  t.match(jsonOf(await stemedb(['wal', 'verify', '--data-dir', dataDir, '--json'])), { ok: false, damage: { segmentId: 2, offset: Number(at.slice(2)) } })
  const rebuild = await stemedb(['store', 'rebuild', '--data-dir', dataDir])
  t.match([rebuild.code, rebuild.stderr], [EXIT.data, /wal_corrupt/], 'no store is made of it')
  t.notOk(existsSync(join(dataDir, 'db.broken-1')), 'and the old one stays where it is')
  renameSync(join(dataDir, 'db'), join(dataDir, 'db.old'))
  t.equal((await failedStart(dataDir)).exit?.code, EXIT.data, 'nor does a node start on it that needs the whole log')
  rmSync(join(dataDir, 'db'), { recursive: true })
  renameSync(join(dataDir, 'db.old'), join(dataDir, 'db'))

  const elsewhere = await stemedb(['wal', 'cut', '--at', '1:512', '--data-dir', dataDir])
  t.match([elsewhere.code, elsewhere.stderr], [EXIT.usage, new RegExp(`first damage is at ${at} `)])
  const cut = await stemedb(['wal', 'cut', '--at', at, '--data-dir', dataDir, '--json'])
  t.equal(cut.code, EXIT.ok, cut.stderr)
  t.match(jsonOf(cut), { at, lsnKept, lsnLostFrom: lsnFirst, lsnLostTo: ASSERTIONS, storeMovedTo: join(dataDir, 'db.broken-1') })
  for (const path of jsonOf(cut)['aside'] as string[]) t.ok(existsSync(path), path)

  const again = await serve(t, dataDir)
  t.equal(again.ready.durable_lsn, lsnKept)
  t.equal(await answersOf(again, lsnKept), lsnKept, 'everything before the damage')
  await write(again, ASSERTIONS, 50)
  await write(again, ASSERTIONS - 50, 50)
  t.equal(await answersOf(again, lsnKept + 100), lsnKept + 100, 'it takes what is new, and what was lost, again')
  t.equal((await fetch(`${again.url}/readyz`)).status, 200)
  // What it has signed it does not sign otherwise.
  await until(async () => (await (await fetch(`${again.url}/readyz?verbose`)).text()).includes('proofs degraded: proof_log_diverged'))
  await again.stop()
  t.equal((await stemedb(['wal', 'verify', '--data-dir', dataDir])).code, EXIT.ok)
  const verified = await stemedb(['store', 'verify', '--data-dir', dataDir])
  t.equal(verified.code, EXIT.ok, verified.stdout + verified.stderr)
})

t.test('a time that is too far ahead: the refusal says which field, and how far it may be', async (t) => {
  const server = await serve(t, newDataDir(t), { settings: { signatures: 'optional' } })
  const body = JSON.stringify({ subject: 'a', predicate: 'b', object: 'c', confidence: 1, agent: 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a', asserted_at: '2500-01-01T00:00:00Z' })
  const response = await fetch(`${server.url}/v1/assert`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
  t.equal(response.status, 400)
  const { code, detail } = await response.json() as { code: string, detail: string }
  t.equal(code, 'field_invalid')
  t.match(detail, /\/asserted_at.*hlcDriftMaxMs/)
})
