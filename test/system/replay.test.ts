import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import { concatBytes, toHex } from '../../src/base/bytes.ts'
import { batchMessage, realmHashOf, singleMessage } from '../../src/merkle/signed-message.ts'
import { rootOfIds } from '../../src/merkle/tree.ts'
import type { Assertion } from '../../src/record/assertion.ts'
import { assertionToJson } from '../../src/record/assertion.json.ts'
import { assertionIdOf, initHash } from '../../src/record/claim.ts'
import { signMessage } from '../../src/verify/ed25519.ts'
import { keyPairOfSeed } from '../../src/verify/keys.ts'
import { encodeAssertion } from '../../src/wire/assertion.codec.ts'
import { encodeBatch, type BatchItem } from '../../src/wire/batch.codec.ts'
import { recordFault } from '../support/fault-record.ts'
import { buildRoot } from '../support/root.ts'
import { startServer, type RunningServer, type Settings } from '../support/server.ts'
import { requireTool } from '../support/tools.ts'
import { curl, get, postJson } from './curl.ts'
import { Socket } from './socket.ts'

t.setTimeout(240_000)

// What somebody has recorded and sends again: to the same node it is the same assertion under its first stamp, anywhere
// else, or cut up and put together anew, it is nothing.

await initHash()
const agent = keyPairOfSeed(new Uint8Array(32).fill(1))
let made = 0
const claim = (): Assertion => ({
  subject: `replay/${made}`, predicate: 'p', object: { kind: 'number', value: made }, confidence: 0.5, sourceClass: 3, sourceHash: new Uint8Array(32),
  lifecycle: 'proposed', agent: agent.publicKey, assertedAtMs: 1_700_000_000_000 + made++,
})
const claims = (count: number): Assertion[] => Array.from({ length: count }, claim)

const signSingle = (assertion: Assertion, realm: string): Uint8Array => signMessage(agent.secretKey, singleMessage(realmHashOf(realm), assertionIdOf(assertion)))
const signBatch = (list: readonly Assertion[], realm: string): Uint8Array =>
  signMessage(agent.secretKey, batchMessage(realmHashOf(realm), list.length, rootOfIds(concatBytes(...list.map(assertionIdOf)))))
const bare = (list: readonly Assertion[]): BatchItem[] => list.map((assertion) => ({ assertion: encodeAssertion(assertion) }))
const frameOf = (list: readonly Assertion[], signature: Uint8Array): Uint8Array => encodeBatch({ requestId: 9n, agent: agent.publicKey, signature, items: bare(list) })
const batchOf = (list: readonly Assertion[], realm = 'default'): Uint8Array => frameOf(list, signBatch(list, realm))
const singlesOf = (list: readonly Assertion[], realm = 'default'): Uint8Array =>
  encodeBatch({ requestId: 9n, items: list.map((assertion) => ({ assertion: encodeAssertion(assertion), signature: signSingle(assertion, realm) })) })
const jsonOf = (assertion: Assertion, realm = 'default'): string => JSON.stringify({ ...assertionToJson(assertion), signature: toHex(signSingle(assertion, realm)) })

