import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import type { Clock } from '../../../src/base/clock.ts'
import { seededRandom, systemSecrets } from '../../../src/base/random.ts'
import { MiB } from '../../../src/base/units.ts'
import { BodyBudget } from '../../../src/front/body.ts'
import { RATE_ADDRESSES_MAX } from '../../../src/front/front-limits.ts'
import { RateLimiter, addressKey } from '../../../src/front/rate-limiter.ts'
import { RequestIds } from '../../../src/front/request-ids.ts'

function fakeClock(): Clock & { advance(ms: number): void } {
  let nowMs = 1000
  return { wallMs: () => nowMs, monoMs: () => nowMs, timer: () => () => {}, advance(ms) { nowMs += ms } }
}

t.test('rate: a second\'s worth at once, then the mean; a large batch leaves a debt', async (t) => {
  const clock = fakeClock()
  const rate = new RateLimiter(100, clock)
  t.equal(rate.take('a', 100), 0)
  t.equal(rate.take('a', 1), 10, 'the next token is 10 ms away')
  t.equal(rate.take('b', 1), 0, 'others have their own')
  clock.advance(10)
  t.equal(rate.take('a', 500), 0, 'one token lets a batch pass')
  t.equal(rate.take('a', 1), 5000, 'and its debt is paid before the next')
  clock.advance(4999)
  t.ok(rate.take('a', 1) > 0)
  clock.advance(2)
  t.equal(rate.take('a', 1), 0)
  clock.advance(60_000)
  t.strictSame(rate.state('a'), { remaining: 100, resetSeconds: 0 }, 'no more than a second is saved')
  rate.take('a', 150)
  t.strictSame(rate.state('a'), { remaining: 0, resetSeconds: 1 })
  rate.giveBack('a', 150)
  t.strictSame(rate.state('a'), { remaining: 100, resetSeconds: 0 })
})

t.test('rate: the table is bounded, the least recently seen goes first', async (t) => {
  const rate = new RateLimiter(1, fakeClock(), 3)
  for (const address of ['a', 'b', 'c']) t.equal(rate.take(address, 1), 0)
  t.ok(rate.take('a', 1) > 0, 'seen again')
  rate.take('d', 1)
  t.equal(rate.size, 3)
  t.ok(rate.take('a', 1) > 0, 'a was kept')
  t.equal(rate.take('b', 1), 0, 'b was forgotten')
  t.equal(rate.size, 3)
})

t.test('rate: within 2 % of the limit over any 10 s, whatever is asked for', async (t) => {
  const seed = 20_261_126
  const random = seededRandom(seed)
  const clock = fakeClock()
  const ratePerSecond = 1000
  const rate = new RateLimiter(ratePerSecond, clock)
  const keys = Array.from({ length: 10 }, (_, i) => `10.0.0.${i}`)
  const tickMs = 5
  const ticks = 3000
  const windowTicks = 10_000 / tickMs
  // Till then they spend the second's worth that each begins with.
  const firstTick = 200
  const errors: number[] = []
  const taken = keys.map(() => new Float64Array(ticks))
  for (let tick = 0; tick < ticks; tick++, clock.advance(tickMs)) {
    for (const [k, key] of keys.entries()) {
      for (let connection = 0; connection < 10; connection++) {
        const count = 1 + random.u32() % 16
        if (rate.take(key, count) === 0) taken[k]![tick]! += count
      }
    }
  }
  for (const perTick of taken) {
    for (let from = firstTick; from + windowTicks <= ticks; from++) {
      errors.push(perTick.subarray(from, from + windowTicks).reduce((sum, count) => sum + count, 0) / (10 * ratePerSecond) - 1)
    }
  }
  const worst = errors.reduce((most, error) => Math.max(most, Math.abs(error)), 0)
  t.ok(worst <= 0.02, `${errors.length} windows, at most ${(worst * 100).toFixed(2)} % off`)
})

