import { toHex } from '../../src/base/bytes.ts'
import { itemFromJson, textOf, type Item } from '../../src/front/items.ts'
import { LineSplitter } from '../../src/front/line-splitter.ts'
import { mediaTypeOf, negotiate } from '../../src/front/media.ts'
import { parametersReader, parseQuery } from '../../src/front/parameters.ts'
import { matchRoute } from '../../src/front/routes.ts'
import { QUERY_PARAMETERS } from '../../src/front/schemas-query.ts'
import { parseStrictJson } from '../../src/record/strict-json.ts'
import { BatchView, encodeBatch } from '../../src/wire/batch.codec.ts'
import { claimIdsInto } from '../../src/wire/claim-id.ts'
import { verifyBuffer } from '../../src/wire/verifier.ts'
import type { FuzzTarget } from './fuzzer.ts'
import { JSON_MUTATIONS, textMutation } from './json.mutations.ts'
import { FULL } from './json.targets.ts'

const encode = (text: string): Uint8Array => new TextEncoder().encode(text)
/** As header fields and paths come: a byte a character. */
const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')
const NOW_MS = 1_800_000_000_000

/** What JSON items become must be what the verify threads make of the batch that holds them. */
function checkItems(items: readonly Item[]): void {
  const frame = encodeBatch({ requestId: 1n, items })
  if (verifyBuffer('Batch', frame) !== 0) throw new Error('items make a malformed batch')
  const view = new BatchView().reset(frame)
  const [ids, codes] = [new Uint8Array(32 * view.count), new Uint16Array(view.count)]
  if (claimIdsInto(view, ids, codes) !== 0) throw new Error('an item that was taken is refused in its batch')
  items.forEach(({ id }, i) => {
    if (toHex(id) !== toHex(ids.subarray(32 * i, 32 * i + 32))) throw new Error('an item has another id in its batch')
  })
}

const jsonBodyTarget: FuzzTarget = {
  name: 'json-body',
  seeds: () => [FULL, [FULL, { ...FULL, signature: '00'.repeat(64) }], [], [null], { ...FULL, signature: null }].map((value) => encode(JSON.stringify(value))),
  mutations: JSON_MUTATIONS,
  run(input) {
    const value = parseStrictJson(textOf(input))
    const values = Array.isArray(value) ? value as unknown[] : [value]
    const items = values.slice(0, 64).map((one, i) => itemFromJson(one, `/${i}`, NOW_MS))
    if (items.length > 0) checkItems(items)
    return items.length > 0
  },
}

function linesOf(input: Uint8Array, chunkBytes: number): string[] {
  const splitter = new LineSplitter()
  const lines: string[] = []
  const take = (): void => {
    for (let line = splitter.next(); line !== undefined; line = splitter.next()) lines.push(latin1(line))
  }
  for (let at = 0; at < input.length; at += chunkBytes) {
    splitter.push(input.subarray(at, at + chunkBytes))
    take()
  }
  splitter.end()
  take()
  return lines
}

const ndjsonTarget: FuzzTarget = {
  name: 'ndjson',
  seeds: () => [`${JSON.stringify(FULL)}\n\n${JSON.stringify({ ...FULL, subject: 'b' })}`, '\n', 'x\r\n{"subject":1}\n', '1'].map(encode),
  mutations: [...JSON_MUTATIONS, textMutation(['\n', '\r\n', '\n\n\n', '\u0000'])],
  run(input) {
    const lines = linesOf(input, 1 + input[0]! % 97)
    const expected = latin1(input).split('\n')
    if (expected.at(-1) === '') expected.pop()
    if (JSON.stringify(lines) !== JSON.stringify(expected)) throw new Error('the lines depend on how they came')
    let taken = 0
    for (const line of lines.slice(0, 64)) {
      if (line.trim() === '') continue
      checkItems([itemFromJson(parseStrictJson(textOf(Buffer.from(line, 'latin1'))), '', NOW_MS)])
      taken++
    }
    return taken > 0
  },
}

const readQueryParameters = parametersReader<Record<string, string | number>>(QUERY_PARAMETERS)

const queryStringTarget: FuzzTarget = {
  name: 'query-string',
  seeds: () => ['subject=drug/aspirin&predicate=dose&limit=5&min_lsn=9007199254740991', 'prefix=caf%C3%A9+%2B&lens=recency', 'a=1', ''].map(encode),
  mutations: [textMutation(['&', '=', '+', '%', '%00', '%C3', '%C3%A9', '%zz', '%ED%A0%80', '__proto__', 'constructor', 'subject', 'prefix', 'limit', 'min_lsn', 'lens', '9'.repeat(20), '-1', '1e3',
    '&a=b'.repeat(40)])],
  run(input) {
    const query = latin1(input)
    const given = parseQuery(query)
    const values = readQueryParameters(query)
    for (const name of given.keys()) if (!Object.hasOwn(values, name)) throw new Error(`${name} was neither taken nor refused`)
    for (const name of Object.keys(values)) if (!Object.hasOwn(QUERY_PARAMETERS.properties, name)) throw new Error(`${name} is no parameter`)
    return true
  },
}

const OFFERED = ['application/json', 'application/vnd.stemedb.acks']

/** Path, Content-Type and Accept, a line each. */
const requestHeadTarget: FuzzTarget = {
  name: 'request-head',
  seeds: () => [
    '/v1/assertions/00\napplication/json; charset="UTF-8"\n*/*;q=0.5, application/json;q=1', '/v1/assert/batch\napplication/x-ndjson\n', '/problems/__proto__\n;=;\n,;q=',
  ].map(encode),
  mutations: [textMutation(['/', '//', '/..', '%2e%2e%2f', '{id}', ';', ',', 'q=', '=', '"', '*/*', 'charset=utf-8', 'NaN', '\n', '/v1/', 'x'.repeat(3000), ',a/b;q=0'.repeat(500)])],
  run(input) {
    const [path = '', contentType = '', accept = ''] = latin1(input).split('\n')
    const match = matchRoute('GET', path)
    if (match.kind === 'found') {
      for (const value of Object.values(match.parameters)) if (value === '' || value.includes('/')) throw new Error('a parameter of two segments')
    }
    const type = mediaTypeOf(contentType)
    const chosen = negotiate(accept, OFFERED)
    if (chosen !== undefined && !OFFERED.includes(chosen)) throw new Error('what was not offered was chosen')
    return match.kind === 'found' && type !== ''
  },
}

export const httpTargets: readonly FuzzTarget[] = [jsonBodyTarget, ndjsonTarget, queryStringTarget, requestHeadTarget]
