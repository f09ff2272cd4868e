import { appendFileSync, chmodSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { Builder, ByteBuffer } from 'flatbuffers'
import t, { type Test } from 'tap'
import type { Clock } from '../../../src/base/clock.ts'
import { isDbError } from '../../../src/base/errors.ts'
import { systemSecrets } from '../../../src/base/random.ts'
import { KiB, MiB } from '../../../src/base/units.ts'
import { Answer } from '../../../src/fbs/stemedb/answer.ts'
import { Found } from '../../../src/fbs/stemedb/found.ts'
import { Hash } from '../../../src/fbs/stemedb/hash.ts'
import { QueryReply } from '../../../src/fbs/stemedb/query-reply.ts'
import { QueryRequest } from '../../../src/fbs/stemedb/query-request.ts'
import { Side } from '../../../src/fbs/stemedb/side.ts'
import { AUDIT_BUFFER_BYTES_MAX, AUDIT_READS_MAX, AUDIT_RETRY_MS, AUDIT_SCAN_BYTES_MAX, AUDIT_WINNERS_MAX } from '../../../src/front/audit/audit-limits.ts'
import type { AuditRecord } from '../../../src/front/audit/audit-record.ts'
import { Auditor, whoOf, type AuditorParts } from '../../../src/front/audit/auditor.ts'
import { SessionAudit } from '../../../src/front/audit/session-audit.ts'
import { linesBackwards } from '../../../src/front/audit/lines-backwards.ts'
import { encodeQuery } from '../../../src/front/query.codec.ts'
import type { ThreadMetrics } from '../../../src/observe/thread-metrics.ts'
import { encodeList } from '../../../src/wire/queries.codec.ts'
import { EMPTY_TREE, QUERY_KINDS, encodeQuery as encodeStreamQuery, encodeQueryRequest } from '../../../src/wire/query-request.codec.ts'
import { open } from 'node:fs/promises'

function folderFor(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'stemedb-audit-'))
  t.teardown(() => {
    chmodSync(folder, 0o700)
    rmSync(folder, { recursive: true, force: true })
  })
  return folder
}

interface Rig {
  readonly auditor: Auditor
  readonly dir: string
  readonly counts: Record<string, number>
  readonly faults: unknown[]
  wallMs: number
  monoMs: number
  isDiskFull: boolean
}

function rigOver(dataDir: string, settings: Partial<AuditorParts['config']> = {}): Rig {
  const counts: Record<string, number> = {}
  const metrics = {
    inc: (name: string, by: unknown) => { counts[name] = (counts[name] ?? 0) + (typeof by === 'number' ? by : 1) },
    set: (name: string, value: unknown) => { counts[name] = value as number },
    observe() {},
  } as unknown as ThreadMetrics
  const clock: Clock = { wallMs: () => rig.wallMs, monoMs: () => rig.monoMs, timer: () => () => {} }
  const faults: unknown[] = []
  const config = { dataDir, auditMode: 'full', auditSamplePerMille: 10, auditBytesMax: 1 * MiB, ...settings } as const
  const rig: Rig = {
    auditor: new Auditor({ config, clock, secrets: systemSecrets, metrics, isDiskFull: () => rig.isDiskFull, onFault: (error) => void faults.push(error) }),
    dir: join(dataDir, 'audit'), counts, faults, wallMs: 1_000_000, monoMs: 0, isDiskFull: false,
  }
  return rig
}

const request = (subject = 'drug/aspirin'): Uint8Array =>
  encodeQuery(1n, { subject, subjectIsPrefix: false, predicate: 'dose', lens: 'recency', limit: 5 })

const who = whoOf('', '127.0.0.1')

function reply(seenLsn = 9n): QueryReply {
  const builder = new Builder(64)
  const answers = QueryReply.createAnswersVector(builder, [])
  QueryReply.startQueryReply(builder)
  QueryReply.addAnswers(builder, answers)
  QueryReply.addSeenLsn(builder, seenLsn)
  builder.finish(QueryReply.endQueryReply(builder), 'SQRP')
  return QueryReply.getRootAsQueryReply(new ByteBuffer(builder.asUint8Array().slice()))
}

