import { hlcWallMs } from '../base/hlc.ts'
import { DbError } from '../base/errors.ts'
import type { QueryReply, StoredAssertion } from '../client/client.ts'
import { httpGet, httpQuery } from '../client/http.ts'
import { nodeUrlsOf } from '../client/urls.ts'
import type { Console, OutputOptions } from './console.ts'
import { EXIT } from '../base/exit-codes.ts'

export interface QueryOptions extends OutputOptions {
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

/** `stemedb query` */
export async function runQuery(subject: string, predicate: string | undefined, options: QueryOptions, console: Console): Promise<number> {
  const limit = wholeNumber('--limit', options.limit)
  const minLsn = wholeNumber('--min-lsn', options.minLsn)
  const reply = await httpQuery(fetch, nodeUrlsOf(options.url).http, {
    ...(options.prefix === true ? { prefix: subject } : { subject }),
    ...(predicate === undefined ? {} : { predicate }),
    ...(options.lens === undefined ? {} : { lens: options.lens }),
    ...(limit === undefined ? {} : { limit }),
    ...(minLsn === undefined ? {} : { minLsn }),
  })
  if (options.json === true) console.out(JSON.stringify(reply))
  else await showAnswers(reply, console)
  return reply.answers.length > 0 ? EXIT.ok : EXIT.failed
}

/** Text of strangers for a terminal: no control characters, which could drive it. */
// eslint-disable-next-line no-control-regex
export const printable = (text: string): string => text.replaceAll(/\s+/g, ' ').replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, '\ufffd')

/** A claim's object in one line of at most `widthMax` characters. */
export function objectText(object: { readonly type: string, readonly value: unknown }, widthMax = 60): string {
  const text = object.type === 'reference' ? `→ ${String(object.value)}` : String(object.value)
  const line = printable(text)
  return line.length > widthMax ? `${line.slice(0, widthMax - 1)}…` : line
}

export const shortKey = (key: string): string => (key.startsWith('did:key:') ? `${key.slice(8, 16)}…` : `${key.slice(0, 8)}…`)

async function showAnswers(reply: QueryReply, console: Console): Promise<void> {
  if (reply.answers.length === 0) return console.err('Nothing is known about that.')
  const { default: Table } = await import('cli-table3')
  const table = new Table({
    head: ['subject', 'predicate', 'object', 'conf.', 'source', 'agent', 'of'],
    style: { head: [], border: [], compact: true }, wordWrap: false,
  })
  for (const { subject, predicate, candidates, winner } of reply.answers) {
    if (winner === null) table.push([printable(subject), printable(predicate), '(none)', '', '', '', String(candidates)])
    else {
      const { object, confidence, source_class: source, agent } = winner.assertion
      table.push([printable(subject), printable(predicate), objectText(object), String(confidence), source, shortKey(agent), String(candidates)])
    }
  }
  console.out(table.toString())
  if (reply.answers.length === 1 && reply.answers[0]!.why !== '') console.out(printable(reply.answers[0]!.why))
  if (reply.truncated) console.err(`There are more answers; raise --limit above ${reply.answers.length}.`)
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
