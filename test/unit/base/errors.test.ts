import { Worker } from 'node:worker_threads'
import fc from 'fast-check'
import t from 'tap'
import { ERROR_CODES, errorNameOf, type ErrorName } from '../../../src/base/error-codes.ts'
import { DbError, decodeError, encodeError, errnoOf, isDbError } from '../../../src/base/errors.ts'

const names = Object.keys(ERROR_CODES) as ErrorName[]

t.test('every code survives a crossing between threads', async (t) => {
  // structuredClone is what postMessage does.
  for (const name of names) {
    const error = new DbError(name, `about ${name}`, { setting: 'x', count: 3, flag: true, nothing: null })
    const back = decodeError(structuredClone(encodeError(error)))
    t.ok(isDbError(back), name)
    if (!isDbError(back)) continue
    t.strictSame(
      { code: back.code, number: back.number, message: back.message, details: back.details, stack: back.stack },
      { code: name, number: ERROR_CODES[name].number, message: error.message, details: error.details, stack: error.stack },
    )
  }
})

t.test('a crossing to a real thread and back', async (t) => {
  const worker = new Worker('const { parentPort } = require("node:worker_threads"); parentPort.once("message", (m) => parentPort.postMessage(m))', { eval: true })
  const error = new DbError('disk_full', 'no room', { freeBytes: 5 }, { cause: Object.assign(new Error('write'), { code: 'ENOSPC' }) })
  const echo = await new Promise<Parameters<typeof decodeError>[0]>((resolve, reject) => {
    worker.once('message', resolve).once('error', reject)
    worker.postMessage(encodeError(error))
  })
  await worker.terminate()
  const back = decodeError(echo)
  t.ok(isDbError(back) && back.code === 'disk_full')
  t.equal(errnoOf(back.cause), 'ENOSPC')
})

t.test('numbers are unique, in 1..65535, and find their names', async (t) => {
  const numbers = names.map((name) => ERROR_CODES[name].number)
  t.equal(new Set(numbers).size, numbers.length)
  for (const name of names) t.equal(errorNameOf(ERROR_CODES[name].number), name)
  t.ok(numbers.every((number) => number >= 1 && number <= 65_535))
  t.equal(errorNameOf(65_000), 'internal', 'a number of a newer version')
})

t.test('numbers that stand in acks and logs of users', async (t) => {
  // Append-only. Where this fails, a code was renumbered or renamed: give it its number back and append a new one.
  const pinned: Partial<Record<ErrorName, number>> = {
    duplicate: 1, malformed_frame: 2, field_invalid: 5, object_null: 7, batch_empty: 10, not_acceptable: 18,
    signature_missing: 20, signature_invalid: 21, key_weak: 23, agent_mismatch: 24, overloaded: 30, rate_limited: 31,
    credit_exceeded: 32, disk_full: 33, read_only: 34, durability_failed: 37, timeout: 38, data_dir_locked: 50,
    wal_corrupt: 51, store_corrupt: 52, format_unsupported: 53, config_invalid: 54, internal: 56,
  }
  for (const [name, number] of Object.entries(pinned)) t.equal(ERROR_CODES[name as ErrorName].number, number, name)
})

t.test('status, outcome and retry say the same', async (t) => {
  for (const name of names) {
    const { httpStatus, outcome, retryable } = ERROR_CODES[name]
    t.equal(outcome === 'ok', httpStatus < 400, `${name}: only what is applied has a status below 400`)
    if (httpStatus === 429 || httpStatus === 507) t.ok(retryable && outcome === 'fail', `${name}: refused before anything was applied`)
    const later = httpStatus === 408 || httpStatus === 429
    if (httpStatus >= 400 && httpStatus < 500 && !later) t.notOk(retryable, `${name}: the same request would fail again`)
    if (outcome === 'info') t.ok(httpStatus >= 500, `${name}: an unknown outcome is never the client's fault`)
  }
})

t.test('errors of others keep name, code, cause; values that are no errors become one', async (t) => {
  const system = Object.assign(new TypeError('no such file'), { code: 'ENOENT', cause: new Error('inner') })
  const back = decodeError(structuredClone(encodeError(system)))
  t.equal(back.name, 'TypeError')
  t.equal(errnoOf(back), 'ENOENT')
  t.equal((back.cause as Error).message, 'inner')
  t.equal(decodeError(encodeError('thrown text')).message, 'thrown text')
  t.equal(decodeError(encodeError(undefined)).message, 'undefined')
})

t.test('a code that this version does not know stays a plain error', async (t) => {
  const encoded = { ...encodeError(new DbError('internal', 'x')), code: 'of_the_future' }
  const back = decodeError(encoded)
  t.notOk(isDbError(back))
  t.equal((back as { code?: string }).code, 'of_the_future')
  t.notOk(isDbError(decodeError({ ...encoded, code: 'toString' })), 'names of Object.prototype are no codes')
})

t.test('isDbError and errnoOf take anything', async (t) => {
  fc.assert(fc.property(fc.anything(), (value) => !isDbError(value)))
  fc.assert(fc.property(fc.anything(), (value) => errnoOf(value) === undefined || /^E/.test(errnoOf(value)!)))
  t.equal(errnoOf({ code: 'stemedb' }), undefined)
  t.equal(errnoOf({ code: 'EIO' }), 'EIO')
})