/** Records so many queries, a millisecond apart; their ids. */
function ask({ auditor }: Rig, count: number, rig?: Rig, whom = who, subject?: string): (string | undefined)[] {
  return Array.from({ length: count }, () => {
    if (rig !== undefined) rig.wallMs++
    return auditor.begin(whom, 'query', request(subject))?.end(reply())
  })
}

async function everything(rig: Rig, filter: object = {}, limit = 100): Promise<AuditRecord[]> {
  const records: AuditRecord[] = []
  let cursor: string | undefined
  do {
    const page = await rig.auditor.list({ limit, ...filter, ...(cursor === undefined ? {} : { cursor }) })
    t.ok(page.records.length <= limit)
    records.push(...page.records)
    cursor = page.cursor
  } while (cursor !== undefined)
  return records
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(() => 'done', (error: unknown) => isDbError(error) ? error.code : String(error))
}

t.test('what was asked, by whom, and what came of it', async (t) => {
  const rig = rigOver(folderFor(t))
  await rig.auditor.open()
  const agent = '58'.repeat(32)
  const query = rig.auditor.begin(whoOf(agent, '10.0.0.1'), 'query', request())!
  rig.monoMs = 2.5
  const id = query.end(reply())
  t.equal(query.end(undefined), undefined, 'once')
  const record = await rig.auditor.get(id!)
  t.strictSame(record, {
    query_id: id, at: 1_000_000, who: { agent, address: '10.0.0.1' }, endpoint: 'query',
    parameters: { kind: 2, subject: 'drug/aspirin', predicate: 'dose', lens: 'recency', limit: 5 },
    outcome: 'answered', answers: 0, candidates: 0, winners: [], conflict: null, seen_lsn: 9, latency_us: 2500,
  })
  t.match(id, /^[0-9a-f]{24}$/)
  const lost = rig.auditor.begin(who, 'query', request())!.end(undefined)
  t.match(await rig.auditor.get(lost!), { outcome: 'unanswered', who: { address: '127.0.0.1' } })
  t.equal(await rig.auditor.get('0'.repeat(24)), undefined)
  t.equal(statSync(rig.dir).mode & 0o777, 0o700)
  t.equal(statSync(join(rig.dir, readdirSync(rig.dir)[0]!)).mode & 0o777, 0o600)
  t.strictSame(whoOf('no key', 'x'), { address: 'x' })
  t.match(rig.counts, { audit_records_total: 2, audit_dropped_total: undefined, audit_disk_usage_bytes: statSync(join(rig.dir, readdirSync(rig.dir)[0]!)).size })
  await rig.auditor.close()
})

t.test('every parameter of a request is named', async (t) => {
  const builder = new Builder(64)
  const subject = builder.createString('drug/')
  const cursor = QueryRequest.createCursorVector(builder, [1])
  QueryRequest.startQueryRequest(builder)
  QueryRequest.addKind(builder, 2)
  QueryRequest.addSubject(builder, subject)
  QueryRequest.addSubjectIsPrefix(builder, true)
  QueryRequest.addLifecycles(builder, 0b1000010)
  QueryRequest.addTiers(builder, 0b100001)
  QueryRequest.addAsOfHlc(builder, 1n << 60n)
  QueryRequest.addCursor(builder, cursor)
  QueryRequest.addExplain(builder, true)
  builder.finish(QueryRequest.endQueryRequest(builder), 'SQRQ')
  const rig = rigOver(folderFor(t))
  const id = rig.auditor.begin(who, 'query', builder.asUint8Array())!.end(reply())
  t.strictSame((await rig.auditor.get(id!))!.parameters, {
    kind: 2, prefix: 'drug/', lifecycle: ['proposed', 'retracted'], tiers: ['regulatory', 'anecdotal'], as_of_hlc: String(1n << 60n), explain: true, next_page: true,
  })
  await rig.auditor.close()
})

