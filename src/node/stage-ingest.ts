import { IngestStage, type IngestStageOptions } from '../ingest/ingest-stage.ts'
import { initHash } from '../record/blake3.ts'
import { PairCounters } from '../store/pair-counters.ts'
import { thisMachine } from './machine.ts'
import type { ThreadStart } from './thread.messages.ts'
import { type HostedStage, Workplace } from './workplace.ts'

/** Replays what the log has beyond the store, says so by being built, then follows the durable mark. */
export async function buildIngestStage(start: ThreadStart, machine = thisMachine): Promise<HostedStage> {
  await initHash()
  const place = new Workplace(start, machine)
  const ids = place.ids()
  const stage = new IngestStage({
    store: place.store, log: place.reader(), hash: ids.hash, filter: ids.filter, recents: ids.recents, marks: place.marks,
    logStart: start.recovered.first, lastLsn: start.recovered.lastLsn, secrets: machine.secrets, clock: place.clock,
    metrics: place.metrics('ingest'), onWritten: onWrittenOf(start),
  })
  return { stage, bell: place.marks.durableBell }
}

/** Without kept answers nobody looks at the counters. */
function onWrittenOf({ config, memory }: ThreadStart): IngestStageOptions['onWritten'] {
  if (config.answerCacheBytes === 0) return undefined
  const counters = new PairCounters(memory.pairCounters)
  return (keys) => counters.written(keys)
}
