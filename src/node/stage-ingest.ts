import { IngestStage } from '../ingest/ingest-stage.ts'
import { initHash } from '../record/blake3.ts'
import { PairLsns } from '../store/pair-lsns.ts'
import { thisMachine } from './machine.ts'
import type { ThreadStart } from './thread.messages.ts'
import { type HostedStage, Workplace } from './workplace.ts'

/** Replays what the log has beyond the store, says so by being built, then follows the durable mark. */
export async function buildIngestStage(start: ThreadStart, machine = thisMachine): Promise<HostedStage> {
  await initHash()
  const place = new Workplace(start, machine)
  const ids = place.ids()
  const pairLsns = new PairLsns(start.memory.pairLsns)
  const stage = new IngestStage({
    store: place.store, log: place.reader(), hash: ids.hash, filter: ids.filter, recents: ids.recents, marks: place.marks,
    logStart: start.recovered.first, lastLsn: start.recovered.lastLsn, secrets: machine.secrets, clock: place.clock,
    metrics: place.metrics('ingest'), gatherMsMax: start.config.ingestGatherMsMax, onWritten: (keys, lsn) => pairLsns.written(keys, lsn),
  })
  return { stage, bell: place.marks.durableBell }
}
