import t from 'tap'
import { MICROS } from '../../../bench/micro/all.ts'

// Every part's bench at its small size, twice: it runs, does its work, and does the same work each time.
for (const micro of MICROS) {
  t.test(micro.name, async (t) => {
    const first = await micro.run('small', t.testdir({ first: {}, second: {} }) + '/first')
    const second = await micro.run('small', `${t.testdirName}/second`)
    t.ok(first.operations > 0 && first.ms > 0)
    t.equal(second.hash, first.hash)
    t.equal(second.operations, first.operations)
    t.not(first.hash, 0)
  })
}
