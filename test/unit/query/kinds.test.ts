import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { DOCUMENT_KINDS } from '../../../src/query/kinds/registry.ts'
import { QUERY_KINDS } from '../../../src/wire/query-request.codec.ts'
import { repoRoot } from '../../support/root.ts'

t.test('numbers of kinds of questions: a client of any age sends them, so that none may change or come again', async (t) => {
  t.strictSame(QUERY_KINDS, {
    id: 1, lens: 2, list: 3, trace: 4, trust: 5, concepts: 6, aliases: 7, source: 8, epochs: 9, votes: 10, checkpoint: 11, inclusion: 12, consistency: 13,
    tile: 14, signature: 15, proofFile: 16, equivocations: 17,
  }, 'append to the table and to this list; change nothing')
  const numbers = Object.values(QUERY_KINDS) as number[]
  t.equal(new Set(numbers).size, numbers.length)
  t.strictSame([...DOCUMENT_KINDS.keys()].sort((a, b) => a - b), numbers.filter((number) => number > QUERY_KINDS.list), 'each has an answer')
  const comment = /request_id:ulong;([^]*?)kind:ubyte;/.exec(readFileSync(join(repoRoot, 'fbs/query.fbs'), 'utf8'))![1]!
  for (const number of numbers) t.match(comment, new RegExp(`\\b${number} [a-z]`), `the schema says what ${number} is`)
})
