import t from 'tap'
import { changedLines } from '../../../src/cli/feed.ts'
import type { AnswerChange, WatchedAnswer } from '../../../src/client/client.ts'

const answer = (subject: string, value: number): WatchedAnswer => ({
  subject, predicate: 'p', candidates: 1, why: '',
  winner: { id: `${subject}${value}`, lsn: 1, hlc: '0', signed_by: 'nobody', assertion: { object: { type: 'number', value } } as never },
})
const change = (seenLsn: number, ...answers: WatchedAnswer[]): AnswerChange => ({ seenLsn, answers })

t.test('an answer that goes away is shown so, once, and is new when it comes back', async (t) => {
  const shown = new Map<string, string>()
  t.strictSame(changedLines(change(1, answer('a', 1), answer('b', 2)), shown), ['       1  a  p  1', '       1  b  p  2'])
  t.strictSame(changedLines(change(2, answer('a', 1)), shown), ['       2  b  p  (none)'])
  t.strictSame(changedLines(change(3), shown), ['       3  a  p  (none)'])
  t.strictSame(changedLines(change(4), shown), [])
  t.strictSame(changedLines(change(5, answer('b', 2)), shown), ['       5  b  p  2'])
  t.strictSame(changedLines(change(6, { ...answer('b', 2), winner: null }), shown), ['       6  b  p  (none)'])
})
