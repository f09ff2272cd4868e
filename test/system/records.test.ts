import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { concatBytes, fromHex, toHex } from '../../src/base/bytes.ts'
import { batchMessage, realmHashOf, singleMessage } from '../../src/merkle/signed-message.ts'
import { rootOfIds } from '../../src/merkle/tree.ts'
import { agentToDidKey } from '../../src/record/agent-key.ts'
import { assertionIdOf, hashReady } from '../../src/record/claim.ts'
import { SOURCE_CONTENT_BYTES_MAX } from '../../src/record/limits.ts'
import { aliasDrafts, sourceHashOf, voteDraft, type RecordDraft } from '../../src/record/records.ts'
import { signMessage } from '../../src/verify/ed25519.ts'
import { keyPairOfSeed } from '../../src/verify/keys.ts'
import { startServer, type RunningServer, type Settings } from '../support/server.ts'
import { requireTool } from '../support/tools.ts'
import { curl, get, postJson, type CurlAnswer } from './curl.ts'

t.setTimeout(240_000)
await hashReady
if (!requireTool(t, 'curl')) process.exit()

// Votes, epochs, trust, aliases and sources through a real socket, with a client that is not ours.

const pair = (n: number): ReturnType<typeof keyPairOfSeed> => keyPairOfSeed(new Uint8Array(32).fill(n))
const hexOf = (n: number): string => toHex(pair(n).publicKey)
const didOf = (n: number): string => agentToDidKey(pair(n).publicKey)
const X = 'ab'.repeat(32)
let made = 0
const by = (n: number, more: Record<string, unknown>): Record<string, unknown> => ({ agent: hexOf(n), asserted_at: 1_700_000_000_000 + made++, ...more })

