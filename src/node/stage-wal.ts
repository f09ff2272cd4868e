import { AckQueue } from '../commit/ack-queue.ts'
import { CommitStage } from '../commit/commit-stage.ts'
import { ReceiptQueue } from '../commit/receipt-queue.ts'
import { measuredDisk } from '../observe/measured-disk.ts'
import { initHash } from '../record/blake3.ts'
import { Bell } from '../ring/bell.ts'
import { RingReader, RingWriter } from '../ring/ring.ts'
import { WalWriter } from '../wal/wal-writer.ts'
import { thisMachine } from './machine.ts'
import type { ThreadStart } from './thread.messages.ts'
import { walDirOf, walNodeIdOf } from './wal-place.ts'
import { type HostedStage, Workplace } from './workplace.ts'

export async function buildWalStage(start: ThreadStart, machine = thisMachine): Promise<HostedStage> {
  await initHash()
  const place = new Workplace(start, machine)
  const { config, memory } = start
  const { rings, bells } = memory
  const walDir = walDirOf(config)
  const writer = WalWriter.open(measuredDisk(machine.disk, place.clock, place.metrics('wal')), walDir, start.recovered, {
    nodeId: walNodeIdOf(start.nodeId), secrets: machine.secrets, segmentBytes: config.walSegmentBytes,
    reserveBytes: config.walReserveBytes, groupBytesMax: config.groupBytesMax,
  })
  const alarm = Bell.create()
  const stage = new CommitStage({
    verified: rings.verified.map((ring) => new RingReader(ring)),
    acks: new AckQueue(new RingWriter(rings.acks, new Bell(bells.front)), start.waitForAckSpace),
    receipts: new ReceiptQueue(rings.receiptRequests.map((ring, i) => new RingWriter(ring, new Bell(bells.merkle[i]!)))),
    writer,
    ids: place.ids().lookup,
    marks: place.marks,
    clock: place.clock,
    metrics: place.metrics('wal'),
    ingestLagBytesMax: config.ingestLagBytesMax,
    walSegmentBytes: config.walSegmentBytes,
    walMarkIdleMs: config.walMarkIdleMs,
    // Inline, nobody would gather meanwhile.
    groupGatherMsMax: config.mode === 'inline' ? 0 : config.groupGatherMsMax,
    sleep: (ms) => { alarm.wait(alarm.prepare(), ms) },
    hasSpace: () => machine.disk.freeBytes(walDir) >= config.walReserveBytes,
    lastLsn: start.recovered.lastLsn,
    lastHlc: start.recovered.lastHlc,
  })
  return { stage, bell: new Bell(bells.commit) }
}