t.test('nothing that was asked is left out', async (t) => {
  const rig = rigOver(folderFor(t))
  const parametersFor = async (query: Parameters<typeof encodeQueryRequest>[1]): Promise<object> => {
    const id = rig.auditor.begin(who, 'query', encodeQueryRequest(1n, query))!.end(reply())
    return (await rig.auditor.get(id!))!.parameters
  }
  const { lens, source, inclusion, consistency, tile } = QUERY_KINDS
  t.strictSame(await parametersFor({ kind: lens, object: { kind: 'number', value: 0 } }), { kind: lens, object: 'number:0' })
  t.strictSame(await parametersFor({ kind: lens, object: { kind: 'boolean', value: false } }), { kind: lens, object: 'boolean:false' })
  t.strictSame(await parametersFor({ kind: lens, object: { kind: 'text', value: 'a:b' } }), { kind: lens, object: 'text:a:b' })
  t.strictSame(await parametersFor({ kind: lens, object: { kind: 'reference', value: 'drug/x' } }), { kind: lens, object: 'reference:drug/x' })
  const long = await parametersFor({ kind: lens, object: { kind: 'text', value: 'x'.repeat(50_000) } })
  t.match(long, { object: /^text:x{900}/, object_cut: true })
  t.ok(JSON.stringify(long).length < 2048)
  t.strictSame(await parametersFor({ kind: source, withContent: true }), { kind: source, with_content: true })
  t.strictSame(await parametersFor({ kind: tile, tile: '0/x001/067' }), { kind: tile, tile: '0/x001/067' })
  t.strictSame(await parametersFor({ kind: inclusion, proofTo: 7 }), { kind: inclusion, proof_to: 7 })
  t.strictSame(await parametersFor({ kind: consistency }), { kind: consistency, proof_from: 0 })
  t.strictSame(await parametersFor({ kind: consistency, proofFrom: 5, proofTo: 9 }), { kind: consistency, proof_from: 5, proof_to: 9 })
  t.strictSame(await parametersFor({ kind: consistency, proofTo: EMPTY_TREE }), { kind: consistency, proof_from: 0, proof_to: 0 })
  await rig.auditor.close()
})

/** A reply with one answer, whose sides have winners of their own: ids of one byte, repeated. */
function replyWithSides(winner: number | undefined, sides: readonly (number | undefined)[]): QueryReply {
  const builder = new Builder(256)
  const found = (fill: number): number => {
    const assertion = Found.createAssertionVector(builder, [])
    Found.startFound(builder)
    Found.addId(builder, Hash.createHash(builder, Array.from({ length: 32 }, () => fill)))
    Found.addAssertion(builder, assertion)
    return Found.endFound(builder)
  }
  const sideOffsets = sides.map((side) => {
    const won = side === undefined ? 0 : found(side)
    Side.startSide(builder)
    if (won !== 0) Side.addWinner(builder, won)
    return Side.endSide(builder)
  })
  const [won, subject, predicate, vector] = [winner === undefined ? 0 : found(winner), builder.createString('s'), builder.createString('p'), Answer.createSidesVector(builder, sideOffsets)]
  Answer.startAnswer(builder)
  Answer.addSubject(builder, subject)
  Answer.addPredicate(builder, predicate)
  if (won !== 0) Answer.addWinner(builder, won)
  Answer.addSides(builder, vector)
  const answers = QueryReply.createAnswersVector(builder, [Answer.endAnswer(builder)])
  QueryReply.startQueryReply(builder)
  QueryReply.addAnswers(builder, answers)
  builder.finish(QueryReply.endQueryReply(builder), 'SQRP')
  return QueryReply.getRootAsQueryReply(new ByteBuffer(builder.asUint8Array().slice()))
}

t.test('who won a tier or a value is a winner, and an id that nobody has is not found', async (t) => {
  const rig = rigOver(folderFor(t))
  const recorded = async (asked: Uint8Array, given: QueryReply): Promise<AuditRecord> => (await rig.auditor.get(rig.auditor.begin(who, 'query', asked)!.end(given)!))!
  const id = (fill: number): string => fill.toString(16).padStart(2, '0').repeat(32)
  t.match(await recorded(request(), replyWithSides(2, [1, undefined, 2, 3])), { answers: 1, winners: [id(2), id(1), id(3)] })
  t.strictSame((await recorded(request(), replyWithSides(undefined, [1, 1, 3]))).winners, [id(1), id(3)])
  const many = await recorded(request(), replyWithSides(0xff, Array.from({ length: 100 }, (_, i) => i)))
  t.strictSame(many.winners, [id(0xff), ...Array.from({ length: AUDIT_WINNERS_MAX - 1 }, (_, i) => id(i))])
  const byId = encodeQueryRequest(1n, { kind: QUERY_KINDS.id, id: new Uint8Array(32).fill(9) })
  t.match(await recorded(byId, reply()), { outcome: 'not_found', winners: [] })
  t.match(await recorded(request('nobody'), reply()), { outcome: 'answered', winners: [] }, 'no answer is an answer')
  await rig.auditor.close()
})