async function serve(t: Test, settings: Settings = {}): Promise<RunningServer> {
  const dataDir = mkdtempSync(join(tmpdir(), 'stemedb-records-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  const server = await startServer({ dataDir, settings: { signatures: 'optional', walSegmentBytes: 16 * 2 ** 20, ...settings } })
  t.teardown(() => server.kill9())
  return server
}

function isProblem(t: Test, answer: CurlAnswer, status: number, code: string, more: Record<string, unknown> = {}): void {
  t.equal(answer.status, status, `${code}: status`)
  t.match(answer.headers.get('content-type'), /^application\/problem\+json/)
  t.match(answer.json(), { code, status, ...more }, code)
}

interface Stored { id: string, status: string, lsn: number, hlc: string }
async function stored(t: Test, answer: Promise<CurlAnswer>): Promise<Stored> {
  const given = await answer
  t.equal(given.status, 201, given.body)
  return given.json() as unknown as Stored
}

t.test('votes', async (t) => {
  const { url } = await serve(t)
  const votes = `${url}/v1/assertions/${X}/votes`
  t.match((await get(votes)).json(), { assertion: X, agree_weight: 0, disagree_weight: 0, agree_count: 0, disagree_count: 0, votes: [], truncated: false })
  const body = by(1, { assertion: X, weight: 0.5, note: 'yes' })
  const first = await stored(t, postJson(`${url}/v1/vote`, body))
  const again = await postJson(`${url}/v1/vote`, body)
  t.match([again.status, again.json()], [200, { id: first.id, status: 'duplicate', lsn: first.lsn }])
  t.equal(again.headers.get('location'), `/v1/assertions/${first.id}`)
  t.match((await get(`${url}/v1/assertions/${first.id}?`)).json(), { assertion: { subject: `steme://assertion/${X}`, predicate: 'vote', object: { type: 'number', value: 0.5 } } })
  await stored(t, postJson(`${url}/v1/vote`, by(2, { assertion: X.toUpperCase(), weight: -1 })))
  const last = await stored(t, postJson(`${url}/v1/vote`, by(1, { assertion: X, weight: -0.25 })))
  const now = await get(`${votes}?min_lsn=${last.lsn}`)
  t.equal(now.headers.get('stemedb-seen-lsn'), String(last.lsn))
  t.match(now.json(), { agree_count: 0, disagree_weight: 1.25, disagree_count: 2, votes: [{ id: last.id, agent: didOf(1), weight: -0.25 }, { agent: didOf(2), weight: -1 }] })
  t.match((await get(`${votes}?as_of=${first.hlc}`)).json(), { agree_weight: 0.5, disagree_count: 0, votes: [{ id: first.id, note: 'yes' }] }, 'as of the first')
  t.match((await get(`${votes}?limit=1`)).json(), { disagree_count: 2, votes: { length: 1 }, truncated: true })
  t.match((await get(`${votes}?as_of=2020-01-01T00:00:00Z`)).json(), { votes: [] })

  const post = (more: Record<string, unknown>): Promise<CurlAnswer> => postJson(`${url}/v1/vote`, by(1, more))
  isProblem(t, await post({ assertion: X, weight: 1.5 }), 422, 'record_invalid', { detail: /-1 to 1/ })
  isProblem(t, await post({ assertion: X }), 400, 'field_missing', { pointer: '/weight' })
  isProblem(t, await post({ assertion: X, weight: 'much' }), 400, 'field_invalid', { pointer: '/weight' })
  isProblem(t, await post({ assertion: 'ab', weight: 1 }), 400, 'field_invalid', { pointer: '/assertion' })
  isProblem(t, await post({ assertion: X, weight: 1, agent: 'me' }), 400, 'field_invalid', { pointer: '/agent' })
  isProblem(t, await post({ assertion: X, weight: 1, agent: '00'.repeat(32) }), 403, 'key_weak')
  isProblem(t, await post({ assertion: X, weight: 1, colour: 'red' }), 400, 'field_invalid', { pointer: '/colour' })
  isProblem(t, await post({ assertion: X, weight: 1, confidence: 2 }), 400, 'field_invalid', { pointer: '/confidence' })
  isProblem(t, await post({ assertion: X, weight: 1, note: 'n'.repeat(5000) }), 400, 'field_too_long', { pointer: '/note' })
  isProblem(t, await post({ assertion: X, weight: 1, signature: 'ab' }), 400, 'field_invalid', { pointer: '/signature' })
  isProblem(t, await post({ assertion: X, weight: 1, signature: '11'.repeat(64) }), 403, 'signature_malformed')
  isProblem(t, await post({ assertion: X, weight: 1, asserted_at: 2 ** 47 }), 400, 'field_invalid')
  isProblem(t, await postJson(`${url}/v1/vote`, '[]'), 400, 'field_invalid')
  isProblem(t, await postJson(`${url}/v1/vote`, '{"weight":'), 400, 'malformed_json')
  isProblem(t, await curl(['-H', 'content-type: text/plain', '-d', 'x', `${url}/v1/vote`]), 415, 'media_type_unsupported')
  isProblem(t, await get(`${url}/v1/assertions/ab/votes`), 400, 'parameter_invalid', { parameter: 'id' })
  for (const [query, parameter] of [['limit=0', 'limit'], ['limit=1001', 'limit'], ['as_of=now', 'as_of'], ['min_lsn=x', 'min_lsn'], ['x=1', 'x']] as const) {
    isProblem(t, await get(`${votes}?${query}`), 400, 'parameter_invalid', { parameter })
  }
  isProblem(t, await get(`${votes}?min_lsn=99999`), 400, 'lsn_in_future')
  isProblem(t, await get(votes, '-H', 'accept: text/html'), 406, 'not_acceptable')
  t.match((await get(votes)).json(), { disagree_count: 2 }, 'nothing of that was stored')
  isProblem(t, await postJson(`${url}/v1/assert`, by(1, { subject: 'steme://x', predicate: 'p', object: 1, confidence: 1 })), 422, 'record_invalid', { pointer: '' })
})

t.test('what can have no alias is said in the words of the body', async (t) => {
  const { url } = await serve(t)
  for (const [subject, alias, pointer] of [['steme://epochs', 'b', '/subject'], ['a', 'b/', '/alias'], ['a', 'x'.repeat(1025), '/alias']] as const) {
    const answer = await postJson(`${url}/v1/aliases`, by(1, { subject, alias }))
    isProblem(t, answer, 422, 'record_invalid', { pointer })
    t.notMatch(answer.body, /alias\/path/)
  }
})

t.test('epochs', async (t) => {
  const { url } = await serve(t)
  t.match((await get(`${url}/v1/epochs`)).json(), { epochs: [], truncated: false })
  const old = await stored(t, postJson(`${url}/v1/epoch`, by(1, { name: 'guideline of 2019' })))
  const input = { name: 'guideline of 2026', supersedes: old.id, reason: 'new label' }
  const fresh = await stored(t, postJson(`${url}/v1/epoch`, by(2, input)))
  t.match((await get(`${url}/v1/epochs?min_lsn=${fresh.lsn}`)).json(), { epochs: [
    { id: fresh.id, name: 'guideline of 2026', supersedes: old.id, reason: 'new label', agent: didOf(2), withdrawn: false, superseded: false },
    { id: old.id, name: 'guideline of 2019', withdrawn: false, superseded: true },
  ] })
  const back = await stored(t, postJson(`${url}/v1/epoch`, by(2, { ...input, withdraws: fresh.id })))
  t.match((await get(`${url}/v1/epochs?min_lsn=${back.lsn}`)).json(), { epochs: [{ id: fresh.id, withdrawn: true }, { id: old.id, superseded: false }] })
  t.match((await get(`${url}/v1/epochs?as_of=${fresh.hlc}`)).json(), { epochs: [{ withdrawn: false }, { superseded: true }] })
  const again = await stored(t, postJson(`${url}/v1/epoch`, by(2, input)))
  const withdrawal = { name: input.name, withdraws: again.id }
  isProblem(t, await postJson(`${url}/v1/epoch`, by(2, { ...withdrawal, supersedes: X, reason: 'r' })), 422, 'record_invalid', { pointer: '/supersedes' })
  isProblem(t, await postJson(`${url}/v1/epoch`, by(1, withdrawal)), 422, 'record_invalid', { pointer: '/withdraws', detail: /same agent/ })
  isProblem(t, await postJson(`${url}/v1/epoch`, by(2, { ...withdrawal, withdraws: X })), 422, 'record_invalid', { pointer: '/withdraws' })
  isProblem(t, await postJson(`${url}/v1/epoch`, by(2, { ...withdrawal, withdraws: back.id })), 422, 'record_invalid', { pointer: '/withdraws' })
  const short = await stored(t, postJson(`${url}/v1/epoch`, by(2, withdrawal)))
  t.match((await get(`${url}/v1/epochs?min_lsn=${short.lsn}`)).json(), { epochs: [{ id: again.id, withdrawn: true }, { withdrawn: true }, { id: old.id, superseded: false }] },
    'what it supersedes need not be said again')
  isProblem(t, await postJson(`${url}/v1/epoch`, by(1, { name: ' ' })), 422, 'record_invalid')
  isProblem(t, await postJson(`${url}/v1/epoch`, by(1, { name: 'x', supersedes: old.id })), 422, 'record_invalid', { detail: /reason/ })
  isProblem(t, await postJson(`${url}/v1/epoch`, by(1, {})), 400, 'field_missing', { pointer: '/name' })
  isProblem(t, await get(`${url}/v1/epochs?limit=x`), 400, 'parameter_invalid', { parameter: 'limit' })
})

t.test('trust', async (t) => {
  const { url } = await serve(t, { trustReporters: `${hexOf(1)},${didOf(2)}`, trustHalfLifeDays: 10 })
  const trust = `${url}/v1/agents/${hexOf(9)}/trust`
  t.match((await get(trust)).json(), { agent: didOf(9), trust: 0.5, half_life_days: 10, accurate: 0, inaccurate: 0, outcomes: [] })
  const first = await stored(t, postJson(trust, by(1, { accurate: true, assertion: X, note: 'checked' })))
  await stored(t, postJson(`${url}/v1/agents/${encodeURIComponent(didOf(9))}/trust`, by(2, { accurate: false })))
  await stored(t, postJson(trust, by(3, { accurate: false })))
  const last = await stored(t, postJson(trust, by(9, { accurate: true })))
  const now = (await get(`${trust}?min_lsn=${last.lsn}`)).json() as { trust: number }
  t.match(now, { accurate: 1, inaccurate: 1, outcomes: [{ agent: didOf(2), accurate: false }, { id: first.id, agent: didOf(1), accurate: true, assertion: X, note: 'checked' }] })
  t.ok(Math.abs(now.trust - 0.45) < 1e-3, String(now.trust))
  const then = (await get(`${url}/v1/agents/${didOf(9)}/trust?as_of=${first.hlc}`)).json() as { trust: number }
  t.equal(then.trust, 0.55)
  await stored(t, postJson(trust, by(2, { accurate: false, withdraw: true })))
  isProblem(t, await postJson(trust, by(1, { accurate: 1 })), 400, 'field_invalid', { pointer: '/accurate' })
  isProblem(t, await postJson(trust, by(1, {})), 400, 'field_missing', { pointer: '/accurate' })
  isProblem(t, await postJson(`${url}/v1/agents/me/trust`, by(1, { accurate: true })), 400, 'parameter_invalid', { parameter: 'key' })
  isProblem(t, await get(`${url}/v1/agents/%ff/trust`), 400, 'parameter_invalid', { parameter: 'key' })
})

t.test('aliases', async (t) => {
  const { url } = await serve(t)
  const aliases = (subject: string, more = ''): Promise<CurlAnswer> => get(`${url}/v1/aliases?subject=${encodeURIComponent(subject)}${more}`)
  const first = (await postJson(`${url}/v1/aliases`, by(1, { subject: 'rfc://9110/15', alias: 'code/http/status' }))).json() as unknown as { created: number, results: Stored[] }
  t.match(first, { created: 2, duplicate: 0, refused: 0, results: [{ status: 'created' }, { status: 'created' }] })
  const answer = await postJson(`${url}/v1/aliases`, by(2, { subject: 'http/status', alias: 'code/http/status' }))
  t.equal(answer.status, 201)
  const { results } = answer.json() as unknown as { results: Stored[] }
  const lsn = results[1]!.lsn
  t.match((await aliases('rfc://9110/15', `&min_lsn=${lsn}`)).json(), {
    subject: 'rfc://9110/15', aliases: ['code/http/status', 'http/status'], direct: [{ alias: 'code/http/status', agent: didOf(1), id: first.results[0]!.id }], truncated: false,
  })
  t.match((await aliases('http/status')).json(), { aliases: ['code/http/status', 'rfc://9110/15'] })
  t.match((await aliases('http/status', `&as_of=${first.results[1]!.hlc}`)).json(), { aliases: [] })
  const gone = (await postJson(`${url}/v1/aliases`, by(1, { subject: 'rfc://9110/15', alias: 'code/http/status', withdraw: true }))).json() as unknown as { results: Stored[] }
  t.match((await aliases('rfc://9110/15', `&min_lsn=${gone.results[1]!.lsn}`)).json(), { aliases: [], direct: [] })
  isProblem(t, await postJson(`${url}/v1/aliases`, by(1, { subject: 'a', alias: 'a' })), 422, 'record_invalid')
  isProblem(t, await postJson(`${url}/v1/aliases`, by(1, { subject: 'a', alias: 'b//c' })), 422, 'record_invalid')
  isProblem(t, await postJson(`${url}/v1/aliases`, by(1, { subject: 'x'.repeat(1010), alias: 'b' })), 422, 'record_invalid')
  isProblem(t, await get(`${url}/v1/aliases`), 400, 'parameter_invalid', { parameter: 'subject' })
  isProblem(t, await aliases('a//b'), 400, 'parameter_invalid', { parameter: 'subject' })
  isProblem(t, await aliases('x'.repeat(2000)), 400, 'parameter_invalid', { parameter: 'subject' })
})

t.test('sources', async (t) => {
  const { url } = await serve(t)
  const sources = `${url}/v1/sources`
  const content = `Grüße 💧 ${'x'.repeat(100_000)}`
  const hash = toHex(sourceHashOf(content))
  const body = by(1, { title: 'A label', uri: 'https://example.org/label', source_class: 'regulatory', content })
  const answer = await postJson(sources, body)
  t.equal(answer.status, 201, answer.body)
  t.match(answer.json(), { hash, created: 3, results: { length: 3 } })
  t.equal((await postJson(sources, body)).status, 200)
  const { lsn, hlc } = (answer.json() as unknown as { results: Stored[] }).results[2]!
  const found = (await get(`${sources}/${hash}?min_lsn=${lsn}`)).json()
  t.match(found, { hash, registrations: [{ title: 'A label', uri: 'https://example.org/label', source_class: 'regulatory', agent: didOf(1) }], truncated: false, content_agent: didOf(1) })
  t.equal(found['content'], content)
  t.notOk('content' in (await get(`${sources}/${hash}?content=no`)).json())
  isProblem(t, await get(`${sources}/${hash}?as_of=1600000000000`), 404, 'not_found')

  await t.test('content that is not what its hash says is never served', async (t) => {
    const piece = { subject: `steme://content/${hash}`, predicate: 'piece/0000', object: 'forged', confidence: 1, source_hash: hash }
    t.equal((await postJson(`${url}/v1/assert`, by(2, piece))).status, 201)
    const forged = 'cd'.repeat(32)
    await postJson(sources, by(2, { hash: forged, title: 'forged' }))
    const wrong = await stored(t, postJson(`${url}/v1/assert`, by(2, { ...piece, subject: `steme://content/${forged}`, source_hash: forged })))
    const both = [await get(`${sources}/${hash}?min_lsn=${wrong.lsn}`), await get(`${sources}/${forged}`)].map((one) => one.json())
    t.equal(both[0]!['content'], content, 'of the agent whose pieces are right')
    t.match(both[1], { content: null, registrations: [{ title: 'forged', source_class: 'anecdotal' }] })
  })

  await t.test('as long as it may be', async (t) => {
    const long = '💧'.repeat(SOURCE_CONTENT_BYTES_MAX / 4)
    const stored = await postJson(sources, by(1, { content: long }))
    t.equal(stored.status, 201, stored.body.slice(0, 300))
    const { hash, results } = stored.json() as unknown as { hash: string, results: Stored[] }
    t.equal((await get(`${sources}/${hash}?min_lsn=${results.at(-1)!.lsn}`)).json()['content'], long)
    isProblem(t, await postJson(sources, by(1, { content: `${long}x` })), 422, 'record_invalid')
  })

  await t.test('pages', async (t) => {
    const hashes = [hash]
    for (let i = 0; i < 7; i++) hashes.push((await postJson(sources, by(i + 1, { content: `text ${i}` }))).json()['hash'] as string)
    const last = (await postJson(sources, by(1, { hash: 'ee'.repeat(32) }))).json() as unknown as { results: Stored[] }
    const seen: string[] = []
    let cursor = ''
    let pages = 0
    do {
      const page = (await get(`${sources}?limit=3&as_of=${last.results[0]!.hlc}&min_lsn=${last.results[0]!.lsn}${cursor === '' ? '' : `&cursor=${cursor}`}`)).json() as { sources: { hash: string }[], cursor?: string }
      t.notOk(JSON.stringify(page).includes('xxxx'), 'without content')
      t.ok(page.sources.length <= 3)
      seen.push(...page.sources.map((one) => one.hash))
      cursor = page.cursor ?? ''
      pages++
    } while (cursor !== '' && pages < 10)
    t.ok(hashes.every((one) => seen.includes(one)) && seen.includes('ee'.repeat(32)))
    t.strictSame(seen, [...new Set(seen)].sort(), 'each once, in order')
    t.ok(pages >= 4)
    t.match((await get(`${sources}?as_of=${hlc}`)).json(), { sources: [{ hash }] })
  })

  isProblem(t, await get(`${sources}/${X}`), 404, 'not_found')
  isProblem(t, await get(`${sources}/x`), 400, 'parameter_invalid', { parameter: 'hash' })
  isProblem(t, await get(`${sources}?cursor=x`), 400, 'parameter_invalid', { parameter: 'cursor' })
  isProblem(t, await postJson(sources, by(1, {})), 422, 'record_invalid')
  isProblem(t, await postJson(sources, by(1, { content: 'x', hash: X })), 422, 'record_invalid')
  isProblem(t, await postJson(sources, by(1, { content: 'x', source_class: 'best' })), 400, 'field_invalid', { pointer: '/source_class' })
  isProblem(t, await postJson(sources, by(1, { content: 'x', uri: 'x'.repeat(3000) })), 400, 'field_too_long', { pointer: '/uri' })
})

t.test('where signatures are required', async (t) => {
  const { url } = await serve(t, { signatures: 'required' })
  const realm = realmHashOf('default')
  const { publicKey, secretKey } = pair(1)
  const idOf = (draft: RecordDraft, assertedAtMs: number): Uint8Array => assertionIdOf({ sourceClass: 5, ...draft, agent: publicKey, assertedAtMs })
  const vote = by(1, { assertion: X, weight: 1 })
  isProblem(t, await postJson(`${url}/v1/vote`, vote), 401, 'signature_missing')
  const id = idOf(voteDraft(fromHex(X)!, 1), vote['asserted_at'] as number)
  t.match(await stored(t, postJson(`${url}/v1/vote`, { ...vote, signature: toHex(signMessage(secretKey, singleMessage(realm, id))) })), { id: toHex(id) })

  const alias = by(1, { subject: 'a', alias: 'b' })
  isProblem(t, await postJson(`${url}/v1/aliases`, alias), 401, 'signature_missing')
  const ids = aliasDrafts('a', 'b').map((draft) => idOf(draft, alias['asserted_at'] as number))
  const signature = toHex(signMessage(secretKey, batchMessage(realm, 2, rootOfIds(concatBytes(...ids)))))
  isProblem(t, await postJson(`${url}/v1/aliases`, { ...alias, alias: 'c', signature }), 403, 'signature_invalid')
  const answer = await postJson(`${url}/v1/aliases`, { ...alias, signature })
  t.match([answer.status, answer.json()], [201, { results: ids.map((one) => ({ id: toHex(one) })) }])
  t.match((await get(`${url}/v1/assertions/${toHex(ids[1]!)}`)).json(), { signed_by: 'batch', signature })
})
