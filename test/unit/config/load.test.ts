import fc from 'fast-check'
import t, { type Test } from 'tap'
import { isDbError } from '../../../src/base/errors.ts'
import { completeConfig, configWith, loadConfig, parseNumber } from '../../../src/config/load.ts'
import { verifiedBytes } from '../../../src/commit/verified.layout.ts'
import { Bell } from '../../../src/ring/bell.ts'
import { RingWriter, createRing } from '../../../src/ring/ring.ts'
import { logEntryBytes } from '../../../src/wire/log-entry.codec.ts'
import { OPTIONS, OPTION_NAMES, flagOf, variableOf, type Option, type OptionName } from '../../../src/config/options.ts'

/** The message of the `config_invalid` that an action must throw. */
function refusal(t: Test, action: () => unknown): string {
  try {
    action()
  } catch (error) {
    t.ok(isDbError(error) && error.code === 'config_invalid', String(error))
    return (error as Error).message
  }
  t.fail('was taken')
  return ''
}

t.test('defaults are valid, complete and frozen', async (t) => {
  const config = loadConfig({}, {})
  t.strictSame(Object.keys(config).sort(), [...OPTION_NAMES].sort())
  t.ok(Object.isFrozen(config))
  t.ok(config.verifyThreads >= 1 && config.lensThreads >= 1)
})

t.test('every default is in its own range', async (t) => {
  for (const name of OPTION_NAMES) {
    const option: Option = OPTIONS[name]
    if (option.type === 'number') t.ok(option.default >= option.min && option.default <= option.max, name)
    if (option.type === 'choice') t.ok(option.choices.includes(option.default), name)
  }
})

t.test('names: flag, variable and option are one to one', async (t) => {
  t.equal(flagOf('walSegmentBytes'), '--wal-segment-bytes')
  t.equal(variableOf('walSegmentBytes'), 'STEMEDB_WAL_SEGMENT_BYTES')
  t.equal(new Set(OPTION_NAMES.map(flagOf)).size, OPTION_NAMES.length)
  t.equal(new Set(OPTION_NAMES.map(variableOf)).size, OPTION_NAMES.length)
})

t.test('a flag goes before its variable, a variable before the default', async (t) => {
  const environment = { STEMEDB_API_PORT: '2000', PATH: '/bin' }
  t.equal(loadConfig({}, {}).apiPort, 18180)
  t.equal(loadConfig({}, environment).apiPort, 2000)
  t.equal(loadConfig({ apiPort: '3000' }, environment).apiPort, 3000)
})

t.test('every option can be set by flag and by variable', async (t) => {
  for (const name of OPTION_NAMES) {
    const option: Option = OPTIONS[name]
    const value = String(option.default)
    if (option.type === 'text' && value === '') continue
    t.equal(String(loadConfig({ [name]: value } as Record<OptionName, string>, {})[name]), String(loadConfig({}, { [variableOf(name)]: value })[name]), name)
  }
})

t.test('an unknown variable stops the start and names its nearest', async (t) => {
  t.equal(refusal(t, () => loadConfig({}, { STEMEDB_WAL_SEGMNT_BYTES: '1' })), 'STEMEDB_WAL_SEGMNT_BYTES: no such setting; did you mean STEMEDB_WAL_SEGMENT_BYTES?')
  const before = performance.now()
  t.match(refusal(t, () => loadConfig({}, { [`STEMEDB_${'X'.repeat(1_000_000)}`]: '1' })), /no such setting/)
  t.ok(performance.now() - before < 5000, 'a name without end costs no time without end')
  t.match(refusal(t, () => loadConfig({ portt: '1' } as never, {})), /portt: no such setting/)
  t.match(refusal(t, () => loadConfig({ toString: '1' } as never, {})), /no such setting/, 'names of Object.prototype are no settings')
})

t.test('variables of others and of the client are no settings', async (t) => {
  t.equal(loadConfig({}, { STEMEDB_URL: 'http://x', STEMEDB_KEY_FILE: 'k', HOME: '/' }).apiPort, 18180)
})

t.test('out of range, not a number, not a choice: refused by name', async (t) => {
  for (const name of OPTION_NAMES) {
    const option: Option = OPTIONS[name]
    const given = (value: string): Record<string, string> => ({ [variableOf(name)]: value })
    if (option.type === 'number') {
      t.match(refusal(t, () => loadConfig({}, given(String(option.max + 1)))), new RegExp(`^${variableOf(name)}: .* is outside`))
      if (option.min > 0) t.match(refusal(t, () => loadConfig({}, given(String(option.min - 1)))), /is outside/)
      for (const wrong of ['', '-1', '1.5', 'abc', '1e3', '0x10', 'NaN', '1 2']) {
        t.match(refusal(t, () => loadConfig({}, given(wrong))), /is not a whole number/, `${name}=${wrong}`)
      }
    } else if (option.type === 'choice') {
      t.match(refusal(t, () => loadConfig({}, given('Nonsense'))), new RegExp(option.choices.join(', ')))
    }
  }
})