t.test('off records nothing, a sample about its part, and none of it is there before it is asked for', async (t) => {
  const folder = folderFor(t)
  const off = rigOver(folder, { auditMode: 'off' })
  t.strictSame(ask(off, 3), [undefined, undefined, undefined])
  t.strictSame(await off.auditor.list({ limit: 10 }), { records: [] })
  t.strictSame(readdirSync(folder), [], 'no folder where nothing is recorded')
  const sampled = rigOver(folderFor(t), { auditMode: 'sampled', auditSamplePerMille: 250 })
  const kept = ask(sampled, 4000).filter((id) => id !== undefined).length
  t.ok(kept > 800 && kept < 1200, `${kept} of 4000 at 250 per mille`)
  for (const [perMille, expected] of [[0, 0], [1000, 200]] as const) {
    const rig = rigOver(folderFor(t), { auditMode: 'sampled', auditSamplePerMille: perMille })
    t.equal(ask(rig, 200).filter((id) => id !== undefined).length, expected, `${perMille} per mille`)
    await rig.auditor.close()
  }
  await sampled.auditor.close()
})

t.test('pages, newest first, with filters, while records are made', async (t) => {
  const rig = rigOver(folderFor(t))
  const other = whoOf('58'.repeat(32), '10.0.0.1')
  const ids: string[] = []
  for (let i = 0; i < 150; i++) ids.push(ask(rig, 1, rig, i % 3 === 0 ? other : who)[0]!)
  const all = (await everything(rig, {}, 7)).map(({ query_id: id }) => id)
  t.strictSame(all, [...ids].reverse())
  t.strictSame((await everything(rig, { agent: '58'.repeat(32) }, 10)).map(({ query_id: id }) => id), ids.filter((_, i) => i % 3 === 0).reverse())
  t.strictSame((await everything(rig, { fromMs: 1_000_011, untilMs: 1_000_021 }, 4)).map(({ at }) => at), Array.from({ length: 10 }, (_, i) => 1_000_020 - i))
  t.strictSame(await everything(rig, { fromMs: 2_000_000 }), [])
  t.strictSame(await everything(rig, { untilMs: 1 }), [])

  const first = await rig.auditor.list({ limit: 100 })
  ask(rig, 30, rig)
  const second = await rig.auditor.list({ limit: 100, cursor: first.cursor })
  t.strictSame([...first.records, ...second.records].map(({ query_id: id }) => id), [...ids].reverse(), 'a page goes on where the one before ended')
  t.equal(second.cursor, undefined)
  await rig.auditor.close()
})

t.test('files rotate within the bound, the oldest going first', async (t) => {
  const rig = rigOver(folderFor(t))
  const ids: string[] = []
  for (let round = 0; round < 40; round++) {
    for (let i = 0; i < 150; i++) ids.push(ask(rig, 1, rig)[0]!)
    await rig.auditor.list({ limit: 1 })
    const bytes = readdirSync(rig.dir).reduce((sum, name) => sum + statSync(join(rig.dir, name)).size, 0)
    t.ok(bytes <= 1 * MiB, `${bytes} bytes`)
  }
  const kept = (await everything(rig, {}, 1000)).map(({ query_id: id }) => id)
  t.ok(kept.length > 1000 && kept.length < ids.length)
  t.strictSame(kept, ids.slice(-kept.length).reverse(), 'what is kept is the newest, without a gap')
  t.equal(await rig.auditor.get(ids[0]!), undefined)
  t.match(await rig.auditor.get(kept.at(-1)!), { query_id: kept.at(-1)! })
  t.match(await rig.auditor.get(kept[500]!), { query_id: kept[500]! })

  const stale = await rig.auditor.list({ limit: 1000 })
  for (let i = 0; i < 6000; i++) {
    ask(rig, 1, rig)
    if (i % 200 === 0) await rig.auditor.list({ limit: 1 })
  }
  t.equal(await codeOf(rig.auditor.list({ limit: 10, cursor: stale.cursor })), 'parameter_invalid')
  t.match(await rig.auditor.list({ limit: 10, cursor: stale.cursor }).catch((error: Error) => error.message), /too old.* oldest that is kept is of 1970-/)
  await rig.auditor.close()
})

