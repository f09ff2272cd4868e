import t from 'tap'
import { isDbError } from '../../../src/base/errors.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { itemFromJson } from '../../../src/front/items.ts'
import { parametersReader } from '../../../src/front/parameters.ts'
import { matchRoute } from '../../../src/front/routes.ts'
import { QUERY_PARAMETERS } from '../../../src/front/schemas-query.ts'
import { initHash } from '../../../src/record/claim.ts'
import { parseStrictJson } from '../../../src/record/strict-json.ts'
import { pollutedClaims } from '../../support/pollution.ts'

await initHash()

const CLAIM = { subject: 'a', predicate: 'b', object: 1, confidence: 1, agent: `58${'66'.repeat(31)}`, asserted_at: 5 }
const own = (): string => [Object.prototype, Array.prototype, Function.prototype].map((prototype) => Reflect.ownKeys(prototype).map(String).join()).join('|')

/** As many programs take what they are given. */
function merge(into: Record<string, unknown>, from: Record<string, unknown>): void {
  for (const key of Object.keys(from)) {
    const [mine, theirs] = [into[key], from[key]]
    if (typeof mine === 'object' && mine !== null && typeof theirs === 'object' && theirs !== null) merge(mine as Record<string, unknown>, theirs as Record<string, unknown>)
    else into[key] = theirs
  }
}

t.test('no JSON writes to a prototype, and none of it is let pass', async (t) => {
  const before = own()
  const texts = pollutedClaims(CLAIM)
  t.ok(texts.length > 100, `${texts.length} texts`)
  for (const text of texts) {
    try {
      const value = parseStrictJson(text)
      const items = (Array.isArray(value) ? value : [value]).map((one) => itemFromJson(one, '', 5))
      t.fail(`${text} was taken`, { items })
    } catch (error) {
      if (!isDbError(error)) t.fail(`${text}: ${String(error)}`)
    }
    if (own() !== before) t.fail(`${text} reached a prototype`)
  }
  t.ok(itemFromJson(parseStrictJson(JSON.stringify(CLAIM)), '', 5).id.length === 32, 'the control: without it the claim is taken')
  t.throws(() => itemFromJson(parseStrictJson('{}'), '', 5), { code: 'field_missing' }, 'and nothing is inherited')
})

t.test('nor does what has names from outside besides', async (t) => {
  const before = own()
  const read = parametersReader<Record<string, unknown>>(QUERY_PARAMETERS)
  for (const name of ['__proto__', 'constructor', 'prototype', '__proto__[x]', '__proto__.x', 'constructor.prototype.x', 'toString']) {
    t.throws(() => read(`subject=a&${encodeURIComponent(name)}=1`), { code: 'parameter_invalid' }, name)
    t.throws(() => loadConfig(JSON.parse(`{"${name}":"1"}`) as never, {}), { code: 'config_invalid' }, name)
    t.throws(() => loadConfig({}, { [`STEMEDB_${name}`]: '1' }), { code: 'config_invalid' }, name)
    const match = matchRoute('GET', `/problems/${name}`)
    t.strictSame(match.kind === 'found' ? Object.keys(match.parameters) : [], ['code'])
  }
  t.equal(own(), before)
})

t.test('the tooth: the same texts reach a prototype where members are merged without looking', async (t) => {
  const before = own()
  let reached = 0
  for (const text of pollutedClaims(CLAIM)) {
    try {
      merge({ object: {}, note: {}, signature: {}, vector: [{}] }, JSON.parse(text) as Record<string, unknown>)
    } catch {
      // A payload may also break the merge.
    }
    for (const prototype of [Object.prototype, Function.prototype] as object[]) {
      for (const key of ['polluted', 'confidence', 'httpStatus', 'subject', 'predicate', 'object', 'agent']) {
        if (Object.hasOwn(prototype, key)) reached++
        Reflect.deleteProperty(prototype, key)
      }
    }
  }
  t.ok(reached > 10, `${reached} times`)
  t.equal(own(), before, 'cleaned up')
})
