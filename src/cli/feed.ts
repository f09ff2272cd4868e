import { DbError } from '../base/errors.ts'
import { EXIT } from '../base/exit-codes.ts'
import { hlcWallMs } from '../base/hlc.ts'
import { connect, SOURCE_CLASSES, type AnswerChange, type SourceClass, type StemeClient, type StoredAssertion, type SubscribeFilter } from '../client/client.ts'
import { socketOptions, stateTeller } from './connect.ts'
import type { Console, OutputOptions } from './console.ts'
import { wholeNumber } from './values.ts'
import { objectText, printable } from './words.ts'

export interface FeedOptions extends OutputOptions {
  readonly url: string
  readonly prefix?: boolean
  readonly predicate?: string
  readonly tier?: string
  readonly agent?: string
  readonly fromLsn?: string
  readonly lens?: string
  readonly limit?: string
}

function tiersOf(text: string | undefined): SourceClass[] {
  return (text?.split(',') ?? []).map((name) => {
    const tier = /^\d$/.test(name) ? Number(name) : SOURCE_CLASSES.indexOf(name as (typeof SOURCE_CLASSES)[number])
    if (!(tier in SOURCE_CLASSES)) throw new DbError('parameter_invalid', `--tier: "${name}" is none of ${SOURCE_CLASSES.join(', ')}`, { parameter: '--tier' })
    return tier as SourceClass
  })
}

/** `stemedb feed`: until it is interrupted, or `--limit` has come. */
export async function runFeed(subject: string | undefined, options: FeedOptions, console: Console): Promise<number> {
  const limit = wholeNumber('--limit', options.limit) ?? Infinity
  const fromLsn = wholeNumber('--from-lsn', options.fromLsn)
  const { predicate, agent, lens } = options
  const filter: SubscribeFilter = {
    ...(subject === undefined ? {} : options.prefix === true ? { prefix: subject } : { subject }),
    ...(predicate === undefined ? {} : { predicate }), ...(agent === undefined ? {} : { agent }), tiers: tiersOf(options.tier),
  }
  // An answer is that of now.
  if (lens !== undefined && options.fromLsn !== undefined) {
    throw new DbError('parameter_invalid', '--from-lsn is not for --lens', { parameter: '--from-lsn' })
  }
  const client = await connect(options.url, {
    ...(await socketOptions()), readOnly: true, onState: stateTeller(console),
  })
  const interrupt = (): void => client.abort()
  process.once('SIGINT', interrupt)
  process.once('SIGTERM', interrupt)
  try {
    if (lens === undefined) await followMatches(client, filter, fromLsn, limit, options.json === true, console)
    else await followAnswers(client, filter, lens, limit, options.json === true, console)
  } finally {
    process.off('SIGINT', interrupt)
    process.off('SIGTERM', interrupt)
    client.abort()
  }
  return EXIT.ok
}

async function followMatches(client: StemeClient, filter: SubscribeFilter, fromLsn: number | undefined, limit: number, json: boolean, console: Console): Promise<void> {
  let left = limit
  if (left === 0) return
  for await (const found of client.subscribe(filter, fromLsn === undefined ? {} : { fromLsn })) {
    console.out(json ? JSON.stringify(found) : matchLine(found))
    if (--left === 0) return
  }
}

function matchLine({ lsn, hlc, assertion: { subject, predicate, object, confidence, source_class: source } }: StoredAssertion): string {
  const at = new Date(hlcWallMs(BigInt(hlc))).toISOString()
  return `${String(lsn).padStart(8)}  ${at}  ${printable(subject)}  ${printable(predicate)}  ${objectText(object)}  (${printable(source)}, ${confidence})`
}

async function followAnswers(client: StemeClient, filter: SubscribeFilter, lens: string, limit: number, json: boolean, console: Console): Promise<void> {
  let left = limit
  if (left === 0) return
  const shown = new Map<string, string>()
  for await (const change of client.watch({ ...filter, lens })) {
    // As the answers of a query and of /v1/feed name it.
    if (json) console.out(JSON.stringify({ seen_lsn: change.seenLsn, answers: change.answers }))
    else for (const line of changedLines(change, shown)) console.out(line)
    if (--left === 0) return
  }
}

/** For a winner where there is none. */
const NOTHING = '(none)'

/** A line for each answer that is not as it was shown last, and for each that is there no more. */
export function changedLines({ seenLsn, answers }: AnswerChange, shown: Map<string, string>): string[] {
  const lines: string[] = []
  const tell = (subject: string, predicate: string, text: string): void => {
    lines.push(`${String(seenLsn).padStart(8)}  ${printable(subject)}  ${printable(predicate)}  ${text}`)
  }
  const gone = new Set(shown.keys())
  for (const { subject, predicate, winner, status } of answers) {
    const text = `${winner === null ? NOTHING : objectText(winner.assertion.object)}${status === undefined ? '' : `  [${printable(status)}]`}`
    const key = JSON.stringify([subject, predicate])
    gone.delete(key)
    if (shown.get(key) === `${winner?.id} ${text}`) continue
    shown.set(key, `${winner?.id} ${text}`)
    tell(subject, predicate, text)
  }
  for (const key of gone) {
    shown.delete(key)
    const [subject, predicate] = JSON.parse(key) as [string, string]
    tell(subject, predicate, NOTHING)
  }
  return lines
}
