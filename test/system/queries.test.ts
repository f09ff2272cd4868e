import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import t from 'tap'
import { SCHEMAS } from '../../src/front/schemas.ts'
import { startServer } from '../support/server.ts'

t.setTimeout(240_000)

// Queries through a real node, each answer held against the schema that openapi.json has of it.

const AGENT = `58${'66'.repeat(31)}`
const ajv = new Ajv2020({ strict: false, validateFormats: false })
ajv.addSchema({ $id: 'root', components: { schemas: SCHEMAS } })

type Json = Record<string, unknown>
interface Answer { status: number, body: Json }
interface Reply { truncated: boolean, cursor?: string, answers: (Json & { winner: { id: string, assertion: Json } | null })[], listed?: { id: string, assertion: Json }[] }

const dataDir = mkdtempSync(join(tmpdir(), 'stemedb-queries-'))
t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
const server = await startServer({ dataDir, settings: { signatures: 'optional', walSegmentBytes: 16 * 2 ** 20, lensLogCacheBytes: 64 * 1024 } })
t.teardown(() => server.kill9())

async function call(path: string, schema: string, body?: unknown): Promise<Answer> {
  const response = await fetch(`${server.url}${path}`, body === undefined ? {} : { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
  const json = await response.json() as Json
  const name = response.ok ? schema : 'Problem'
  const validate = ajv.getSchema(`root#/components/schemas/${name}`) ?? ajv.compile({ $ref: `root#/components/schemas/${name}` })
  if (validate(json) !== true) t.fail(`${path} is no ${name}`, { errors: validate.errors, json })
  return { status: response.status, body: json }
}

const get = (path: string, parameters: Record<string, string | number>, schema = 'QueryReply'): Promise<Answer> =>
  call(`${path}?${new URLSearchParams(Object.entries(parameters).map(([name, value]) => [name, String(value)]))}`, schema)
const query = async (parameters: Record<string, string | number>): Promise<Reply> => {
  const { status, body } = await get('/v1/query', parameters)
  if (status !== 200) throw new Error(JSON.stringify(body))
  return body as unknown as Reply
}

let made = 0
let lastLsn = 0
interface Stored { id: string, lsn: number, hlc: string, status: string }

async function assert(...claims: Json[]): Promise<Stored[]> {
  const array = claims.map((claim) => ({ subject: 'drug/a', predicate: 'risk', confidence: 0.9, agent: AGENT, asserted_at: Date.now() - 60_000 + made++, ...claim }))
  const response = await fetch(`${server.url}/v1/assert`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(array) })
  const { results } = await response.json() as { results: Stored[] }
  if (!results.every(({ status }) => status === 'created')) throw new Error(JSON.stringify(results))
  lastLsn = results[results.length - 1]!.lsn
  return results
}

let low: Stored | undefined
let high: Stored | undefined
let other: Stored | undefined

t.test('lenses, filters, moments, explanations, fields', async (t) => {
  [low, high, other] = await assert(
    { object: 'low', source_class: 'clinical' }, { object: 'high', source_class: 'clinical' }, { object: 'low', source_class: 'anecdotal', confidence: 0.3 },
  )
  const [taken] = await assert({ object: 'none' })
  await assert({ object: 'none', lifecycle: 'retracted', parent: taken!.id })
  const pair = { subject: 'drug/a', predicate: 'risk', min_lsn: lastLsn }
  t.match((await query(pair)).answers, [{ candidates: 3, winner: { id: other!.id } }], 'what was taken back does not count')
  t.match((await query({ ...pair, as_of: taken!.hlc })).answers, [{ candidates: 4, winner: { id: taken!.id } }], 'it did then')
  t.match((await query({ ...pair, as_of: high!.hlc })).answers, [{ candidates: 2, winner: { id: high!.id } }])
  t.match((await query({ ...pair, tier: 'clinical', object: 'text:low' })).answers, [{ candidates: 1, winner: { id: low!.id } }])
  t.match((await query({ ...pair, lens: 'consensus' })).answers, [{ winner: { assertion: { object: { value: 'low' } } } }])
  const [cut] = (await query({ ...pair, fields: 'object,agent' })).answers
  t.same(Object.keys(cut!.winner!.assertion).sort(), ['agent', 'object'])
  const [bare] = (await query({ ...pair, lens: 'skeptic', leave_out: 'side_claims,reasons' })).answers
  t.match(bare, { winner: { assertion: { object: { value: 'low' } } }, sides: [{ label: 'low', candidates: 2 }, { label: 'high', candidates: 1 }] })
  t.notMatch(JSON.stringify({ why: bare!['why'], sides: bare!['sides'] }), /why|winner/, 'what is to be left out is left out')
  const [explained] = (await query({ ...pair, explain: 'true' })).answers
  t.match(explained, { explanation: { entries_read: 5, claims_read: 5, considered: [{ verdict: 'won', id: other!.id }, { verdict: 'lost' }, { verdict: 'lost' }, { verdict: 'left_out', id: taken!.id }] } })
  t.same((await query({ ...pair, lens: 'none', lifecycle: 'retracted' })).listed?.map(({ assertion }) => assertion['parent']), [taken!.id])
  t.equal((await query({ agent: AGENT, lens: 'none', min_lsn: lastLsn })).listed?.length, 5)
})

t.test('skeptic, layered, constraints', async (t) => {
  await assert({ subject: 'ctx', predicate: 'must_use', object: 'axios', note: 'because' }, { subject: 'ctx', predicate: 'forbidden', object: 'requests' })
  const pair = { subject: 'drug/a', predicate: 'risk', min_lsn: lastLsn }
  const skeptic = (await get('/v1/skeptic', pair, 'Skeptic')).body
  t.match(skeptic, { candidates: 3, status: 'contested', claims: [{ value: { value: 'low' }, candidates: 2 }, { value: { value: 'high' }, candidates: 1 }] })
  const layered = (await get('/v1/layered', pair, 'Layered')).body
  t.match(layered, { tiers: [{ tier: 1, name: 'clinical', candidates: 1 }, { tier: 5, name: 'anecdotal', candidates: 1 }] })
  const { constraints } = (await get('/v1/constraints', { subject: 'ctx', min_lsn: lastLsn }, 'Constraints')).body
  t.match(constraints, { length: 2 })
  t.match((constraints as Json[]).find((rule) => 'must_use' in rule), { must_use: 'axios', reason: 'because' })
  t.match((constraints as Json[]).find((rule) => 'forbidden' in rule), { forbidden: 'requests' })
  const [demand] = await assert({ subject: 'ctx2', predicate: 'must_use', object: 'tls', source_class: 'expert' })
  await assert({ subject: 'ctx2', predicate: 'forbidden', object: 'ssl', parent: demand!.id, note: 'broken' }, { subject: 'ctx2', predicate: 'forbidden', object: 'tls' })
  t.match((await get('/v1/constraints', { subject: 'ctx2', min_lsn: lastLsn }, 'Constraints')).body, {
    rows: [{ must_use: 'tls', forbidden: 'ssl', reason: 'broken' }],
    conflicts: [{ value: 'tls', holds: 'must_use', overruled: { forbidden: 'tls', candidates: 1, why: /by its tier/ } }],
  })
  t.match((await get('/v1/skeptic', { subject: 'x', predicate: 'y' }, 'Skeptic')).body, { subject: 'x', predicate: 'y', candidates: 0, conflict_score: 0, status: null, claims: [] })
  t.match((await get('/v1/layered', { subject: 'x', predicate: 'y' }, 'Layered')).body, { winner: null, tiers: [] })
  t.match((await get('/v1/constraints', { subject: 'x' }, 'Constraints')).body, { constraints: [], rows: [], conflicts: [] })
  t.equal((await get('/v1/skeptic', { subject: 'x' })).status, 400)
})

t.test('what an agent has made of its claim, and refusals that name what is wrong', async (t) => {
  const [draft] = await assert({ subject: 'life', object: 'x' })
  const [approval] = await assert({ subject: 'life', object: 'x', lifecycle: 'approved', parent: draft!.id })
  t.match((await query({ subject: 'life', lifecycle: 'approved', min_lsn: lastLsn, fields: 'lifecycle' })).answers,
    [{ winner: { id: draft!.id, effective_lifecycle: 'approved', assertion: { lifecycle: 'proposed' } } }])
  t.match((await query({ subject: 'life', as_of: approval!.hlc })).answers, [{ winner: { effective_lifecycle: 'approved' } }], 'what was acked has been')
  const future = new Date(Date.now() + 3_600_000).toISOString()
  for (const path of ['/v1/query?subject=a&', '/v1/epochs?', `/v1/trace/${draft!.id}?`, '/v1/concepts?', '/v1/constraints?subject=a&', '/v1/sources?', `/v1/agents/${AGENT}/trust?`]) {
    t.match((await get(path.slice(0, -1).split('?')[0]!, { ...Object.fromEntries(new URLSearchParams(path.split('?')[1])), as_of: future })).body,
      { code: 'parameter_invalid', parameter: 'as_of', detail: /in the future/ }, path)
  }
  for (const [parameters, parameter] of [[{ lens: 'nope' }, 'lens'], [{ lens: 'none', explain: 'true' }, 'explain'], [{ from: 2, until: 1 }, 'until'], [{ aliases: 'true', prefix: 'a' }, 'aliases']] as const) {
    t.match((await get('/v1/query', 'prefix' in parameters ? parameters : { subject: 'a', ...parameters })).body, { code: 'parameter_invalid', parameter })
  }
})

t.test('many queries in one request, each with its own fate', async (t) => {
  const pair = { subject: 'drug/a', predicate: 'risk' }
  const queries = [pair, { ...pair, lens: 'skeptic', tier: [1], explain: true }, { ...pair, lens: 'nope' }, { bad: 1 }, 5, { ...pair, min_lsn: 10 ** 9 },
    { ...pair, lens: 'none', fields: ['object'] }, ...Array.from({ length: 57 }, () => pair)]
  const { status, body } = await call('/v1/query', 'QueryReplies', queries)
  t.equal(status, 200)
  const results = body['results'] as Json[]
  t.equal(results.length, 64)
  t.match(results.slice(0, 7), [{ answers: [{ winner: { id: other!.id } }] }, { answers: [{ status: 'contested' }] }, { problem: { code: 'parameter_invalid', parameter: 'lens' } },
    { problem: { parameter: 'bad' } }, { problem: { code: 'field_invalid', pointer: '/4' } }, { problem: { code: 'lsn_in_future' } }, { listed: { length: 5 } }])
  t.ok(results.slice(7).every((result) => (result['answers'] as Json[]).length === 1))
  for (const [bad, code] of [[[], 'batch_empty'], [Array.from({ length: 65 }, () => pair), 'batch_too_large'], [{}, 'field_invalid']] as const) {
    t.match(await call('/v1/query', 'QueryReplies', bad), { body: { code } })
  }
})

t.test('pages stay those of their first moment while a writer writes', async (t) => {
  await assert(...Array.from({ length: 200 }, (_, i) => ({ subject: `page/${i % 40}`, predicate: `p${i % 2}`, object: i })))
  const before = new Set((await query({ prefix: 'page/', lens: 'none', limit: 1000, min_lsn: lastLsn })).listed!.map(({ id }) => id))
  let writing = true
  const writer = (async () => {
    for (let i = 0; writing && i < 400; i++) await assert({ subject: `page/${i % 50}`, predicate: `p${i % 3}`, object: `new ${i}` })
  })()
  const listed: string[] = []
  const moment = (await query({ prefix: 'page/', lens: 'none', limit: 7 }))
  for (let page = moment; ; page = await query({ prefix: 'page/', lens: 'none', limit: 7, cursor: page.cursor! })) {
    listed.push(...page.listed!.map(({ id }) => id))
    if (page.cursor === undefined) break
  }
  writing = false
  await writer
  t.equal(new Set(listed).size, listed.length, 'nothing twice')
  t.ok([...before].every((id) => listed.includes(id)), 'nothing is missed')
  t.match((await get('/v1/query', { prefix: 'pag', lens: 'none', cursor: moment.cursor! })).body, { code: 'parameter_invalid' })
})

t.test('an answer says what was not looked at in full', async (t) => {
  await assert(...Array.from({ length: 1001 }, (_, i) => ({ subject: 'cut/many', object: i })), { subject: 'cut/one', object: 1 })
  const { answers } = await query({ prefix: 'cut/', min_lsn: lastLsn })
  t.match(answers, [{ subject: 'cut/many', candidates: 1000, cut: ['candidates'] }, { subject: 'cut/one', candidates: 1 }])
  t.notOk('cut' in answers[1]!)
  t.match((await get('/v1/skeptic', { subject: 'cut/many', predicate: 'risk' }, 'Skeptic')).body, { candidates: 1000, cut: ['candidates'] })
  t.notOk('cut' in (await get('/v1/skeptic', { subject: 'cut/one', predicate: 'risk' }, 'Skeptic')).body)
})

t.test('by an agent alone and by a time alone, the newest first, while a writer writes', async (t) => {
  const agent = `3d${'66'.repeat(31)}`
  const stored = await assert(...Array.from({ length: 120 }, (_, i) => ({ subject: `own/${i % 30}`, predicate: 'p', object: i, ...i % 2 === 0 && { agent } })))
  const own = stored.filter((_, i) => i % 2 === 0).map(({ id }) => id).reverse()
  // The last ones of each subject and predicate: 30, of which every second is the agent's.
  const newest = own.slice(0, 15)
  let writing = true
  const writer = (async () => {
    for (let i = 0; writing && i < 400; i++) await assert({ subject: `own/${i % 30}`, predicate: 'p', object: `new ${i}`, agent })
  })()
  const from = stored[0]!.hlc
  const until = String(BigInt(stored.at(-1)!.hlc) + 1n)
  const asOf = { as_of: stored.at(-1)!.hlc, min_lsn: lastLsn }
  const pages = async (parameters: Record<string, string | number>): Promise<string[]> => {
    const ids: string[] = []
    for (let page = await query(parameters); ; page = await query({ ...parameters, cursor: page.cursor! })) {
      ids.push(...page.answers.map(({ winner }) => winner!.id), ...(page.listed ?? []).map(({ id }) => id))
      if (page.cursor === undefined) return ids
    }
  }
  t.strictSame(await pages({ agent, lens: 'none', limit: 7, ...asOf }), own)
  t.strictSame(await pages({ agent, limit: 4, ...asOf }), newest)
  t.strictSame(await pages({ from, until, lens: 'none', limit: 11 }), stored.map(({ id }) => id).reverse(), 'of that time, whatever came since')
  t.strictSame(await pages({ from, until, agent, limit: 4 }), newest)
  writing = false
  await writer
})