t.test('a next run finds the records of the one before, torn and foreign lines aside', async (t) => {
  const folder = folderFor(t)
  const before = rigOver(folder)
  const ids = ask(before, 5, before) as string[]
  await before.auditor.close()
  const [name] = readdirSync(before.dir)
  appendFileSync(join(before.dir, name!), '{"query_id":"abc","at":17,"wh')
  writeFileSync(join(before.dir, 'notes.txt'), 'not ours')

  const after = rigOver(folder)
  after.wallMs = 900_000
  await after.auditor.open()
  t.strictSame((await everything(after)).map(({ query_id: id }) => id), [...ids].reverse())
  const more = ask(after, 3) as string[]
  const records = await everything(after)
  t.strictSame(records.map(({ query_id: id }) => id), [...more.reverse(), ...[...ids].reverse()])
  t.ok(records[0]!.at >= records[3]!.at, 'a wall clock that was set back does not bring records out of order')
  t.equal(readdirSync(before.dir).filter((file) => file.endsWith('.ndjson')).length, 2, 'a new file a run: a torn line stays the last of its own')
  await after.auditor.close()

  for (const cutTo of [statSync(join(before.dir, name!)).size - 40, 10, 0]) {
    truncateSync(join(before.dir, name!), cutTo)
    const again = rigOver(folder)
    const found = (await everything(again)).map(({ query_id: id }) => id)
    t.strictSame(found.slice(0, 3), more, `cut to ${cutTo}`)
    await again.auditor.close()
  }
})

t.test('what can not be written is dropped and counted, told once, and tried again later', async (t) => {
  const folder = folderFor(t)
  const rig = rigOver(folder)
  writeFileSync(rig.dir, 'a file where the folder should be')
  t.ok(ask(rig, 1)[0])
  await rig.auditor.list({ limit: 1 }).catch(() => {})
  await rig.auditor.close()
  t.match({ faults: rig.faults.length, dropped: rig.counts['audit_dropped_total'] }, { faults: 1, dropped: 1 })
  t.strictSame(ask(rig, 2), [undefined, undefined], 'not at once')
  rig.monoMs += AUDIT_RETRY_MS + 1
  ask(rig, 1)
  await rig.auditor.close()
  t.match({ faults: rig.faults.length, dropped: rig.counts['audit_dropped_total'] }, { faults: 1, dropped: 4 })
  rmSync(rig.dir)
  rig.monoMs += AUDIT_RETRY_MS + 1
  const [id] = ask(rig, 1)
  t.match(await rig.auditor.get(id!), { query_id: id })
  rig.isDiskFull = true
  t.strictSame(ask(rig, 1), [undefined])
  t.equal(rig.counts['audit_dropped_total'], 5)
  t.match(await rig.auditor.list({ limit: 5 }), { records: { length: 1 } })
  await rig.auditor.close()
})

t.test('questions of a connection: whatever comes, each is recorded once, with the answer of its id', async (t) => {
  const rig = rigOver(folderFor(t))
  const audit = new SessionAudit(rig.auditor, who)
  const asked = (id: bigint, subject: string): Uint8Array => encodeStreamQuery(id, { kind: 'lens', subject, predicate: 'dose' })
  const answered = (id: bigint, seenLsn: bigint): Uint8Array => {
    const builder = new Builder(64)
    QueryReply.startQueryReply(builder)
    QueryReply.addRequestId(builder, id)
    QueryReply.addSeenLsn(builder, seenLsn)
    builder.finish(QueryReply.endQueryReply(builder), 'SQRP')
    return builder.asUint8Array().slice()
  }
  const frame = encodeList('SQRS', [asked(1n, 'a'), asked(2n, 'b'), asked(2n, 'c'), asked(3n, 'x'.repeat(100_000))])
  audit.asked(frame)
  frame.fill(0xff)
  audit.asked(asked(4n, 'd'))
  audit.asked(Uint8Array.of(1, 2, 3))
  audit.asked(encodeList('SQRS', []))
  t.equal(audit.openCount, 7)
  audit.answered(encodeList('SQRR', [answered(2n, 12n), answered(1n, 11n), answered(0n, 10n), answered(99n, 1n)]))
  audit.answered(answered(2n, 13n))
  audit.answered(answered(2n, 14n))
  audit.answered(answered(3n, 15n))
  t.equal(audit.openCount, 2)
  audit.close()
  audit.close()
  audit.answered(answered(4n, 16n))
  t.equal(audit.openCount, 0)
  const records = await everything(rig)
  t.strictSame(records.map(({ parameters, outcome, seen_lsn: seen }) => [parameters['subject']?.toString().slice(0, 2) ?? parameters.kind, outcome, seen]).reverse(), [
    ['b', 'answered', 12], ['a', 'answered', 11], [0, 'answered', 10], ['c', 'answered', 13], ['xx', 'answered', 15], ['d', 'unanswered', 0], [0, 'unanswered', 0],
  ])
  t.ok(records.every((record) => record.endpoint === 'stream' && JSON.stringify(record).length < 2048), 'texts are cut: a record is short, however long the question')
  await rig.auditor.close()
})

