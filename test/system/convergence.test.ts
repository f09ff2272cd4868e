import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { toHex } from '../../src/base/bytes.ts'
import { seededRandom, type Random } from '../../src/base/random.ts'
import { LENSES } from '../../src/lens/registry.ts'
import { keyPairOfSeed } from '../../src/verify/keys.ts'
import { startServer, type RunningServer } from '../support/server.ts'
import { stemedb } from './command.ts'

/*
 * One answer, whatever the node has been through: the same records, through kill -9 and replay, with everything sent again in another order, and with indexes that
 * were made anew from the log, answer every question with the same bytes. Questions name their moment (`as_of`), because "now" is part of an answer: claims decay.
 *
 * `node dist/test/system/convergence.test.js 7`: from seed 7.
 */
const SEED = Number(process.argv[2] ?? 1)
const ROUNDS = 24
const ROUND_REQUESTS = 8
/** Requests in flight while everything is sent again. */
const AGAIN_IN_FLIGHT = 16

t.setTimeout(290_000)

type Json = Record<string, unknown>
interface Stored { readonly id: string, readonly lsn: number, readonly hlc: string, readonly status: string }
interface Request { readonly path: string, readonly body: Json }

const below = (random: Random, end: number): number => random.u32() % end
const agentOf = (n: number): string => toHex(keyPairOfSeed(new Uint8Array(32).fill(n)).publicKey)
const AGENTS = [1, 2, 3, 4].map(agentOf)
const SUBJECTS = ['drug/a', 'drug/b', 'label/a']
const PREDICATES = ['dose', 'must_use']
const TIERS = ['regulatory', 'clinical', 'observational', 'expert', 'community', 'anecdotal']
const OBJECTS = [1, 2, 100, 101, 'safe', 'unsafe', '500 mg', '0.5 g', true]

