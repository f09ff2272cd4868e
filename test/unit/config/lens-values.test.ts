import fc from 'fast-check'
import t from 'tap'
import { parseHalfLives, parseTolerance } from '../../../src/config/lens-values.ts'

t.test('half-lives', async (t) => {
  t.strictSame(parseHalfLives('inf,730,365,180,90,30'), [Infinity, 730, 365, 180, 90, 30])
  t.strictSame(parseHalfLives(' INF, 0.5 ,1e3,1E-2,007,3'), [Infinity, 0.5, 1000, 0.01, 7, 3])
  for (const wrong of ['', '1', '1,2,3,4,5', '1,2,3,4,5,6,7', '1,2,3,4,5,', '1,2,3,4,5,0', '1,2,3,4,5,-1', '1,2,3,4,5,NaN', '1,2,3,4,5,Infinity',
    '1,2,3,4,5,1e999', '1,2,3,4,5,0x1f', '1,2,3,4,5,1 0', `1,2,3,4,5,${'9'.repeat(300)}`]) {
    t.equal(parseHalfLives(wrong), undefined, wrong.slice(0, 30))
  }
  fc.assert(fc.property(fc.array(fc.oneof(fc.constant(Infinity), fc.double({ min: 1e-9, max: 1e9, noNaN: true, noDefaultInfinity: true })), { minLength: 6, maxLength: 6 }), (days) => {
    t.strictSame(parseHalfLives(days.map((value) => value === Infinity ? 'inf' : String(value)).join()), days)
  }))
})

t.test('tolerance', async (t) => {
  for (const [given, expected] of [['0', 0], ['1', 1], ['0.01', 0.01], [' 0.5 ', 0.5], ['1e-3', 0.001]] as const) t.equal(parseTolerance(given), expected)
  for (const wrong of ['', '-0.1', '1.01', '1%', '.5', 'inf', '0,5', '0'.repeat(300)]) t.equal(parseTolerance(wrong), undefined, wrong.slice(0, 30))
})
