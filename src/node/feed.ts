import { KiB } from '../base/units.ts'
import { FeedStage } from '../feed/feed-stage.ts'
import { windowBytesOf } from '../feed/feed-window.ts'
import { Feed } from '../feed/feed.ts'
import { logPlaceOf } from '../feed/log-places.ts'
import { threadMetrics } from '../observe/thread-metrics.ts'
import { Bell } from '../ring/bell.ts'
import { Marks } from '../ring/marks.ts'
import { RingReader, RingWriter } from '../ring/ring.ts'
import type { Stage } from '../thread/stage.ts'
import { WalReader } from '../wal/wal-reader.ts'
import { thisMachine, type Machine } from './machine.ts'
import type { ThreadStart } from './thread.messages.ts'
import { walDirOf, walNodeIdOf } from './wal-place.ts'

/** Bytes of one read, and files held open, of each place in the log that is read at a time. */
const CHUNK_BYTES = 256 * KiB
const OPEN_FILES_MAX = 2

/** Of its own file, so that this thread loads no lenses and no verifiers. */
export function buildFeedStage(start: ThreadStart, machine: Machine = thisMachine): Promise<{ readonly stage: Stage, readonly bell: Bell }> {
  const { disk, clock, attachStore } = machine
  const { config, index, memory: { marks: marksBuffer, metrics, rings, bells }, nodeId, recovered } = start
  const marks = new Marks(marksBuffer)
  const store = attachStore(start.storeHandle)
  const feed = new Feed({
    out: new RingWriter(rings.feedMessages, new Bell(bells.front)),
    openLog: () => new WalReader(disk, walDirOf(config), { nodeId: walNodeIdOf(nodeId), chunkBytes: CHUNK_BYTES, openFilesMax: OPEN_FILES_MAX }),
    placeOf: (lsn) => logPlaceOf(store, recovered.first, lsn),
    appliedLsn: () => marks.appliedLsn,
    appliedPosition: () => marks.appliedPosition,
    durableLsn: () => marks.durableLsn,
    clock,
    metrics: threadMetrics(metrics.feed[index]!),
    windowBytes: windowBytesOf(config),
    lagBytesMax: config.subscriptionLagBytesMax,
    stallMsMax: config.subscriptionStallMsMax,
    walSegmentBytes: config.walSegmentBytes,
  })
  const stage = new FeedStage({ feed, commands: new RingReader(rings.feedCommands), marks, clock, heartbeatMs: config.subscriptionHeartbeatMs, gatherMsMax: config.feedGatherMsMax })
  return Promise.resolve({ stage, bell: marks.followerBell })
}