function dirOf(t: Test): string {
  const dataDir = mkdtempSync(join(tmpdir(), 'stemedb-replay-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  return dataDir
}

async function serve(t: Test, dataDir: string, settings: Settings = {}, mutant?: string): Promise<RunningServer> {
  const preload = mutant === undefined ? [] : [pathToFileURL(join(buildRoot, 'test', 'fault', 'mutants', `${mutant}.js`)).href]
  const server = await startServer({ dataDir, preload, settings: { walSegmentBytes: 16 * 2 ** 20, verifyThreads: 2, lensThreads: 1, ...settings } })
  t.teardown(() => server.kill9())
  return server
}

/** What one way of sending says: how many are new, were there, were refused with which codes, and the stamps of all that are there. */
interface Told {
  readonly created: number
  readonly duplicate: number
  readonly refusals: readonly string[]
  readonly lsns: readonly number[]
}

async function overSocket(server: RunningServer, frame: Uint8Array): Promise<Told> {
  const socket = await Socket.open(server.wsUrl)
  const ack = await socket.ask(frame)
  await socket.close()
  const duplicates = ack.outcomes.filter(({ code }) => code === 'duplicate')
  const refusals = ack.outcomes.filter(({ code }) => code !== 'duplicate').map(({ code }) => code)
  const fresh = Array.from({ length: ack.accepted }, (_, i) => ack.firstLsn + i)
  return {
    created: ack.accepted, duplicate: duplicates.length, lsns: [...fresh, ...duplicates.map(({ lsn }) => lsn)].sort((a, b) => a - b),
    refusals: ack.refused === undefined ? refusals : [ack.refused],
  }
}

interface BatchResult { created?: number, duplicate?: number, first_lsn?: number, outcomes?: { code: string, lsn?: number }[], code?: string }

async function overHttp(server: RunningServer, frame: Uint8Array): Promise<Told> {
  const answer = await curl(['-H', 'content-type: application/vnd.stemedb.batch', '--data-binary', '@-', `${server.url}/v1/assert/batch`], frame)
  const { created = 0, duplicate = 0, first_lsn: firstLsn = 0, outcomes = [], code } = answer.json() as BatchResult
  const fresh = Array.from({ length: created }, (_, i) => firstLsn + i)
  const duplicates = outcomes.filter((outcome) => outcome.code === 'duplicate').map(({ lsn }) => lsn ?? 0)
  return {
    created, duplicate, lsns: [...fresh, ...duplicates].sort((a, b) => a - b),
    refusals: code !== undefined ? [code] : outcomes.filter((outcome) => outcome.code !== 'duplicate').map((outcome) => outcome.code),
  }
}

const WAYS = { overSocket, overHttp } as const

const durableLsn = async (server: RunningServer): Promise<number> => (await get(`${server.url}/v1/health`)).json()['durable_lsn'] as number

/** LSN and HLC that a reader sees; waits until they can be read. */
async function stampsOf(server: RunningServer, list: readonly Assertion[]): Promise<string[]> {
  await get(`${server.url}/v1/query?subject=none&min_lsn=${await durableLsn(server)}`)
  return Promise.all(list.map(async (assertion) => {
    const { lsn, hlc } = (await get(`${server.url}/v1/assertions/${toHex(assertionIdOf(assertion))}`)).json()
    return `${String(lsn)} ${String(hlc)}`
  }))
}

if (!requireTool(t, 'curl')) process.exit()

const file = t
let replays = 0
const FRAMES = { 'a signed batch': batchOf, 'single signatures': singlesOf } as const

t.test('the same bytes to the same node: the same ids under their first stamps, before and after a restart', async (t) => {
  const dataDir = dirOf(t)
  let server = await serve(t, dataDir)
  const sent = Object.entries(FRAMES).map(([kind, make]) => {
    const list = claims(5)
    return { kind, list, frame: make(list), first: [] as readonly number[], stamps: [] as string[] }
  })
  for (const one of sent) {
    const first = await overSocket(server, one.frame)
    t.match(first, { created: 5, duplicate: 0, refusals: [] }, one.kind)
    one.first = first.lsns
  }
  const single = claim()
  t.equal((await postJson(`${server.url}/v1/assert`, jsonOf(single))).status, 201)
  const total = await durableLsn(server)
  for (const one of sent) one.stamps = await stampsOf(server, one.list)
  const singleStamp = await stampsOf(server, [single])

  const replayAll = async (when: string): Promise<void> => {
    for (const { kind, list, frame, first, stamps } of sent) {
      for (const [way, send] of Object.entries(WAYS)) {
        for (let i = 0; i < 3; i++) {
          t.strictSame(await send(server, frame), { created: 0, duplicate: 5, refusals: [], lsns: first }, `${when}: ${kind}, ${way}`)
          replays++
        }
      }
      t.strictSame(await stampsOf(server, list), stamps, `${when}: ${kind}, its stamps`)
    }
    const again = await postJson(`${server.url}/v1/assert`, jsonOf(single))
    t.equal(again.status, 200, `${when}: as JSON`)
    t.match(again.json(), { status: 'duplicate', id: toHex(assertionIdOf(single)) })
    t.strictSame(await stampsOf(server, [single]), singleStamp)
    t.equal(`${String(again.json()['lsn'])} ${String(again.json()['hlc'])}`, singleStamp[0], 'the answer names the first stamp')
    t.equal(await durableLsn(server), total, `${when}: nothing was stored`)
  }
  await replayAll('running')
  await server.kill9()
  server = await serve(t, dataDir)
  await replayAll('after kill -9')
  await server.stop()
  server = await serve(t, dataDir)
  await replayAll('after a stop')
})

t.test('the same bytes at once from many sides are stored once', async (t) => {
  const server = await serve(t, dirOf(t))
  let total = 0
  for (let round = 0; round < 5; round++) {
    const list = claims(20)
    const frame = batchOf(list)
    const told = await Promise.all(Array.from({ length: 10 }, (_, i) => (i % 3 === 0 ? overHttp : overSocket)(server, frame)))
    replays += told.length - 1
    t.equal(told.reduce((sum, { created }) => sum + created, 0), 20, 'each is new to one of them')
    const lsns = Array.from({ length: 20 }, (_, i) => total + 1 + i)
    for (const one of told) t.strictSame(one.lsns, lsns, 'and all are told the same LSNs')
    total += 20
    t.equal(await durableLsn(server), total)
  }
})

t.test('a node of another realm takes nothing of it', async (t) => {
  for (const signatures of ['required', 'optional']) {
    const other = await serve(t, dirOf(t), { realm: 'another', signatures })
    const list = claims(3)
    for (const [way, send] of Object.entries(WAYS)) {
      t.strictSame(await send(other, batchOf(list)), { created: 0, duplicate: 0, refusals: ['signature_invalid'], lsns: [] }, `${signatures}: a signed batch, ${way}`)
      const singles = await send(other, singlesOf(list))
      t.ok(singles.created === 0 && singles.refusals.length > 0 && singles.refusals.every((code) => code === 'signature_invalid'), `${signatures}: single signatures, ${way}`)
      replays += 2
    }
    const json = await postJson(`${other.url}/v1/assert`, jsonOf(list[0]!))
    t.match([json.status, json.json()['code']], [403, 'signature_invalid'], `${signatures}: as JSON`)
    t.equal(await durableLsn(other), 0, 'nothing was stored')
    t.match(await overSocket(other, batchOf(list, 'another')), { created: 3, refusals: [] }, 'the control: signed for its realm they are taken')
  }
})

/** Everything that a thief of signatures can build: what must be refused, by what it is. */
function forgeries(): Record<string, Uint8Array> {
  const [list, others] = [claims(4), claims(4)]
  const signature = signBatch(list, 'default')
  const [one, two] = [list[0]!, others[0]!]
  return {
    'on other ids': frameOf(others, signature),
    'in another order': frameOf([list[1]!, list[0]!, list[2]!, list[3]!], signature),
    'reversed': frameOf(list.toReversed(), signature),
    'on fewer': frameOf(list.slice(0, 3), signature),
    'on more': frameOf([...list, others[0]!], signature),
    'on the same twice': frameOf([...list, list[3]!], signature),
    'with one replaced': frameOf([...list.slice(0, 3), others[0]!], signature),
    'as the signature of each': encodeBatch({ requestId: 9n, items: list.map((assertion) => ({ assertion: encodeAssertion(assertion), signature })) }),
    'a single one on another claim': encodeBatch({ requestId: 9n, items: [{ assertion: encodeAssertion(two), signature: signSingle(one, 'default') }] }),
    'a single one as that of its batch': frameOf([one], signSingle(one, 'default')),
    'a batch of one as a single one': encodeBatch({ requestId: 9n, items: [{ assertion: encodeAssertion(one), signature: signBatch([one], 'default') }] }),
    'without any': encodeBatch({ requestId: 9n, items: bare(list) }),
  }
}

t.test('a signature on anything but what it was made for is refused', async (t) => {
  const server = await serve(t, dirOf(t))
  for (const [way, send] of Object.entries(WAYS)) {
    for (const [what, frame] of Object.entries(forgeries())) {
      const told = await send(server, frame)
      t.ok(told.created + told.duplicate === 0 && told.refusals.length > 0, `${what}, ${way}: ${told.refusals.join(', ')}`)
      t.ok(told.refusals.every((code) => /^signature_(invalid|missing)$/.test(code)), `${what}, ${way}: for its signature`)
      replays++
    }
  }
  t.equal(await durableLsn(server), 0)
})

t.test('the tooth: mutants that store twice, or believe every signature, are noticed', async (t) => {
  const forgetful = await serve(t, dirOf(t), { mode: 'inline' }, 'forget-ids')
  const frame = batchOf(claims(3))
  await overSocket(forgetful, frame)
  const again = await overSocket(forgetful, frame)
  t.equal(again.created, 3, 'stored again by the one')
  t.equal(await durableLsn(forgetful), 6)

  const credulous = await serve(t, dirOf(t), { realm: 'another' }, 'accept-any-signature')
  const foreign = await overSocket(credulous, batchOf(claims(3)))
  t.equal(foreign.created, 3, 'taken from another realm by the other')
  let taken = 0
  for (const forged of Object.values(forgeries())) {
    const { created, duplicate } = await overSocket(credulous, forged)
    if (created + duplicate > 0) taken++
  }
  t.ok(taken >= 10, `and ${taken} forgeries`)
  recordFault({
    id: 'S4', title: 'recorded bytes sent again: same node, restarted, other realm, cut up', trials: replays, unit: 'replays', failures: file.passing() ? 0 : 1,
    tooth: `forgotten ids: ${again.created} of 3 stored again; any signature believed: ${foreign.created} of 3 and ${taken} forgeries taken`,
  })
})
