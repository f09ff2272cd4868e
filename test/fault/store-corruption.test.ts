import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { systemClock } from '../../src/base/clock.ts'
import { EXIT } from '../../src/base/exit-codes.ts'
import type { Random } from '../../src/base/random.ts'
import { MiB } from '../../src/base/units.ts'
import { COLUMNS } from '../../src/store/store.ts'
import { openRocksStore } from '../../src/store/store-rocksdb.ts'
import { readDamaged } from '../support/damaged-reads.ts'
import { recordFault } from '../support/fault-record.ts'
import { getAll } from '../support/history.http.ts'
import { Trial, trialCount, trialSeed, tryStart } from '../support/history.trial.ts'
import { StartFailure, within, type RunningServer } from '../support/server.ts'
import { stemedb } from '../system/command.ts'

t.setTimeout(850_000)

// A byte of some file of RocksDB, or of the run files beside it, changes while the node is down. Whatever it does then, start or not, it never gives a wrong
// answer, it says what is wrong, and a rebuild from the log makes everything right again: nothing acked is lost.

const FLIPS = trialCount(40)
/** A busy machine gets a smaller sample, unless a count was asked for. */
const SAMPLE_MS_MAX = process.argv[3] === undefined ? 90_000 : Number.POSITIVE_INFINITY
const FLIPS_MIN = Math.min(10, FLIPS)
const CLAIMS = 1500
/** Every so often a rebuilt store is asked for everything. */
const ASKED_EVERY = 4
const ENDED_MS_MAX = 10_000

const seed = trialSeed()

/** Kinds of files, each as likely as it is listed often. */
const KINDS: readonly (readonly [name: string, pattern: RegExp])[] = [
  ...Array.from({ length: 6 }, () => ['SST', /\.sst$/] as const), ...Array.from({ length: 3 }, () => ['run file', /\.run$/] as const), ['MANIFEST', /^MANIFEST/], ['MANIFEST', /^MANIFEST/],
  ['CURRENT', /^CURRENT$/], ['OPTIONS', /^OPTIONS/], ['log', /^\d+\.log$/],
]

interface Claims {
  /** What each acked id says. */
  readonly prints: ReadonlyMap<string, string>
  /** By path of the query: the newest id of each pair, and how many there are. */
  readonly answers: ReadonlyMap<string, string>
}

interface AnswerJson {
  readonly predicate: string
  readonly candidates: number
  readonly winner: { readonly id: string }
}

const answerText = (answers: readonly AnswerJson[]): string =>
  answers.map(({ predicate, candidates, winner }) => `${predicate} ${candidates} ${winner.id}`).sort().join('\n')

/** What queries must say of the acked claims, from the driver's own knowledge. */
function claimsOf({ history }: Trial): Claims {
  const prints = new Map<string, string>()
  const pairs = new Map<string, Map<string, { candidates: number, id: string, lsn: number }>>()
  for (const id of history.ids()) {
    if (history.state(id) !== 'acked') continue
    const print = history.printOf(id)
    prints.set(id, print)
    const [subject, predicate] = print.split('\u0001') as [string, string]
    const path = `/v1/query?subject=${encodeURIComponent(subject)}`
    const ofSubject = pairs.get(path) ?? new Map<string, { candidates: number, id: string, lsn: number }>()
    pairs.set(path, ofSubject)
    const { candidates, lsn } = ofSubject.get(predicate) ?? { candidates: 0, lsn: 0 }
    const newest = history.lsnOf(id) > lsn ? { id, lsn: history.lsnOf(id) } : {}
    ofSubject.set(predicate, { ...ofSubject.get(predicate)!, ...newest, candidates: candidates + 1 })
  }
  const answers = new Map([...pairs].map(([path, ofSubject]) =>
    [path, answerText([...ofSubject].map(([predicate, { candidates, id }]) => ({ predicate, candidates, winner: { id } })))]))
  return { prints, answers }
}

