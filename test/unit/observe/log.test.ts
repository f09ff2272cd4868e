import t from 'tap'
import type { Clock } from '../../../src/base/clock.ts'
import { DbError } from '../../../src/base/errors.ts'
import { Health, HEALTH_CHECKS_MAX, renderHealth } from '../../../src/observe/health.ts'
import { LOG_FIELD_CHARACTERS_MAX, createLog, errorFields, resolveLogFormat, safeFields, type LogLevel } from '../../../src/observe/log.ts'

const clock: Clock = { wallMs: () => Date.UTC(2026, 0, 2, 3, 4, 5, 6), monoMs: () => 0, timer: () => () => {} }

function capture(format: 'json' | 'pretty', level: LogLevel = 'info') {
  const lines: string[] = []
  return { lines, log: createLog({ level, format, clock, write: (line) => void lines.push(line) }) }
}

t.test('a line is JSON with level, time, message and fields', async (t) => {
  const { log, lines } = capture('json')
  log.child({ part: 'wal' }).warn('segment is slow', { segmentId: 3, fsyncMs: 120.5, torn: false })
  t.equal(lines.length, 1)
  t.ok(lines[0]?.endsWith('\n'))
  t.strictSame(JSON.parse(lines[0]!), {
    level: 'warn', time: '2026-01-02T03:04:05.006Z', part: 'wal', segmentId: 3, fsyncMs: 120.5, torn: false, message: 'segment is slow',
  })
})

t.test('lines below the level are not written', async (t) => {
  const { log, lines } = capture('json', 'error')
  for (const level of ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const) log[level](level)
  t.strictSame(lines.map((line) => (JSON.parse(line) as { message: string }).message), ['error', 'fatal'])
  const silent = capture('json', 'silent')
  silent.log.fatal('nothing')
  t.strictSame(silent.lines, [])
})

t.test('lines for people: one line, values quoted where they need it, a stack below', async (t) => {
  const { log, lines } = capture('pretty')
  log.child({ part: 'front' }).info('listening', { port: 18180, address: '127.0.0.1', note: 'two words', empty: '' })
  t.equal(lines[0], '03:04:05.006 INFO  front   listening  port=18180  address=127.0.0.1  note="two words"  empty=""\n')
  log.error('bug', errorFields(new TypeError('boom')))
  t.match(lines[1], /^03:04:05\.006 ERROR {9}bug {2}error=boom {2}errorName=TypeError\n {4}TypeError: boom\n {8}at /)
})

t.test('text of a client can not forge a line', async (t) => {
  for (const format of ['json', 'pretty'] as const) {
    const { log, lines } = capture(format)
    log.warn('refused', { subject: 'a\n03:04:05.006 FATAL pwned\u001b[2J\r' })
    t.equal(lines.join('').split('\n').length, 2, format)
    t.notOk([...lines.join('')].some((character) => character < ' ' && character !== '\n'), 'no control characters')
  }
})

t.test('secrets are removed by name, long texts are cut', async (t) => {
  const { log, lines } = capture('json')
  log.child({ apiToken: 'canary-1' }).info('x', { secretKey: 'canary-2', authorization: 'canary-3', tlsPassword: 'canary-4', keySeed: 'canary-5' })
  t.notMatch(lines[0], /canary/)
  const long = safeFields({ uri: 'y'.repeat(100_000) })['uri']
  t.ok(typeof long === 'string' && long.length < LOG_FIELD_CHARACTERS_MAX + 40 && long.includes('100000 characters'))
})

t.test('errors as fields: ours with code and details and no stack, others with a stack', async (t) => {
  const cause = Object.assign(new Error('write ENOSPC'), { code: 'ENOSPC' })
  t.strictSame(errorFields(new DbError('disk_full', 'no room', { freeBytes: 5 }, { cause })), {
    freeBytes: 5, code: 'disk_full', error: 'no room', cause: 'write ENOSPC',
  })
  t.match(errorFields(new RangeError('bad')), { error: 'bad', errorName: 'RangeError', stack: /RangeError: bad/ })
  t.strictSame(errorFields('text'), { error: 'text' })
})

t.test('format auto: people at a terminal, JSON elsewhere', async (t) => {
  t.equal(resolveLogFormat('auto', true), 'pretty')
  t.equal(resolveLogFormat('auto', false), 'json')
  t.equal(resolveLogFormat('pretty', false), 'pretty')
})

t.test('health: liveness and readiness are asked apart', async (t) => {
  const health = new Health()
  t.ok(health.report('live').ok, 'alive before anything is registered')
  t.notOk(health.report('ready').ok, 'but not ready')
  let lag = 0
  health.register('ready', 'wal', () => ({ ok: true }))
  health.register('ready', 'ingest', () => (lag > 5 ? { ok: false, detail: `${lag} bytes behind` } : { ok: true }))
  t.ok(health.report('ready').ok)
  lag = 9
  t.strictSame(health.report('ready'), { ok: false, checks: [{ name: 'wal', ok: true }, { name: 'ingest', ok: false, detail: '9 bytes behind' }] })
  t.ok(health.report('live').ok)
})

t.test('health: a check that throws has failed; names are unique; there is a bound', async (t) => {
  const health = new Health()
  health.register('live', 'loop', () => { throw new Error('gone') })
  t.strictSame(health.report('live').checks, [{ name: 'loop', ok: false, detail: 'gone' }])
  health.register('live', 'loop', () => ({ ok: true }))
  t.strictSame(health.report('live').checks, [{ name: 'loop', ok: true }])
  for (let i = 1; i < HEALTH_CHECKS_MAX; i++) health.register('live', `c${i}`, () => ({ ok: true }))
  t.throws(() => health.register('live', 'one more', () => ({ ok: true })), RangeError)
})

t.test('health: bodies', async (t) => {
  const good = { ok: true, checks: [{ name: 'wal', ok: true }] }
  const bad = { ok: false, checks: [{ name: 'wal', ok: true }, { name: 'disk', ok: false, detail: 'full' }] }
  t.equal(renderHealth('ready', good, false), 'ok\n')
  t.equal(renderHealth('ready', good, true), '[+]wal ok\nreadyz check passed\n')
  const degraded = { ok: true, checks: [{ name: 'log', ok: true, degraded: true, detail: 'damaged in segment 3' }] }
  t.equal(renderHealth('ready', degraded, false), 'ok\n', 'a probe passes')
  t.equal(renderHealth('ready', degraded, true), '[!]log degraded: damaged in segment 3\nreadyz check passed\n')
  t.equal(renderHealth('ready', bad, false), '[+]wal ok\n[-]disk failed: full\nreadyz check failed\n')
  t.equal(renderHealth('live', { ok: true, checks: [] }, true), 'livez check passed\n')
})
