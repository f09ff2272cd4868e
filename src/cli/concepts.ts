import { hlcWallMs } from '../base/hlc.ts'
import { DbError } from '../base/errors.ts'
import { EXIT } from '../base/exit-codes.ts'
import type { Concepts } from '../client/client.ts'
import { httpConcepts } from '../client/http-trace.ts'
import type { ReadOptions } from './connect.ts'
import type { Console, OutputOptions } from './console.ts'
import { timeoutOf, wholeNumber } from './values.ts'
import { printable } from './words.ts'

export interface ConceptsOptions extends ReadOptions, OutputOptions {
  readonly limit?: string
  readonly asOf?: string
}

type Concept = Concepts['concepts'][number]

/** Concepts of one request; a longer list comes in pages. */
const PAGE_COUNT = 100

/** `stemedb concepts`: one line each, written as the pages come. */
export async function runConcepts(prefix: string, { url, timeout, limit, asOf, json }: ConceptsOptions, console: Console): Promise<number> {
  const wanted = wholeNumber('--limit', limit) ?? Infinity
  const timeoutMs = timeoutOf(timeout)
  let shown = 0
  let cursor: string | undefined
  do {
    const page = await httpConcepts(fetch, url, { prefix, cursor, asOf, limit: Math.min(PAGE_COUNT, wanted - shown) }, timeoutMs)
    for (const concept of page.concepts) console.out(json === true ? JSON.stringify(concept) : lineOf(concept))
    shown += page.concepts.length
    cursor = page.cursor
  } while (cursor !== undefined && shown < wanted)
  if (shown === 0) throw new DbError('not_found', prefix === '' ? 'nothing is claimed here yet' : `no subject begins with ${JSON.stringify(prefix)}`)
  if (cursor !== undefined) console.err(json === true ? JSON.stringify({ truncated: true, shown }) : `There are more; raise --limit above ${shown}.`)
  return EXIT.ok
}

function lineOf(concept: Concept): string {
  if (concept.kind === 'prefix') return printable(concept.path)
  const predicates = concept.predicates.map(({ predicate, entries, more }) => `${printable(predicate)} (${entries}${more ? '+' : ''})`)
  if (concept.more_predicates) predicates.push('...')
  const newest = concept.predicates.reduce((latest, { newest_hlc: hlc }) => (BigInt(hlc) > latest ? BigInt(hlc) : latest), 0n)
  return `${printable(concept.path)}  ${predicates.join(', ')}  ${new Date(hlcWallMs(newest)).toISOString()}`
}