t.test('memory is bounded however fast queries come', async (t) => {
  const rig = rigOver(folderFor(t), { auditBytesMax: 64 * MiB })
  const long = 'x'.repeat(1000)
  const taken = ask(rig, 3000, undefined, who, long).filter((id) => id !== undefined).length
  t.ok(taken * 1000 < AUDIT_BUFFER_BYTES_MAX && taken > 500, `${taken} of 3000 in one turn of the event loop`)
  t.equal(rig.counts['audit_dropped_total'], 3000 - taken)
  t.equal((await everything(rig, {}, 1000)).length, taken)
  t.equal(ask(rig, 500, undefined, who, long).filter((id) => id !== undefined).length, 500, 'and there is room again')
  await rig.auditor.close()
})

t.test('a read looks at a bounded part of the files, and so many read at a time', async (t) => {
  const rig = rigOver(folderFor(t), { auditBytesMax: 256 * MiB })
  mkdirSync(rig.dir)
  const line = `${JSON.stringify({ query_id: '0'.repeat(24), at: 5, who: { address: 'x' }, endpoint: 'y'.repeat(1000) })}\n`
  writeFileSync(join(rig.dir, 'audit-0000000001.ndjson'), line.repeat(Math.ceil(2.5 * AUDIT_SCAN_BYTES_MAX / line.length)))
  const pages: number[] = []
  let cursor: string | undefined
  do {
    const page = await rig.auditor.list({ limit: 10, agent: '58'.repeat(32), cursor })
    pages.push(page.records.length)
    cursor = page.cursor
  } while (cursor !== undefined)
  t.strictSame(pages, [0, 0, 0], 'what is left out costs too, and the next page goes on behind it')
  const codes = await Promise.all(Array.from({ length: AUDIT_READS_MAX + 2 }, () => codeOf(rig.auditor.list({ limit: 1 }))))
  t.strictSame(codes.sort(), [...Array.from({ length: AUDIT_READS_MAX }, () => 'done'), 'overloaded', 'overloaded'])
  for (const wrong of ['', 'x', '1', '1-', '-1', '2-0', '1-99999999999', '0-0']) {
    t.equal(await codeOf(rig.auditor.list({ limit: 1, cursor: wrong })), 'parameter_invalid', wrong)
  }
})

t.test('lines backwards are the lines, whatever their lengths', async (t) => {
  const folder = folderFor(t)
  const path = join(folder, 'lines')
  await fc.assert(fc.asyncProperty(fc.array(fc.oneof(fc.string({ unit: 'grapheme', maxLength: 20 }), fc.integer({ min: 0, max: 60 * KiB }).map((length) => 'z'.repeat(length))), { maxLength: 12 }), fc.boolean(), async (drafts, isTorn) => {
    const lines = drafts.map((text) => text.replaceAll(/[\n\r]/g, '_'))
    writeFileSync(path, lines.map((text) => `${text}\n`).join('') + (isTorn ? 'torn' : ''))
    const file = await open(path, 'r')
    const found: string[] = []
    const whole = readFileSync(path)
    for await (const { start, text } of linesBackwards(file, whole.length)) {
      found.unshift(text)
      t.equal(whole.toString('utf8', start, start + Buffer.byteLength(text)), text)
    }
    await file.close()
    t.strictSame(found, [...lines.filter((text) => text !== ''), ...(isTorn ? ['torn'] : [])])
  }), { numRuns: 60 })
})
