import { DbError, isDbError } from '../base/errors.ts'
import { EXIT } from '../base/exit-codes.ts'
import { httpTrace } from '../client/http-trace.ts'
import type { ReadOptions } from './connect.ts'
import { showIdOn, type Console, type OutputOptions } from './console.ts'
import { COLOURS, PLAIN, treeOf } from './trace-tree.ts'
import { timeoutOf, wholeNumber } from './values.ts'
import { printable } from './words.ts'

export interface TraceOptions extends ReadOptions, OutputOptions {
  readonly depth?: string
  readonly asOf?: string
  readonly fullIds?: boolean
}

/** `stemedb trace` */
export async function runTrace(id: string, { url, timeout, depth, asOf, fullIds, json }: TraceOptions, console: Console): Promise<number> {
  try {
    const trace = await httpTrace(fetch, url, id, { depth: wholeNumber('--depth', depth), asOf }, timeoutOf(timeout))
    if (json === true) {
      console.out(JSON.stringify(trace))
      return EXIT.ok
    }
    for (const line of treeOf(trace, console.hasColours === true ? COLOURS : PLAIN, showIdOn(console, fullIds))) console.out(line)
    if (trace.unexpanded > 0) console.err(`${trace.unexpanded} more could be looked around from: raise --depth above ${trace.depth}.`)
    if (trace.truncated) console.err(`There is more than fits; bounds met: ${printable(trace.bounds.join(', '))}.`)
    return EXIT.ok
  } catch (error) {
    if (!isDbError(error) || error.code !== 'not_found') throw error
    throw new DbError('not_found', `no assertion has the id ${id}`, error.details, { cause: error })
  }
}
