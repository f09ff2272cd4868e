import t from 'tap'
import { gatherMsAfter } from '../../../src/ingest/ingest-stage.ts'

t.test('how long a stream gathers before the indexes take the next part of it', async (t) => {
  t.equal(gatherMsAfter(1, 10), 2, 'who writes and asks in turn waits a little')
  t.equal(gatherMsAfter(1, 1), 1)
  t.equal(gatherMsAfter(15, 10), 2)
  t.equal(gatherMsAfter(16, 10), 10, 'a stream')
  t.equal(gatherMsAfter(4095, 10), 10)
  t.equal(gatherMsAfter(4096, 10), 0, 'enough has come together')
  t.equal(gatherMsAfter(500, 0), 0, 'turned off')
})
