import { hlcWallMs } from '../base/hlc.ts'
import { DbError } from '../base/errors.ts'
import type { QueryReply, StoredAssertion } from '../client/client.ts'
import { httpGet, httpQuery, type QueryParameters } from '../client/http.ts'
import { nodeUrlsOf } from '../client/urls.ts'
import { conflictTable, cutLines, explanationLines, rulesTable } from './conflict-table.ts'
import type { Console, OutputOptions } from './console.ts'
import { EXIT } from '../base/exit-codes.ts'
import { objectText, printable, shortKey } from './words.ts'

type Filters = Pick<QueryParameters, 'cursor' | 'agent' | 'source' | 'epoch' | 'lifecycle' | 'tier' | 'from' | 'until' | 'assertedFrom' | 'assertedUntil' | 'confidenceMin' | 'object' | 'asOf' | 'tolerance' | 'aliases' | 'explain'>

export interface QueryOptions extends OutputOptions, Filters {
  readonly url: string
  readonly prefix?: boolean
  readonly lens?: string
  readonly limit?: string
  readonly minLsn?: string
}

export function wholeNumber(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (!/^\d{1,15}$/.test(text)) throw new DbError('parameter_invalid', `${name}: "${text}" is no whole number`, { parameter: name })
  return Number(text)
}

/** What is not asked for is not sent: the node has the defaults. */
function defined<T extends object>(values: T): T {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as T
}

/** `stemedb query` */
export async function runQuery(subject: string | undefined, predicate: string | undefined, options: QueryOptions, console: Console): Promise<number> {
  const { url, json, verbose: _verbose, prefix, limit, minLsn, ...how } = options
  if (subject === undefined && (prefix === true || (how.agent ?? how.from ?? how.until) === undefined)) {
    throw new DbError('parameter_invalid', 'subject: name one, or what else is looked for by --agent, --from or --until', { parameter: 'subject' })
  }
  const parameters = {
    ...(prefix === true ? { prefix: subject } : { subject }), predicate, ...how,
    limit: wholeNumber('--limit', limit), minLsn: wholeNumber('--min-lsn', minLsn),
  }
  const reply = await httpQuery(fetch, nodeUrlsOf(url).http, defined(parameters) as QueryParameters)
  if (json === true) console.out(JSON.stringify(reply))
  else await showReply(reply, console)
  return reply.answers.length + (reply.listed?.length ?? 0) > 0 ? EXIT.ok : EXIT.failed
}

async function showReply(reply: QueryReply, console: Console): Promise<void> {
  const { answers, listed = [], cursor } = reply
  if (answers.length === 0 && listed.length === 0) console.err('Nothing is known about that.')
  const { default: Table } = await import('cli-table3')
  // Mostly it is what was asserted, and says nothing.
  const showsLifecycle = listed.length === 0 && answers.some(({ winner }) => winner?.effective_lifecycle !== undefined)
  const table = new Table({
    head: ['subject', 'predicate', 'object', 'conf.', 'source', 'agent', ...(showsLifecycle ? ['lifecycle'] : []), listed.length > 0 ? 'lifecycle' : 'of'],
    style: { head: [], border: [], compact: true }, wordWrap: false,
  })
  const row = ({ assertion, effective_lifecycle: effective }: StoredAssertion, last: string): string[] => {
    const { subject, predicate, object, confidence, source_class: source, agent, lifecycle } = assertion
    return [
      printable(subject), printable(predicate), objectText(object), String(confidence), source, shortKey(agent), ...(showsLifecycle ? [effective ?? lifecycle] : []), last,
    ]
  }
  for (const found of listed) table.push(row(found, found.assertion.lifecycle))
  const conflicts = answers.filter(({ sides }) => sides !== undefined && sides.length > 0)
  for (const answer of answers) {
    if (conflicts.includes(answer)) continue
    const { subject, predicate, candidates, winner } = answer
    table.push(winner === null ? [printable(subject), printable(predicate), '(none)', '', '', '', ...(showsLifecycle ? [''] : []), String(candidates)] : row(winner, String(candidates)))
  }
  if (table.length > 0) console.out(table.toString())
  for (const answer of conflicts) console.out(await (answer.rule_rows === undefined ? conflictTable : rulesTable)(answer))
  if (answers.length === 1 && answers[0]!.why !== '') console.out(printable(answers[0]!.why))
  for (const answer of answers) for (const line of explanationLines(answer)) console.out(line)
  for (const line of cutLines(reply)) console.err(line)
  if (cursor !== undefined) console.err(`There is more: --cursor ${cursor}`)
  else if (reply.truncated) console.err(`There are more answers; raise --limit above ${answers.length}.`)
}

/** `stemedb get` */
export async function runGet(id: string, options: QueryOptions, console: Console): Promise<number> {
  const found = await httpGet(fetch, nodeUrlsOf(options.url).http, id)
  if (found === undefined) {
    console.err(`No assertion has the id ${id}.`)
    return EXIT.failed
  }
  if (options.json === true) console.out(JSON.stringify(found))
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
