import t from 'tap'
import { fittedWidths, tableText } from '../../../src/cli/table.ts'
import { cutText, objectText, printable, shortId, shortKey } from '../../../src/cli/words.ts'

t.test('text of strangers does not drive the terminal', async (t) => {
  t.equal(printable('a\u001b[2Jb\r\nc\u0007'), 'a\ufffd[2Jb c\ufffd')
  t.equal(printable('a\u009b2Jb\u009d0;x\u007f'), 'a\ufffd2Jb\ufffd0;x\ufffd')
})

t.test('what hides, or turns the direction of text, is seen', async (t) => {
  for (const hidden of ['\u200b', '\u200c', '\u200d', '\u200e', '\u200f', '\u202a', '\u202e', '\u2060', '\u2066', '\u2069', '\ufeff', '\u061c']) {
    t.equal(printable(`safe${hidden}exe.doc`), 'safe\ufffdexe.doc', hidden.codePointAt(0)!.toString(16))
  }
  for (const emoji of ['👩‍🚀', '👩🏽‍🚀', '🏳️‍🌈', '👩‍❤️‍👨']) t.equal(printable(emoji), emoji, 'one emoji of several')
  t.equal(printable('👩‍a'), '👩\ufffda')
  t.equal(printable('ärzte → 日本 ﷽'), 'ärzte → 日本 ﷽')
})

t.test('text is cut behind whole characters', async (t) => {
  t.equal(cutText('💊💊💊💊', 3), '💊💊…')
  t.equal(cutText('💊💊💊', 3), '💊💊💊')
  t.equal(objectText({ type: 'text', value: `${'x'.repeat(58)}💊💊` }), `${'x'.repeat(58)}💊💊`)
  t.equal(objectText({ type: 'text', value: `${'x'.repeat(58)}💊💊💊` }), `${'x'.repeat(58)}💊…`)
  t.equal(shortKey('did:key:z6MkoXbRyXa'), 'z6MkoXbR…')
  t.equal(shortKey('did:key:\u001b[2J'), '\ufffd[2J')
  t.equal(shortId('9f1c22ab04d79f1c22ab04d7'), '9f1c22ab04d7…')
})

t.test('a table is as wide as the terminal at most', async (t) => {
  const rows = [['debian/a-package-with-a-name-of-more-than-forty-characters', 'version', '1.2.3'], ['debian/bash', 'version', '💊'.repeat(30)]]
  const head = ['subject', 'predicate', 'object']
  const widthOf = (text: string): number => Math.max(...text.split('\n').map((line) => line.length))
  const free = await tableText({ head, rows }, {})
  t.ok(free.includes(rows[0]![0]!), 'elsewhere nothing is cut')
  const fitted = await tableText({ head, rows: rows.slice(0, 1) }, { columns: 60 })
  t.ok(widthOf(fitted) <= 60, `${widthOf(fitted)}`)
  t.match(fitted, /debian\/a-package-with-a-[^ ]*…/)
  t.ok(fitted.includes('1.2.3'), 'short columns stay whole')
  const halves = await tableText({ head, rows }, { columns: 61 })
  t.notMatch(halves, /\p{Surrogate}/u, 'no half of a character')
  const wrapped = await tableText({ rows: [['note', 'words '.repeat(20)]], wrap: true }, { columns: 40 })
  t.ok(widthOf(wrapped) <= 40)
  t.equal(wrapped.match(/words/g)?.length, 20, 'nothing of it is lost')
  t.strictSame(fittedWidths([10, 40, 30], 60), [10, 23, 23])
  t.strictSame(fittedWidths([10, 40, 30], 5), [8, 8, 8], 'never to nothing')
  t.strictSame(fittedWidths([10, 20], 33), [10, 20])
})