t.test('rate: a million addresses in bounded memory', async (t) => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const heapBytes = (): number => {
    collect()
    return process.memoryUsage().heapUsed
  }
  const grownBy = (addressesMax?: number): number => {
    const before = heapBytes()
    const rate = new RateLimiter(10, fakeClock(), addressesMax)
    for (let i = 0; i < 1e6; i++) rate.take(`10.${i >> 16}.${i >> 8 & 255}.${i & 255}`, 1)
    const grown = heapBytes() - before
    t.ok(rate.size <= (addressesMax ?? RATE_ADDRESSES_MAX))
    return grown
  }
  const bounded = grownBy()
  t.ok(bounded <= 64 * MiB, `${(bounded / MiB).toFixed(1)} MiB`)
  const unbounded = grownBy(Infinity)
  t.ok(unbounded > 64 * MiB, `the tooth: without its bound the table has ${(unbounded / MiB).toFixed(1)} MiB`)
})

t.test('rate: the order of forgetting is that of a plain list', async (t) => {
  const random = seededRandom(7)
  const rate = new RateLimiter(1, fakeClock(), 8)
  let model: string[] = []
  for (let i = 0; i < 5000; i++) {
    const address = `a${random.u32() % 12}`
    // A bucket has one token: who is remembered has none left.
    const known = rate.take(address, 1) > 0
    if (known !== model.includes(address)) t.fail(`step ${i}: ${address}`)
    model = [...model.filter((other) => other !== address), address].slice(-8)
  }
  t.equal(rate.size, 8)
})

t.test('rate: off', async (t) => {
  const rate = new RateLimiter(0, fakeClock())
  t.equal(rate.take('a', 1e9), 0)
  t.equal(rate.size, 0, 'nobody is remembered')
})

t.test('addresses: IPv4, IPv4 within IPv6, and the /64 of IPv6', async (t) => {
  const bytes = (...values: number[]): ArrayBuffer => Uint8Array.from(values).buffer
  const v4 = bytes(10, 0, 0, 1)
  const mapped = bytes(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 1)
  const v6 = (host: number, network = 1): ArrayBuffer => bytes(0x20, 1, 0xd, 0xb8, 0, 0, 0, network, 0, 0, 0, 0, 0, 0, 0, host)
  t.equal(addressKey(v4), '10.0.0.1')
  t.equal(addressKey(mapped), addressKey(v4))
  t.equal(addressKey(v6(1)), addressKey(v6(2)))
  t.not(addressKey(v6(1, 1)), addressKey(v6(1, 2)))
})

t.test('request ids are fresh, and drawn in bulk', async (t) => {
  let draws = 0
  const ids = new RequestIds({ bytes: (count) => { draws++; return systemSecrets.bytes(count) } })
  const seen = new Set(Array.from({ length: 1000 }, () => ids.next()))
  t.equal(seen.size, 1000)
  t.ok(draws < 10)
  t.ok([...seen].every((id) => /^[0-9a-f]{24}$/.test(id)))
})

t.test('the memory of bodies', async (t) => {
  const budget = new BodyBudget(10)
  t.ok(budget.take(7))
  t.notOk(budget.take(4))
  t.equal(budget.usedBytes, 7, 'a refusal takes nothing')
  budget.give(7)
  t.ok(budget.take(10))
})

t.test('a problem does not say which file a system call failed on', async (t) => {
  const { problemOf } = await import('../../../src/front/problem.ts')
  const { DbError } = await import('../../../src/base/errors.ts')
  const { detail } = problemOf(new DbError('io_error', "reading the WAL: ENOENT: no such file or directory, open '/srv/data/wal/0000000001.wal'"), 'r')
  t.notMatch(detail, /srv|ENOENT/)
  t.match(problemOf(new DbError('wal_corrupt', 'WAL segment 3 at offset 512'), 'r').detail, /segment 3/)
})
