import t from 'tap'
import { isDbError } from '../../../src/base/errors.ts'
import { hlcOf } from '../../../src/base/hlc.ts'
import { askedQueryOf, type GivenParameters } from '../../../src/front/query-spec.ts'
import { QUERY_PARAMETERS } from '../../../src/front/schemas-query.ts'

const AGENT = `58${'66'.repeat(31)}`
const hash = (byte: string): string => byte.repeat(32)
const bytes = (byte: number): Uint8Array => new Uint8Array(32).fill(byte)
const specOf = (given: GivenParameters): unknown => askedQueryOf({ subject: 's', ...given }, 1000).spec

t.test('each parameter, as text and as JSON', async (t) => {
  const cases: [GivenParameters, object][] = [
    [{}, { subject: 's', subjectIsPrefix: false, limit: 100, lens: undefined, isList: false, explain: false, aliases: false }],
    [{ subject: undefined, prefix: 'p' }, { subject: 'p', subjectIsPrefix: true }], [{ predicate: 'p', lens: 'authority,recency' }, { predicate: 'p', lens: 'authority,recency' }],
    [{ lens: 'none' }, { isList: true, lens: undefined }], [{ lens: ['authority', 'recency'] }, { lens: 'authority,recency' }], [{ lens: 'authority, recency' }, { lens: 'authority,recency' }],
    [{ lens: ['none'] }, { isList: true }], [{ tolerance: 0, asserted_until: 0, confidence_min: 0 }, { tolerance: 0, assertedUntilMs: 0, confidenceMin: 0 }], [{ lens: 'list' }, { isList: true }], [{ limit: '7' }, { limit: 7 }], [{ limit: 7 }, { limit: 7 }],
    [{ source: hash('ab') }, { source: bytes(0xab) }], [{ epoch: hash('AB') }, { epoch: bytes(0xab) }], [{ agent: AGENT }, { agent: bytes(0x66).fill(0x58, 0, 1) }],
    [{ lifecycle: 'proposed, retracted' }, { lifecycles: 1 << 1 | 1 << 6 }], [{ lifecycle: ['approved'] }, { lifecycles: 1 << 3 }],
    [{ tier: '0,anecdotal' }, { tiers: 0b100001 }], [{ tier: [0, 'clinical'] }, { tiers: 0b11 }], [{ tier: 5 }, { tiers: 0b100000 }],
    [{ as_of: '1000' }, { asOfHlc: hlcOf(1000, 0xffff) }], [{ as_of: 1000 }, { asOfHlc: hlcOf(1000, 0xffff) }], [{ as_of: '1970-01-01T00:00:01Z' }, { asOfHlc: hlcOf(1000, 0xffff) }],
    [{ as_of: '115822352105472001' }, { asOfHlc: 115822352105472001n }],
    [{ from: '1000', until: '1970-01-01T00:00:02Z' }, { fromHlc: hlcOf(1000), untilHlc: hlcOf(2000) }], [{ from: '115822352105472001' }, { fromHlc: 115822352105472001n }],
    [{ from: '0' }, { fromHlc: 1n }], [{ asserted_from: '5', asserted_until: 6 }, { assertedFromMs: 5, assertedUntilMs: 6 }],
    [{ confidence_min: '0.5', tolerance: 1e-3 }, { confidenceMin: 0.5, tolerance: 1e-3 }], [{ min_lsn: '9' }, { minLsn: 9 }],
    [{ leave_out: 'reasons' }, { leaveOut: 2 }], [{ leave_out: ['side_claims', 'reasons'] }, { leaveOut: 3 }],
    [{ explain: 'true', aliases: true }, { explain: true, aliases: true }], [{ explain: 'false', aliases: false }, { explain: false, aliases: false }],
    [{ object: 'text:a:b' }, { object: { kind: 'text', value: 'a:b' } }], [{ object: 'number:-4.5e3' }, { object: { kind: 'number', value: -4500 } }],
    [{ object: 'boolean:false' }, { object: { kind: 'boolean', value: false } }], [{ object: 'reference:x' }, { object: { kind: 'reference', value: 'x' } }],
    [{ object: 4 }, { object: { kind: 'number', value: 4 } }], [{ object: { type: 'number', value: 4 } }, { object: { kind: 'number', value: 4 } }],
    [{ cursor: 'AQID' }, { cursor: Buffer.from([1, 2, 3]) }],
  ]
  for (const [given, expected] of cases) t.match(specOf(given), expected, JSON.stringify(given))
  t.same(askedQueryOf({ subject: 's', fields: 'object,confidence' }, 9).fields, new Set(['object', 'confidence']))
  t.equal(askedQueryOf({ agent: AGENT }, 9).spec.subject, undefined, 'a filter is enough')
})

t.test('what is refused, by name', async (t) => {
  const cases: [GivenParameters, string][] = [
    [{ prefix: 'p' }, 'prefix'], [{ subject: undefined }, 'subject'], [{ subject: '' }, 'subject'], [{ subject: 5 }, 'subject'], [{ limit: 0 }, 'limit'], [{ limit: 1001 }, 'limit'],
    [{ limit: '1e3' }, 'limit'], [{ agent: 'me' }, 'agent'], [{ source: 'ab' }, 'source'], [{ epoch: [] }, 'epoch'], [{ lifecycle: 'gone' }, 'lifecycle'], [{ lifecycle: '1' }, 'lifecycle'],
    [{ tier: '6' }, 'tier'], [{ tier: [] }, 'tier'], [{ tier: [[0]] }, 'tier'], [{ tier: 'constructor' }, 'tier'], [{ as_of: 'yesterday' }, 'as_of'],
    [{ as_of: '99999999999999999999' }, 'as_of'], [{ from: '-1' }, 'from'], [{ asserted_from: 'x' }, 'asserted_from'], [{ confidence_min: '1.5' }, 'confidence_min'],
    [{ confidence_min: 'NaN' }, 'confidence_min'], [{ tolerance: -1 }, 'tolerance'], [{ min_lsn: '9'.repeat(17) }, 'min_lsn'], [{ explain: 'yes' }, 'explain'], [{ explain: 1 }, 'explain'],
    [{ object: 'plain' }, 'object'], [{ object: 'number:x' }, 'object'], [{ object: 'boolean:1' }, 'object'], [{ object: { type: 'number', value: '4' } }, 'object'],
    [{ object: { type: 'text', value: 'x', more: 1 } }, 'object'], [{ object: [] }, 'object'], [{ cursor: 'a b' }, 'cursor'], [{ cursor: 'x'.repeat(3000) }, 'cursor'], [{ fields: 'id' }, 'fields'],
    [{ lens: [] }, 'lens'], [{ lens: [{}] }, 'lens'], [{ leave_out: '1' }, 'leave_out'], [{ leave_out: 'sides' }, 'leave_out'],
  ]
  for (const [given, parameter] of cases) {
    try {
      specOf(given)
      t.fail(`${JSON.stringify(given)} is taken`)
    } catch (error) {
      if (!isDbError(error)) throw error
      t.match(error, { code: 'parameter_invalid', details: { parameter } }, JSON.stringify(given))
    }
  }
})

t.test('every parameter is read, and no other', async (t) => {
  const read = new Set<string>()
  askedQueryOf(new Proxy<GivenParameters>({ subject: 's' }, {
    get(target, name) {
      read.add(String(name))
      return target[String(name)]
    },
  }), 9)
  t.same([...read].sort(), Object.keys(QUERY_PARAMETERS.properties).sort())
})
