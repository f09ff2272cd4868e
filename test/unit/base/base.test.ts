import fc from 'fast-check'
import t from 'tap'
import { assert, AssertionFailure, must, unreachable } from '../../../src/base/assert.ts'
import { bytesEqual, compareBytes, concatBytes, copyBytes, fromHex, toHex } from '../../../src/base/bytes.ts'
import { systemClock } from '../../../src/base/clock.ts'
import { hlcCounter, hlcNext, hlcOf, hlcWallMs } from '../../../src/base/hlc.ts'
import { readLsn, writeLsn } from '../../../src/base/lsn.ts'
import { seededRandom, systemRandom, systemSecrets } from '../../../src/base/random.ts'

const bytes = fc.uint8Array({ maxLength: 64 })
const wallMs = fc.integer({ min: 0, max: 2 ** 47 })

t.test('assert, must, unreachable', async (t) => {
  assert(true, () => { throw new Error('a passing assert formats nothing') })
  t.throws(() => assert(false, 'why'), { name: 'AssertionFailure', message: 'why' })
  t.throws(() => assert(false, () => 'late'), { message: 'late' })
  t.equal(must(0), 0)
  t.equal(must(''), '')
  t.throws(() => must(undefined, 'the ring'), new AssertionFailure('the ring is missing'))
  t.throws(() => must(null), AssertionFailure)
  t.throws(() => unreachable('x' as never), /unreachable: x/)
})

t.test('hex: round trip, and refusal of all else', async (t) => {
  fc.assert(fc.property(bytes, (value) => bytesEqual(fromHex(toHex(value))!, value)))
  fc.assert(fc.property(bytes, (value) => bytesEqual(fromHex(toHex(value).toUpperCase(), value.length)!, value)))
  fc.assert(fc.property(fc.string(), (text) => {
    const parsed = fromHex(text)
    return parsed === undefined || toHex(parsed) === text.toLowerCase()
  }))
  t.equal(toHex(Uint8Array.of(0, 1, 0x7f, 0xff)), '00017fff')
  for (const wrong of ['0', 'g0', '0x', ' 00', '0\n', '-1', '\u0660\u0660']) t.equal(fromHex(wrong), undefined, JSON.stringify(wrong))
  t.equal(fromHex('00ff', 1), undefined, 'wrong length')
})

t.test('bytes: order is that of unsigned bytes, then length', async (t) => {
  fc.assert(fc.property(bytes, bytes, (a, b) => Math.sign(compareBytes(a, b)) === Math.sign(Buffer.compare(a, b))))
  fc.assert(fc.property(bytes, bytes, (a, b) => bytesEqual(a, b) === (compareBytes(a, b) === 0)))
  fc.assert(fc.property(bytes, bytes, bytes, (a, b, c) => bytesEqual(concatBytes(a, b, c), Buffer.concat([a, b, c]))))
  const shared = new Uint8Array(new SharedArrayBuffer(4)).fill(7)
  const copy = copyBytes(shared)
  shared.fill(8)
  t.strictSame([...copy], [7, 7, 7, 7])
  t.notOk(copy.buffer instanceof SharedArrayBuffer)
})

t.test('HLC: parts, order, carry', async (t) => {
  fc.assert(fc.property(wallMs, fc.integer({ min: 0, max: 65_535 }), (ms, counter) =>
    hlcWallMs(hlcOf(ms, counter)) === ms && hlcCounter(hlcOf(ms, counter)) === counter))
  t.equal(hlcNext(hlcOf(5, 65_535), 5), hlcOf(6, 0), 'a full counter carries into the milliseconds')
  t.equal(hlcNext(hlcOf(5, 3), 9), hlcOf(9, 0))
})

t.test('HLC: always after the last, never before the wall clock, whatever the clock does', async () => {
  fc.assert(fc.property(fc.array(wallMs, { maxLength: 50 }), (clock) => {
    let last = 0n
    for (const now of clock) {
      const next = hlcNext(last, now)
      if (next <= last || next < hlcOf(now)) return false
      last = next
    }
    return true
  }))
})

t.test('LSN: little-endian u64, exact to 2^53', async (t) => {
  const view = new DataView(new ArrayBuffer(16))
  fc.assert(fc.property(fc.maxSafeNat(), (lsn) => {
    writeLsn(view, 3, lsn)
    return readLsn(view, 3) === lsn && view.getBigUint64(3, true) === BigInt(lsn)
  }))
  for (const lsn of [0, 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
    writeLsn(view, 0, lsn)
    t.equal(readLsn(view, 0), lsn)
  }
})

t.test('random: one seed, one sequence', async (t) => {
  const take = (seed: number, count: number): number[] => {
    const random = seededRandom(seed)
    return Array.from({ length: count }, () => random.u32())
  }
  fc.assert(fc.property(fc.integer(), (seed) => JSON.stringify(take(seed, 20)) === JSON.stringify(take(seed, 20))))
  t.notSame(take(1, 5), take(2, 5))
  // Mulberry32 with seed 1, from its reference implementation: a changed sequence would change every recorded seed.
  t.strictSame(take(1, 3), [2693262067, 11749833, 2265367787])
  t.ok(take(7, 10_000).every((value) => Number.isInteger(value) && value >= 0 && value < 2 ** 32))
})

t.test('random: a fork does not depend on how far its parent has run', async (t) => {
  const a = seededRandom(9)
  const b = seededRandom(9)
  b.u32()
  t.equal(a.fork('disk').u32(), b.fork('disk').u32())
  t.not(a.fork('disk').u32(), a.fork('net').u32())
})

t.test('random: each bit is set about half of the time', async (t) => {
  const random = seededRandom(3)
  const set = new Array<number>(32).fill(0)
  for (let i = 0; i < 10_000; i++) {
    const value = random.u32()
    for (let bit = 0; bit < 32; bit++) set[bit]! += (value >>> bit) & 1
  }
  t.ok(set.every((count) => Math.abs(count - 5000) < 300), set.join(' '))
})

t.test('secrets and system seeds differ from call to call', async (t) => {
  t.equal(systemSecrets.bytes(32).length, 32)
  t.notSame(systemSecrets.bytes(32), systemSecrets.bytes(32))
  const sequence = (): string => {
    const random = systemRandom()
    return [random.u32(), random.u32(), random.u32()].join()
  }
  t.not(sequence(), sequence())
})

t.test('clock: monotonic never goes back; a cancelled timer does not fire', async (t) => {
  const times = Array.from({ length: 1000 }, () => systemClock.monoMs())
  t.ok(times.every((time, i) => i === 0 || time >= times[i - 1]!))
  let fired = ''
  const cancel = systemClock.timer(1, () => { fired += 'cancelled ' })
  cancel()
  const keepAlive = setInterval(() => {}, 1000)
  await new Promise<void>((resolve) => { systemClock.timer(5, () => { fired += 'kept'; resolve() }) })
  clearInterval(keepAlive)
  t.equal(fired, 'kept')
})
