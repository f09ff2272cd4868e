import t from 'tap'
import type { Clock } from '../../../src/base/clock.ts'
import { systemSecrets } from '../../../src/base/random.ts'
import { BodyBudget } from '../../../src/front/body.ts'
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