async function post(url: string, { path, body }: Request): Promise<Stored[]> {
  const response = await fetch(`${url}${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
  const answer = await response.json() as Stored & { results?: Stored[] }
  if (!response.ok) throw new Error(`${path} ${JSON.stringify(body)}: ${JSON.stringify(answer)}`)
  return answer.results ?? [answer]
}

/** Tells a node a history, request by request, and keeps all of it. */
class Author {
  readonly requests: Request[] = []
  readonly claims: Stored[] = []
  readonly epochs: Stored[] = []
  lastHlc = 0n
  lastLsn = 0
  readonly #bodies = new Map<string, Json>()
  readonly #random: Random
  #made = 0

  constructor(random: Random) {
    this.#random = random
  }

  pick<T>(from: readonly T[]): T {
    return from[below(this.#random, from.length)]!
  }

  #next(): Request {
    const base = { agent: this.pick(AGENTS), asserted_at: Date.now() - 86_400_000 * below(this.#random, 400) + this.#made++ }
    const claim = this.claims.length > 0 ? this.pick(this.claims) : undefined
    const epoch = this.epochs.length > 0 ? this.pick(this.epochs) : undefined
    const kind = claim === undefined ? 0 : below(this.#random, 16)
    if (kind < 7) {
      return { path: '/v1/assert', body: {
        ...base, subject: this.pick(SUBJECTS), predicate: this.pick(PREDICATES), object: this.pick(OBJECTS), confidence: this.pick([0.25, 0.5, 0.9, 1]), source_class: this.pick(TIERS),
        source_hash: this.pick(['51', '52', '53']).repeat(32), ...(epoch !== undefined && kind < 3 ? { epoch: epoch.id } : {}),
      } }
    }
    const changed = this.#bodies.get(claim!.id)!
    switch (kind) {
      case 7: case 8: case 9: return { path: '/v1/vote', body: { ...base, assertion: claim!.id, weight: this.pick([1, 0.5, -0.5, -1, 0]) } }
      case 10: return { path: '/v1/epoch', body: { ...base, name: `guideline ${this.#made}`, ...(epoch === undefined ? {} : { supersedes: epoch.id, reason: 'newer' }) } }
      case 11: case 12: return { path: `/v1/agents/${this.pick(AGENTS)}/trust`, body: { ...base, accurate: this.pick([true, false]), assertion: claim!.id } }
      case 13: return { path: '/v1/aliases', body: { ...base, subject: this.pick(['drug/a', 'drug/b']), alias: 'label/a', withdraw: this.pick([true, false, false]) } }
      case 14: return { path: '/v1/sources', body: { ...base, content: `text ${this.#made}`, title: 'A label' } }
      default: return { path: '/v1/assert', body: { ...changed, asserted_at: base.asserted_at, parent: claim!.id, lifecycle: this.pick(['approved', 'deprecated', 'retracted', 'retracted']) } }
    }
  }

  /** One round: requests that do not wait for each other. */
  async round(url: string): Promise<void> {
    const round = Array.from({ length: ROUND_REQUESTS }, () => this.#next())
    this.requests.push(...round)
    const answers = await Promise.all(round.map((request) => post(url, request)))
    for (const [i, stored] of answers.entries()) {
      const { path, body } = round[i]!
      if (path === '/v1/assert' && !('parent' in body)) {
        this.claims.push(stored[0]!)
        this.#bodies.set(stored[0]!.id, body)
      }
      if (path === '/v1/epoch') this.epochs.push(stored[0]!)
      for (const { hlc, lsn } of stored) {
        if (BigInt(hlc) > this.lastHlc) this.lastHlc = BigInt(hlc)
        this.lastLsn = Math.max(this.lastLsn, lsn)
      }
    }
  }
}

/** Everything that can be asked about the history, as of a moment. */
function questionsOf({ claims }: Author, asOf: bigint): string[] {
  const pairs = SUBJECTS.flatMap((subject) => PREDICATES.map((predicate) => `subject=${subject}&predicate=${predicate}`))
  const lenses = [...LENSES.map(({ name }) => name), 'none', 'epoch,authority,recency', 'authority,consensus', 'trust-authority,ballot']
  const ids = claims.map(({ id }) => id)
  return [
    ...lenses.flatMap((lens) => pairs.map((pair) => `/v1/query?${pair}&lens=${lens}&explain=${lens !== 'none'}`)),
    ...lenses.map((lens) => `/v1/query?prefix=drug/&lens=${lens}&limit=1000`),
    ...lenses.map((lens) => `/v1/query?subject=drug/a&lens=${lens}&aliases=true&tolerance=0.02`),
    ...['tier=0,1', 'lifecycle=retracted', `agent=${AGENTS[1]}`, 'confidence_min=0.9', 'object=text:safe', `source=${'51'.repeat(32)}`].map((filter) => `/v1/query?${filter}&lens=none&limit=1000`),
    ...pairs.flatMap((pair) => [`/v1/skeptic?${pair}`, `/v1/layered?${pair}`]), ...SUBJECTS.map((subject) => `/v1/constraints?subject=${subject}`),
    ...ids.slice(0, 30).map((id) => `/v1/assertions/${id}/votes?limit=1000`), ...ids.slice(0, 8).map((id) => `/v1/trace/${id}?depth=4`),
    '/v1/epochs?limit=1000', ...AGENTS.map((agent) => `/v1/agents/${agent}/trust?limit=1000`), ...SUBJECTS.map((subject) => `/v1/aliases?subject=${subject}`),
    '/v1/sources?limit=1000', '/v1/concepts',
  ].map((path) => `${path}${path.includes('?') ? '&' : '?'}as_of=${asOf}`)
}

/** The bytes of every answer, without what says when and how fast it was made. */
async function answersOf(url: string, questions: readonly string[], minLsn: number): Promise<Map<string, string>> {
  const ready = await fetch(`${url}/v1/query?subject=x&min_lsn=${minLsn}`)
  if (!ready.ok) throw new Error(`${minLsn} is not reached: ${await ready.text()}`)
  await ready.arrayBuffer()
  const answers = new Map<string, string>()
  for (const question of questions) {
    const response = await fetch(`${url}${question}`)
    const text = await response.text()
    if (!response.ok) throw new Error(`${question}: ${text}`)
    answers.set(question, text.replaceAll(/"(?:seen_lsn|\w+_us)":\d+,?/g, '').replaceAll(/"from_cache":(?:true|false),?/g, ''))
  }
  return answers
}

function isSame(t: Test, found: ReadonlyMap<string, string>, expected: ReadonlyMap<string, string>, when: string): void {
  const other = [...expected].filter(([question, answer]) => found.get(question) !== answer)
  t.strictSame(other.slice(0, 3).map(([question, expected]) => ({ question, expected, found: found.get(question) })), [], `${when}: ${other.length} of ${expected.size} answers are others`)
}

/** Sends everything again, in another order, and waits for all senders. @returns how many were answered, what was stored anew, and why senders gave up, as they do when the node is killed */
async function sendAgain(url: string, requests: readonly Request[], random: Random, onAnswer?: (answered: number) => void): Promise<{ answered: number, fresh: Stored[], failures: string[] }> {
  const left = requests.map((request) => ({ request, at: random.u32() })).sort((a, b) => a.at - b.at).map(({ request }) => request)
  const fresh: Stored[] = []
  let answered = 0
  const sender = async (): Promise<void> => {
    for (let request = left.pop(); request !== undefined; request = left.pop()) {
      fresh.push(...(await post(url, request)).filter(({ status }) => status !== 'duplicate'))
      answered++
      onAnswer?.(answered)
    }
  }
  const ended = await Promise.allSettled(Array.from({ length: AGAIN_IN_FLIGHT }, sender))
  const failures = ended.flatMap((end) => (end.status === 'rejected' ? [String((end.reason as Error).message)] : []))
  return { answered, fresh, failures }
}

t.test('the same answers, whatever the node has been through', async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'stemedb-convergence-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  const serve = async (): Promise<RunningServer> => {
    const server = await startServer({ dataDir, settings: { signatures: 'optional', walSegmentBytes: 16 * 2 ** 20, trustReporters: AGENTS.join(',') } })
    t.teardown(() => server.kill9())
    return server
  }
  const random = seededRandom(SEED)
  const author = new Author(random)
  let server = await serve()
  for (let i = 0; i < ROUNDS / 2; i++) await author.round(server.url)
  const middle = author.lastHlc
  const middleQuestions = questionsOf(author, middle)
  const first = await answersOf(server.url, middleQuestions, author.lastLsn)
  for (let i = 0; i < ROUNDS / 2; i++) await author.round(server.url)
  const questions = [...middleQuestions, ...questionsOf(author, author.lastHlc)]
  const before = await answersOf(server.url, questions, author.lastLsn)
  t.comment(`seed ${SEED}: ${author.lastLsn} assertions, ${questions.length} questions`)
  isSame(t, before, first, 'after more was written, as of before')
  const now = (question: string): string => question.replace(String(middle), String(author.lastHlc))
  const moved = middleQuestions.filter((question) => before.get(now(question)) !== before.get(question)).length
  t.ok(moved > middleQuestions.length / 2, `${moved} of ${middleQuestions.length} answers have changed meanwhile: there is something to confuse`)
  const isSameNow = async (when: string): Promise<void> => isSame(t, await answersOf(server.url, questions, author.lastLsn), before, when)

  await server.kill9()
  server = await serve()
  t.equal(server.ready.durable_lsn, author.lastLsn)
  await isSameNow('after kill -9 and replay')

  const all = await sendAgain(server.url, author.requests, random)
  t.strictSame(all, { answered: author.requests.length, fresh: [], failures: [] }, 'all sent again: all known')
  await isSameNow('after all was sent again')

  let killed: Promise<unknown> | undefined
  const some = await sendAgain(server.url, author.requests, random, (answered) => { if (answered === Math.floor(author.requests.length / 3)) killed = server.kill9() })
  await killed
  t.strictSame(some.fresh, [])
  t.ok(killed !== undefined && some.answered < author.requests.length, `killed after ${some.answered} of ${author.requests.length}`)
  server = await serve()
  t.equal(server.ready.durable_lsn, author.lastLsn, 'nothing was stored twice')
  await isSameNow('after kill -9 while all was sent again')

  await server.kill9()
  const rebuilt = await stemedb(['store', 'rebuild', '--data-dir', dataDir, '--json'])
  t.equal(rebuilt.code, 0, rebuilt.stderr)
  t.match(rebuilt.lines().at(-1), { assertions: author.lastLsn })
  server = await serve()
  await isSameNow('with indexes made anew')
  t.strictSame(await sendAgain(server.url, author.requests, random), { answered: author.requests.length, fresh: [], failures: [] }, 'they know all ids')
  await isSameNow('with indexes made anew, after all was sent again')

  // A tooth: the comparison sees one vote too many.
  const vote = { path: '/v1/vote', body: { agent: agentOf(9), asserted_at: Date.now(), assertion: author.claims[0]!.id, weight: 0.125 } }
  const [voted] = await post(server.url, vote)
  const asked = `/v1/assertions/${author.claims[0]!.id}/votes?limit=1000&as_of=`
  const after = await answersOf(server.url, [`${asked}${voted!.hlc}`], voted!.lsn)
  t.not(after.get(`${asked}${voted!.hlc}`), before.get(`${asked}${author.lastHlc}`))
  t.equal((await server.stop()).code, 0)
})