/** A folder of a stopped node whose store has several tables, a manifest with a history, and a log of its own. */
async function pristine(t: Test): Promise<{ folder: string, claims: Claims }> {
  const folder = mkdtempSync(join(tmpdir(), 'stemedb-store-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const dataDir = join(folder, 'pristine')
  const trial = await Trial.create({ dataDir, settings: { recentIdsMax: 1024, batchAssertionsMax: 1024 } }, seed)
  const ROUNDS = 3
  for (let round = 1; round <= ROUNDS; round++) {
    const server = await trial.start()
    const stream = await trial.beginStream(server, { connections: 4, batchMax: 16, window: 1, claimsMax: CLAIMS / ROUNDS, resendRate: 0 })
    while (stream.claimsMade < CLAIMS / ROUNDS || stream.unacked > 0) await stream.settle(100)
    trial.endStream()
    // The last end is not an orderly one: the store's own log has something then.
    if (round < ROUNDS) await server.stop()
    else await server.kill9()
  }
  return { folder, claims: claimsOf(trial) }
}

type Outcome = 'right' | 'said' | 'wrong'

/** Asks for everything. `said`: the truth or an error that names damage, and at least one of these. */
async function ask(port: number, claims: Claims): Promise<{ outcome: Outcome, what: string }> {
  const reads = await readDamaged(port, claims.prints)
  const wrong = [...reads.wrong]
  let refused = reads.refused.length
  await getAll(port, [...claims.answers.keys()], (path, { status, body }) => {
    const json = JSON.parse(body) as { code?: unknown, answers?: readonly AnswerJson[] }
    if (status === 500 && json.code === 'store_corrupt') refused++
    else if (status !== 200 || answerText(json.answers!) !== claims.answers.get(path)) wrong.push(`${path}: ${status} ${body.slice(0, 200)}`)
  })
  if (wrong.length > 0) return { outcome: 'wrong', what: `${wrong.length} wrong answers: ${wrong[0]}` }
  return refused > 0 ? { outcome: 'said', what: `${refused} reads refused` } : { outcome: 'right', what: 'all answers right' }
}

const saysDamage = (logs: string): boolean => /"code":"(store_corrupt|wal_corrupt)"/.test(logs)

/** Starts the node over a store and asks it everything. A node that ends has to say why. */
async function judge(dataDir: string, claims: Claims): Promise<{ outcome: Outcome, what: string }> {
  const trial = await Trial.create({ dataDir }, seed)
  const server = await tryStart(trial)
  if (server instanceof StartFailure) {
    const isSaid = server.exit?.code === EXIT.data && saysDamage(server.logs)
    return { outcome: isSaid ? 'said' : 'wrong', what: `no start, exit ${String(server.exit?.code)}${isSaid ? '' : `: ${server.logs}`}` }
  }
  try {
    return await ask(server.port, claims)
  } catch (error) {
    return await ended(server, error)
  } finally {
    await server.kill9()
  }
}

async function ended(server: RunningServer, error: unknown): Promise<{ outcome: Outcome, what: string }> {
  const exit = await within(server.exited, ENDED_MS_MAX)
  const isSaid = exit?.code === EXIT.data && saysDamage(server.logs())
  return { outcome: isSaid ? 'said' : 'wrong', what: `${String(error)}; exit ${String(exit?.code)}${isSaid ? '' : `: ${server.logs()}`}` }
}

/** Changes one byte of one file of the store. */
function damage(dbDir: string, random: Random): string {
  for (;;) {
    const [kind, pattern] = KINDS[random.u32() % KINDS.length]!
    const names = readdirSync(dbDir, { recursive: true, encoding: 'utf8' }).filter((name) => pattern.test(name))
    const name = names[random.u32() % names.length]
    if (name === undefined) continue
    const bytes = readFileSync(join(dbDir, name))
    if (bytes.length === 0) continue
    const offset = random.u32() % bytes.length
    bytes[offset]! ^= 1 + random.u32() % 255
    writeFileSync(join(dbDir, name), bytes)
    return `${kind}: byte ${offset} of ${name} (${bytes.length})`
  }
}

/** Rebuilds; `isAsked`: and asks for everything again, which costs as much as all the rest. */
async function rebuilt(dataDir: string, claims: Claims, isAsked: boolean): Promise<{ outcome: Outcome, what: string }> {
  const result = await stemedb(['store', 'rebuild', '--data-dir', dataDir, '--json'], { msMax: 120_000 })
  if (result.code !== EXIT.ok) return { outcome: 'wrong', what: `rebuild: exit ${result.code} ${result.stderr}` }
  const report = result.lines()[0]!
  if (report['assertions'] !== report['lastLsn']) return { outcome: 'wrong', what: `rebuild: ${result.stdout}` }
  return isAsked ? judge(dataDir, claims) : { outcome: 'right', what: 'rebuilt to the end of the log' }
}

t.test(`up to ${FLIPS} flipped bytes in the files of the store`, async (t) => {
  t.comment(`seed ${seed}`)
  const { folder, claims } = await pristine(t)
  t.ok(claims.prints.size >= CLAIMS && claims.answers.size > 50, `${claims.prints.size} claims, ${claims.answers.size} subjects`)
  const random = (await Trial.create({ dataDir: folder }, seed)).random
  const dataDir = join(folder, 'data')
  const counts = { right: 0, said: 0, wrong: 0, mended: 0, notMended: 0 }
  const saidBy = new Map<string, number>()
  const startedMs = systemClock.monoMs()
  let flips = 0
  for (; flips < FLIPS && (flips < FLIPS_MIN || systemClock.monoMs() - startedMs < SAMPLE_MS_MAX); flips++) {
    rmSync(dataDir, { recursive: true, force: true })
    cpSync(join(folder, 'pristine'), dataDir, { recursive: true })
    const place = damage(join(dataDir, 'db'), random)
    const { outcome, what } = await judge(dataDir, claims)
    counts[outcome]++
    if (outcome === 'wrong') t.fail(`${place}: ${what}`)
    if (outcome === 'right') continue
    const kind = place.slice(0, place.indexOf(':'))
    saidBy.set(kind, (saidBy.get(kind) ?? 0) + 1)
    const after = await rebuilt(dataDir, claims, counts.said % ASKED_EVERY === 1)
    if (after.outcome === 'right') counts.mended++
    else {
      counts.notMended++
      t.fail(`${place}: after the rebuild ${after.what}`)
    }
  }
  t.equal(counts.wrong, 0, `no wrong answer: ${counts.right} times all was right, ${counts.said} times it said so (${[...saidBy].map(([kind, n]) => `${kind} ${n}`).join(', ')})`)
  t.equal(counts.mended, counts.said, 'and each time a rebuild made it right')
  t.ok(counts.said > flips / 8, `${flips} flips, enough was hit to mean anything`)

  const caught = await wellFormedDamage(t, join(folder, 'pristine'), dataDir, claims)
  recordFault({
    id: 'C4', title: 'bytes flipped in the store\'s files', trials: flips, unit: 'byte flips', failures: counts.wrong + counts.notMended, seed,
    figures: { right: counts.right, reported: counts.said, rebuilt: counts.mended }, tooth: caught,
  })
})

/** The tooth: entries are missing behind the checksums, as if nobody checked them. Answers are wrong then, and a rebuild mends it. */
async function wellFormedDamage(t: Test, from: string, dataDir: string, claims: Claims): Promise<string> {
  rmSync(dataDir, { recursive: true, force: true })
  cpSync(from, dataDir, { recursive: true })
  const store = await openRocksStore({
    path: join(dataDir, 'db'), createIfMissing: false, memtableBytes: 4 * MiB, blockCacheBytes: 4 * MiB, parallelism: availableParallelism(),
  })
  const batch = store.batch()
  for (const column of COLUMNS.filter((name) => name !== 'meta')) {
    const range = store.range(column)
    const entries = range.next(100_000)
    range.close()
    for (let i = 0; i < entries.length; i += 20) batch.del(column, entries[i]!)
  }
  const { count } = batch
  batch.write({ sync: true })
  await store.close()
  const { outcome, what } = await judge(dataDir, claims)
  t.equal(outcome, 'wrong', `${count} entries are gone: ${what}`)
  const verified = await stemedb(['store', 'verify', '--data-dir', dataDir, '--json'], { msMax: 120_000 })
  t.equal(verified.code, EXIT.data, 'store verify says so')
  const after = await rebuilt(dataDir, claims, true)
  t.equal(after.outcome, 'right', `after the rebuild ${after.what}`)
  return `a well-formed store without ${count} of its entries: ${outcome}`
}
