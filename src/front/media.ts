/** Media types (RFC 9110, sections 8.3 and 12.5.1). */
export const JSON_TYPE = 'application/json'
export const NDJSON_TYPE = 'application/x-ndjson'
export const BATCH_TYPE = 'application/vnd.stemedb.batch'
export const EVENT_STREAM_TYPE = 'text/event-stream'
export const ACKS_TYPE = 'application/vnd.stemedb.acks'
export const ASSERTION_TYPE = 'application/vnd.stemedb.assertion'

const UTF8 = /^"?utf-?8"?$/i

/** The type of a Content-Type field, lower case, or '' where it is none, or its charset is not UTF-8. */
export function mediaTypeOf(contentType: string): string {
  const [type, ...parameters] = contentType.split(';')
  for (const parameter of parameters) {
    const [name, value] = parameter.split('=', 2)
    if (name!.trim().toLowerCase() === 'charset' && !UTF8.test((value ?? '').trim())) return ''
  }
  return type!.trim().toLowerCase()
}

interface Range {
  readonly type: string
  readonly q: number
}

function rangeOf(text: string): Range {
  const [type, ...parameters] = text.split(';')
  const weight = parameters.map((p) => p.trim().toLowerCase()).find((p) => p.startsWith('q='))
  const q = weight === undefined ? 1 : Number(weight.slice(2))
  return { type: type!.trim().toLowerCase(), q: q >= 0 && q <= 1 ? q : 0 }
}

/** How much `ranges` want `type`: the q of the most specific range that covers it. */
function weightOf(type: string, ranges: readonly Range[]): number {
  const [family] = type.split('/')
  for (const wanted of [type, `${family}/*`, '*/*']) {
    const range = ranges.find((r) => r.type === wanted)
    if (range !== undefined) return range.q
  }
  return 0
}

/** The best of `offered` for an Accept field, the first where it is empty or indifferent; undefined where none will do. */
export function negotiate(accept: string, offered: readonly string[]): string | undefined {
  if (accept.trim() === '') return offered[0]
  const ranges = accept.split(',').map(rangeOf)
  let best: string | undefined
  let bestWeight = 0
  for (const type of offered) {
    const weight = weightOf(type, ranges)
    if (weight > bestWeight) {
      best = type
      bestWeight = weight
    }
  }
  return best
}
