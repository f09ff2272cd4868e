import t from 'tap'
import { barOf, conflictTable, cutLines, explanationLines, rulesTable } from '../../../src/cli/conflict-table.ts'
import type { QueryAnswer, QuerySide } from '../../../src/client/http.ts'

const side = (label: string, more: Partial<QuerySide> = {}): QuerySide => ({
  label, weight: 0, share: 0, candidates: 1, sources: 0, why: '',
  winner: { id: 'ab'.repeat(32), assertion: { object: { type: 'text', value: label.replace(/^tier: /, '') }, source_class: 'clinical' } } as unknown as QuerySide['winner'], ...more,
})
const answer = (sides: QuerySide[], more: Partial<QueryAnswer> = {}): QueryAnswer =>
  ({ subject: 's', predicate: 'p', candidates: sides.length, winner: sides[0]!.winner, why: '', sides, ...more })
/** Cells of each row of a table, the head first. */
const cellsOf = (table: string): string[][] =>
  table.split('\n').filter((line) => line.startsWith('│')).map((line) => line.split('│').slice(1, -1).map((cell) => cell.trim()))

t.test('what was cut is said, and by whom', async (t) => {
  t.strictSame(cutLines({ answers: [answer([side('a')])] }), [])
  t.strictSame(cutLines({ cut: ['aliases'], answers: [answer([side('a')]), answer([side('a')], { subject: 'b\u001b', cut: ['candidates', 'records'] })] }), [
    'Cut: not all aliases of the subject were followed.',
    'Cut, b\ufffd p: only the newest candidates were looked at.',
    'Cut, b\ufffd p: of votes, outcomes or epochs only the newest were looked at.',
  ])
  t.strictSame(cutLines({ cut: ['planets' as 'aliases'], answers: [] }), ['Cut: planets.'], 'a name of a newer node')
})

t.test('bars', async (t) => {
  t.strictSame([0, -1, Number.NaN].map((part) => barOf(part)), ['', '', ''])
  t.equal(barOf(1e-9), '▏', 'what is not nothing shows')
  t.equal(barOf(0.5, 4), '██')
  t.equal(barOf(7, 4), '████')
})

t.test('each figure stands under its head', async (t) => {
  const table = await conflictTable(answer([side('a', { weight: 3, share: 0.75, sources: 2, candidates: 2 }), side('b', { weight: 1, share: 0.25, sources: 1 })], { candidates: 3, status: 'contested', conflict: 0.81127, certainty: 0.75 }))
  t.equal(table.split('\n')[0], 's  p  contested  conflict 0.811  certainty 0.75')
  t.strictSame(cellsOf(table), [
    ['side', 'share', '', 'weight', 'claims', 'sources', 'best source'],
    ['a', '███████████████', '75%', '3', '2', '2', 'clinical'], ['b', '█████', '25%', '1', '1', '1', 'clinical'],
  ])
})

t.test('a lens that tells of its winner\'s side only leaves the rest to be seen', async (t) => {
  const [, first, rest, ...more] = cellsOf(await conflictTable(answer([side('a', { weight: 1.5, share: 0.6, candidates: 2 })], { candidates: 3 })))
  t.strictSame([first, rest, more], [['a', '████████████', '60%', '1.5', '2', 'clinical'], ['(all others)', '████████', '40%', '1', '1', ''], []])
  t.equal(cellsOf(await conflictTable(answer([side('a', { weight: 2, share: 1, candidates: 2 })]))).length, 2, 'nothing is left')
})

t.test('columns of which the lens knows nothing are left out', async (t) => {
  t.strictSame(cellsOf(await conflictTable(answer([side('tier: a'), side('b')]))), [['side', 'claims', 'best source'], ['tier: a: a', '1', 'clinical'], ['b', '1', 'clinical']])
  const [head, row] = cellsOf(await conflictTable(answer([side('1: a', { conflict: 0, weight: 1, share: 1, winner: null })])))
  t.strictSame([head, row], [['side', 'share', '', 'weight', 'claims', 'conflict'], ['1: a', '█'.repeat(20), '100%', '1', '1', '0']])
  const changed = side('a')
  t.strictSame(cellsOf(await conflictTable(answer([{ ...changed, winner: { ...changed.winner!, effective_lifecycle: 'approved' } }, side('b')]))),
    [['side', 'claims', 'best source', 'lifecycle'], ['a', '1', 'clinical', 'approved'], ['b', '1', 'clinical', '']])
})

t.test('rules stand in rows of what belongs together, and what was overruled behind them', async (t) => {
  const rule = (label: string, value: string, weight: number): QuerySide => side(label, { weight, winner: side(value).winner })
  const sides = [rule('must_use axios', 'axios', 0.9), rule('forbidden requests', 'requests', 0.5), rule('must_use tls', 'tls', 1)]
  const text = await rulesTable(answer(sides, {
    predicate: '', status: 'contested', conflict: 0.5, rule_rows: [{ must_use: 0, forbidden: 1, reason: 'a\nb' }, { must_use: 2 }],
    rule_conflicts: [{ holds: 2, overruled: { ...rule('forbidden tls', 'tls', 0.1), why: 'tls is both\u001b' } }],
  }))
  t.equal(text.split('\n')[0], 's  contested  conflict 0.5')
  t.strictSame(cellsOf(text), [
    ['must use', 'forbidden', 'reason', 'weight', 'claims', 'best source'],
    ['axios', 'requests', 'a b', '0.9 / 0.5', '1 / 1', 'clinical / clinical'], ['tls', '', '', '1', '1', 'clinical'],
  ])
  t.equal(text.split('\n').at(-1), 'tls is both\ufffd')
})

t.test('texts of strangers can not drive the terminal', async (t) => {
  const table = await conflictTable(answer([side('\u001b[2Ja\nb')], { subject: '\u001b]0;x' }))
  t.notOk(table.includes('\u001b'))
})

t.test('explanations', async (t) => {
  t.strictSame(explanationLines(answer([side('a')])), [])
  const lines = explanationLines(answer([side('a')], { explanation: {
    considered: [{ id: 'cd'.repeat(32), lsn: 1, hlc: '1', verdict: 'left_out', weight: 0, why: 'Taken \u001b back.' }, { id: 'ab'.repeat(32), lsn: 2, hlc: '2', verdict: 'won', weight: 0.76912, why: 'Best.' }],
    truncated: true, entries_read: 3, claims_read: 2, index_us: 1, read_us: 2, resolve_us: 3, from_cache: false,
  } }))
  t.strictSame(lines, ['  left out cdcdcdcdcdcd…         Taken \ufffd back.', '  won      abababababab…  0.769  Best.', '  and more than these 2', '  3 entries and 2 claims read; index 1 µs, reading 2 µs, lens 3 µs'])
})