t.test('sizes take suffixes', async (t) => {
  const sizes: Record<string, number> = {
    0: 0, 64: 64, '64k': 65_536, '64KiB': 65_536, '64kb': 65_536, '1m': 1_048_576, '1MiB': 1_048_576, '2G': 2_147_483_648, ' 1_000 ': 1000,
  }
  for (const [text, value] of Object.entries(sizes)) t.equal(parseNumber(text), value, text)
  for (const wrong of ['', 'k', '1kk', '1t', '1 m', '１']) t.equal(parseNumber(wrong), undefined, wrong)
  fc.assert(fc.property(fc.string(), (text) => {
    const value = parseNumber(text)
    return value === undefined || (Number.isInteger(value) || value > Number.MAX_SAFE_INTEGER) && value >= 0
  }))
})

t.test('rules across settings say why', async (t) => {
  const rules: [Parameters<typeof configWith>[0], RegExp][] = [
    [{ ringBytes: 3 * 2 ** 20 }, /ringBytes = 3145728: must be a power of two/],
    [{ idFilterBytes: 100_000 }, /idFilterBytes = 100000: must be a power of two/],
    [{ idFilterBytesMax: 2 ** 20 }, /idFilterBytesMax = 1048576: must be at least idFilterBytes/],
    [{ frameBytesMax: 8 * 2 ** 20 }, /frameBytesMax .* at most a quarter of ringBytes/],
    [{ ringBytes: 2 ** 18, frameBytesMax: 2 ** 16 }, /ringBytes .* must hold twice a frame .* each of batchAssertionsMax/],
    [{ walSegmentBytes: 2 ** 20 }, /walSegmentBytes .* must hold two frames/],
    [{ groupBytesMax: 64 * 2 ** 20, walSegmentBytes: 32 * 2 ** 20 }, /groupBytesMax .* at most walSegmentBytes/],
    [{ tlsCertFile: 'c.pem' }, /tlsCertFile .* needs tlsKeyFile/],
    [{ tlsKeyFile: 'k.pem' }, /tlsCertFile .* needs tlsKeyFile/],
    [{ decayHalfLifeDays: 'inf,730,365,180,90' }, /decayHalfLifeDays .* must be six numbers above 0 or inf/],
    [{ decayHalfLifeDays: 'inf,730,365,180,90,0' }, /decayHalfLifeDays .* must be six numbers above 0 or inf/],
    [{ consensusTolerance: '1.5' }, /consensusTolerance = 1.5: must be a number from 0 to 1/],
    [{ realm: '' }, /realm = : must have 1 to 255/],
  ]
  for (const [overrides, message] of rules) t.match(refusal(t, () => configWith(overrides)), message)
})

t.test('what passes the rules passes the rings: the largest verdict has room in an empty ring, wherever that stands', async (t) => {
  for (const overrides of [{}, { ringBytes: 2 ** 20, frameBytesMax: 2 ** 18 }, { ringBytes: 2 ** 18, frameBytesMax: 2 ** 16, batchAssertionsMax: 1000 }]) {
    const { ringBytes, frameBytesMax, batchAssertionsMax } = configWith(overrides)
    const largest = verifiedBytes(logEntryBytes(batchAssertionsMax, frameBytesMax), batchAssertionsMax)
    const ring = new RingWriter(createRing(ringBytes), Bell.create())
    t.ok(largest <= ring.payloadBytesMax, `${largest} bytes in a ring of ${ringBytes}`)
  }
})

t.test('thread counts left at 0 come from the cores', async (t) => {
  const { verifyThreads, lensThreads } = completeConfig({ ...configWith({}), verifyThreads: 0, lensThreads: 0 }, 8)
  t.strictSame([verifyThreads, lensThreads], [7, 4])
  const one = completeConfig({ ...configWith({}), verifyThreads: 0, lensThreads: 0 }, 1)
  t.strictSame([one.verifyThreads, one.lensThreads], [1, 2])
  t.equal(configWith({ verifyThreads: 5 }).verifyThreads, 5)
})

t.test('reporters whose outcomes make trust are keys', async (t) => {
  const hex = 'ab'.repeat(32)
  const did = 'did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK'
  for (const keys of ['', hex, did, `${hex}, ${did}`, `${did},${hex.toUpperCase()}`]) t.equal(loadConfig({ trustReporters: keys }, {}).trustReporters, keys)
  for (const keys of ['x', ',', `${hex},`, `${hex} ${hex}`, hex.slice(1), `${did}x`, 'did:key:z6Mk', did.replace('h', '0')]) {
    t.match(refusal(t, () => loadConfig({ trustReporters: keys }, {})), /trustReporters/, keys)
  }
  t.match(refusal(t, () => loadConfig({ trustHalfLifeDays: '36501' }, {})), /trust-half-life-days/)
})

t.test('origins are what browsers send', async (t) => {
  for (const origins of ['', '*', 'https://app.example', 'http://127.0.0.1:5173, https://app.example:8443', 'http://[::1]:80', 'capacitor://localhost']) {
    t.equal(loadConfig({ corsOrigins: origins }, {}).corsOrigins, origins)
  }
  for (const origins of ['app.example', 'https://app.example/', 'https://App.example', 'https://a,', 'https://*.example/x', 'null', ' ']) {
    t.match(refusal(t, () => loadConfig({ corsOrigins: origins }, {})), /corsOrigins/, origins)
  }
})
