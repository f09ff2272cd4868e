import { isDbError } from '../base/errors.ts'
import { EXIT } from '../base/exit-codes.ts'
import { httpTrace } from '../client/http-trace.ts'
import type { Console, OutputOptions } from './console.ts'
import { wholeNumber } from './query.ts'
import { COLOURS, PLAIN, treeOf } from './trace-tree.ts'

export interface TraceOptions extends OutputOptions {
  readonly url: string
  readonly depth?: string
  readonly asOf?: string
}

/** `stemedb trace` */
export async function runTrace(id: string, { url, depth, asOf, json }: TraceOptions, console: Console): Promise<number> {
  try {
    const trace = await httpTrace(fetch, url, id, { depth: wholeNumber('--depth', depth), asOf })
    if (json === true) {
      console.out(JSON.stringify(trace))
      return EXIT.ok
    }
    for (const line of treeOf(trace, console.hasColours === true ? COLOURS : PLAIN)) console.out(line)
    if (trace.unexpanded > 0) console.err(`${trace.unexpanded} more could be looked around from: raise --depth above ${trace.depth}.`)
    if (trace.truncated) console.err(`There is more than fits; bounds met: ${trace.bounds.join(', ')}.`)
    return EXIT.ok
  } catch (error) {
    if (!isDbError(error) || error.code !== 'not_found') throw error
    console.err(`No assertion has the id ${id}.`)
    return EXIT.failed
  }
}
