import { hlcWallMs } from '../base/hlc.ts'
import { DbError, isDbError } from '../base/errors.ts'
import type { QueryReply, StoredAssertion } from '../client/client.ts'
import { httpGet, httpQuery, type QueryParameters } from '../client/http.ts'
import { nodeUrlsOf } from '../client/urls.ts'
import { conflictTable, cutLines, explanationLines, rulesTable } from './conflict-table.ts'
import type { ReadOptions } from './connect.ts'
import { showIdOn, type Console, type OutputOptions } from './console.ts'
import { EXIT } from '../base/exit-codes.ts'
import { tableText } from './table.ts'
import { timeoutOf, wholeNumber } from './values.ts'
import { objectText, printable, shortKey, type ShowId } from './words.ts'

type Filters = Pick<QueryParameters, 'cursor' | 'agent' | 'source' | 'epoch' | 'lifecycle' | 'tier' | 'from' | 'until' | 'assertedFrom' | 'assertedUntil' | 'confidenceMin' | 'object' | 'asOf' | 'tolerance' | 'aliases' | 'explain'>

export interface QueryOptions extends ReadOptions, OutputOptions, Filters {
  readonly prefix?: boolean
  readonly lens?: string
  readonly limit?: string
  readonly minLsn?: string
  readonly fullIds?: boolean
}

/** What is not asked for is not sent: the node has the defaults. */
function defined<T extends object>(values: T): T {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as T
}

/** `stemedb query` */
export async function runQuery(subject: string | undefined, predicate: string | undefined, options: QueryOptions, console: Console): Promise<number> {
  const { url, timeout, json, verbose: _verbose, fullIds, prefix, limit, minLsn, ...how } = options
  if (subject === undefined && (prefix === true || (how.agent ?? how.from ?? how.until) === undefined)) {
    throw new DbError('parameter_invalid', 'subject: name one, or what else is looked for by --agent, --from or --until', { parameter: 'subject' })
  }
  const parameters = {
    ...(prefix === true ? { prefix: subject } : { subject }), predicate, ...how,
    limit: wholeNumber('--limit', limit), minLsn: wholeNumber('--min-lsn', minLsn),
  }
  const [base, timeoutMs] = [nodeUrlsOf(url).http, timeoutOf(timeout)]
  const reply = await httpQuery(fetch, base, defined(parameters) as QueryParameters, timeoutMs)
  if (json === true) console.out(JSON.stringify(reply))
  else {
    await showReply(reply, console)
    await showExplanations(reply, showIdOn(console, fullIds), (id) => httpGet(fetch, base, id, timeoutMs), console)
    showRest(reply, console)
  }
  return reply.answers.length + (reply.listed?.length ?? 0) > 0 ? EXIT.ok : EXIT.failed
}

async function showReply({ answers, listed = [] }: QueryReply, console: Console): Promise<void> {
  if (answers.length === 0 && listed.length === 0) console.err('Nothing is known about that.')
  // Mostly it is what was asserted, and says nothing.
  const showsLifecycle = listed.length === 0 && answers.some(({ winner }) => winner?.effective_lifecycle !== undefined)
  const head = ['subject', 'predicate', 'object', 'conf.', 'source', 'agent', ...(showsLifecycle ? ['lifecycle'] : []), listed.length > 0 ? 'lifecycle' : 'of']
  const row = ({ assertion, effective_lifecycle: effective }: StoredAssertion, last: string): string[] => {
    const { subject, predicate, object, confidence, source_class: source, agent, lifecycle } = assertion
    return [
      printable(subject), printable(predicate), objectText(object), printable(String(confidence)), printable(source), shortKey(agent),
      ...(showsLifecycle ? [printable(effective ?? lifecycle)] : []), printable(last),
    ]
  }
  const rows = listed.map((found) => row(found, found.assertion.lifecycle))
  const conflicts = answers.filter(({ sides }) => sides !== undefined && sides.length > 0)
  for (const answer of answers) {
    if (conflicts.includes(answer)) continue
    const { subject, predicate, candidates, winner } = answer
    rows.push(winner === null ? [printable(subject), printable(predicate), '(none)', '', '', '', ...(showsLifecycle ? [''] : []), String(candidates)] : row(winner, String(candidates)))
  }
  if (rows.length > 0) console.out(await tableText({ head, rows }, console))
  for (const answer of conflicts) console.out(await (answer.rule_rows === undefined ? conflictTable : rulesTable)(answer, console))
  if (answers.length === 1 && answers[0]!.why !== '') console.out(printable(answers[0]!.why))
}

type Get = (id: string) => Promise<StoredAssertion | undefined>

/** A value that can not be had is not shown: the explanation stands without it. */
function unlessRefused(error: unknown): undefined {
  if (!isDbError(error)) throw error
}

/** How many assertions of an explanation are asked for at a time. */
const GETS_AT_ONCE = 16

/** What became of each candidate, with its value: an answer has that of its winner only, and the others are asked for by their ids. */
async function showExplanations({ answers }: QueryReply, showId: ShowId, get: Get, console: Console): Promise<void> {
  for (const answer of answers) {
    const ids = answer.explanation?.considered.map(({ id }) => id) ?? []
    const values = new Map<string, string>()
    for (let from = 0; from < ids.length; from += GETS_AT_ONCE) {
      const found = await Promise.all(ids.slice(from, from + GETS_AT_ONCE).map((id) => get(id).catch(unlessRefused)))
      for (const one of found) if (one !== undefined) values.set(one.id, objectText(one.assertion.object))
    }
    for (const line of explanationLines(answer, { isOneOfMany: answers.length > 1, showId, values })) console.out(line)
  }
}

function showRest(reply: QueryReply, console: Console): void {
  for (const line of cutLines(reply)) console.err(line)
  if (reply.cursor !== undefined) console.err(`There is more: --cursor ${printable(reply.cursor)}`)
  else if (reply.truncated) console.err(`There are more answers; raise --limit above ${reply.answers.length}.`)
}

/** `stemedb get` */
export async function runGet(id: string, { url, timeout, json }: ReadOptions & OutputOptions, console: Console): Promise<number> {
  const found = await httpGet(fetch, nodeUrlsOf(url).http, id, timeoutOf(timeout))
  if (found === undefined) throw new DbError('not_found', `no assertion has the id ${id}`)
  if (json === true) console.out(JSON.stringify(found))
  else showFound(found, console)
  return EXIT.ok
}

function showFound(found: StoredAssertion, console: Console): void {
  const { subject, predicate, object, ...rest } = found.assertion
  console.out(`${printable(subject)}  ${printable(predicate)}  ${objectText(object, 2000)}`)
  const line = (name: string, value: unknown): void => console.out(`${name.padEnd(13)} ${printable(String(value))}`)
  line('id', found.id)
  line('lsn', found.lsn)
  line('stored', new Date(hlcWallMs(BigInt(found.hlc))).toISOString())
  line('signed by', found.signed_by)
  line('object', object.type)
  for (const [name, value] of Object.entries(rest)) {
    if (name === 'vector') line(name, `${(value as number[]).length} numbers`)
    else if (name === 'asserted_at') line(name, new Date(value as number).toISOString())
    else line(name, value)
  }
}
