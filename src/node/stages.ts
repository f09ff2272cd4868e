import { systemClock, type Clock } from '../base/clock.ts'
import type { Disk } from '../base/disk.ts'
import { nodeDisk } from '../base/disk-node.ts'
import { systemSecrets, type Secrets } from '../base/random.ts'
import { AckQueue } from '../commit/ack-queue.ts'
import { CommitStage } from '../commit/commit-stage.ts'
import { ReceiptQueue } from '../commit/receipt-queue.ts'
import { ReceiptStage } from '../commit/receipt-stage.ts'
import { VerifyStage } from '../commit/verify-stage.ts'
import type { Config } from '../config/options.ts'
import { IngestStage } from '../ingest/ingest-stage.ts'
import { WalConfirm } from '../ingest/wal-confirm.ts'
import { lensSettingsOf } from '../lens/settings.ts'
import { realmHashOf } from '../merkle/signed-message.ts'
import { measuredDisk } from '../observe/measured-disk.ts'
import { threadMetrics, type ThreadMetrics } from '../observe/thread-metrics.ts'
import { LensStage } from '../query/lens-stage.ts'
import { LogAssertionReader } from '../query/log-assertion-reader.ts'
import { QueryExecutor } from '../query/execute.ts'
import { RecordCache } from '../query/record-cache.ts'
import { recordReader } from '../query/record-reader.ts'
import { StoreSource } from '../query/store-source.ts'
import { trustPolicyOf } from '../query/trust-policy.ts'
import { initHash } from '../record/blake3.ts'
import { Bell } from '../ring/bell.ts'
import { Marks } from '../ring/marks.ts'
import { RingReader, RingWriter } from '../ring/ring.ts'
import { IdFilter } from '../store/id-filter.ts'
import { IdHash } from '../store/id-hash.ts'
import { IdLookup } from '../store/id-lookup.ts'
import { RecentIds } from '../store/recent-ids.ts'
import { attachRocksStore } from '../store/store-rocksdb.ts'
import { openStoreMeta } from '../store/store-meta.ts'
import type { Store } from '../store/store.ts'
import type { Stage } from '../thread/stage.ts'
import { signMessage } from '../verify/ed25519.ts'
import { keyPairOfSeed } from '../verify/keys.ts'
import { BatchVerifier, type VerifyPolicy } from '../verify/verify-batch.ts'
import { WalReader } from '../wal/wal-reader.ts'
import { WalWriter } from '../wal/wal-writer.ts'
import type { NodeMemory, ThreadKind } from './memory.ts'
import { buildScrubStage } from './scrub.ts'
import type { ThreadStart } from './thread.messages.ts'
import { walDirOf, walNodeIdOf } from './wal-place.ts'

/** A stage with the bell that it sleeps on. */
export interface HostedStage {
  readonly stage: Stage
  readonly bell: Bell
}

/** What stages take from the machine that they run on. A simulator brings its own. */
export interface Machine {
  readonly disk: Disk
  readonly clock: Clock
  readonly secrets: Secrets
  readonly attachStore: (handle: bigint) => Store
}

const thisMachine: Machine = { disk: nodeDisk, clock: systemClock, secrets: systemSecrets, attachStore: attachRocksStore }

/** Bytes of one read where single records are wanted, not the whole log. */
const RECORD_READ_BYTES = 128 * 1024

export const verifyPolicyOf = (config: Config): VerifyPolicy => ({
  signaturesRequired: config.signatures === 'required',
  realmHash: realmHashOf(config.realm),
  batchAssertionsMax: config.batchAssertionsMax,
  vectorLengthMax: config.vectorLengthMax,
  hlcDriftMaxMs: config.hlcDriftMaxMs,
})

/** What the builders of one thread share; the inline mode makes one for all. */
class Workplace {
  readonly start: ThreadStart
  readonly machine: Machine
  readonly marks: Marks
  readonly store: Store

  constructor(start: ThreadStart, machine: Machine) {
    this.start = start
    this.machine = machine
    this.marks = new Marks(start.memory.marks)
    this.store = machine.attachStore(start.storeHandle)
  }

  get clock(): Clock {
    return this.machine.clock
  }

  get memory(): NodeMemory {
    return this.start.memory
  }

  metrics(kind: ThreadKind): ThreadMetrics {
    return threadMetrics(this.memory.metrics[kind][this.start.index]!)
  }

  reader(chunkBytes?: number): WalReader {
    const { config, nodeId } = this.start
    return new WalReader(this.machine.disk, walDirOf(config), { nodeId: walNodeIdOf(nodeId), ...(chunkBytes === undefined ? {} : { chunkBytes }) })
  }

  /** The id directory as this thread sees it. */
  ids(): { readonly lookup: IdLookup, readonly recents: RecentIds, readonly hash: IdHash, readonly filter: IdFilter } {
    const { machine, marks, memory, store, start: { config } } = this
    const hash = new IdHash(openStoreMeta(store, machine.secrets).idHashKey)
    const filter = new IdFilter(memory.idFilter)
    const recents = new RecentIds(memory.recentIds, config.recentIdsMax, hash, () => marks.idsFlushedLsn)
    const confirm = new WalConfirm(this.reader(RECORD_READ_BYTES), () => marks.durablePosition).confirm
    return { hash, filter, recents, lookup: new IdLookup({ store, hash, filter, recents, confirm }) }
  }
}

/** Replays what the log has beyond the store, says so by being built, then follows the durable mark. */
export async function buildIngestStage(start: ThreadStart, machine = thisMachine): Promise<HostedStage> {
  await initHash()
  const place = new Workplace(start, machine)
  const ids = place.ids()
  const stage = new IngestStage({
    store: place.store, log: place.reader(), hash: ids.hash, filter: ids.filter, recents: ids.recents, marks: place.marks,
    logStart: start.recovered.first, lastLsn: start.recovered.lastLsn, secrets: machine.secrets, clock: place.clock,
    metrics: place.metrics('ingest'),
  })
  return { stage, bell: place.marks.durableBell }
}

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
    hasSpace: () => machine.disk.freeBytes(walDir) >= config.walReserveBytes,
    lastLsn: start.recovered.lastLsn,
    lastHlc: start.recovered.lastHlc,
  })
  return { stage, bell: new Bell(bells.commit) }
}

export async function buildVerifyStage(start: ThreadStart, machine = thisMachine): Promise<HostedStage> {
  await initHash()
  const place = new Workplace(start, machine)
  const { config, index, memory: { rings, bells } } = start
  const stage = new VerifyStage({
    submitted: new RingReader(rings.submitted[index]!),
    verified: new RingWriter(rings.verified[index]!, new Bell(bells.commit)),
    batchAssertionsMax: config.batchAssertionsMax,
    verifier: new BatchVerifier(verifyPolicyOf(config)),
    ids: place.ids().lookup,
    clock: place.clock,
    metrics: place.metrics('verify'),
  })
  return { stage, bell: new Bell(bells.verify[index]!) }
}

export async function buildMerkleStage(start: ThreadStart): Promise<HostedStage> {
  await initHash()
  const { config, index, nodeId, nodeSeed, memory: { rings, bells, metrics } } = start
  const { secretKey } = keyPairOfSeed(nodeSeed)
  const stage = new ReceiptStage({
    requests: new RingReader(rings.receiptRequests[index]!),
    receipts: new RingWriter(rings.receipts[index]!, new Bell(bells.front)),
    nodeId,
    realmHash: realmHashOf(config.realm),
    sign: (message) => signMessage(secretKey, message),
    metrics: threadMetrics(metrics.merkle[index]!),
  })
  return { stage, bell: new Bell(bells.merkle[index]!) }
}

export async function buildLensStage(start: ThreadStart, machine = thisMachine): Promise<HostedStage> {
  await initHash()
  const place = new Workplace(start, machine)
  const { config, index, memory: { rings, bells } } = start
  const log = place.reader(RECORD_READ_BYTES)
  const { lookup } = place.ids()
  const { clock } = place
  const source = new StoreSource({
    store: place.store,
    find: (ids, offset) => lookup.find(ids, offset),
    appliedLsn: () => place.marks.appliedLsn,
    durableLsn: () => place.marks.durableLsn,
  })
  const reader = new LogAssertionReader((segmentId, offset, length, out) => log.readRange(segmentId, offset, length, out))
  const recordParts = { source, reader, clock, trustPolicy: trustPolicyOf(config), cache: new RecordCache(), metrics: place.metrics('lens') }
  const executor = new QueryExecutor({
    source, reader, clock,
    records: (asOfHlc) => recordReader(recordParts, asOfHlc),
    lensSettings: lensSettingsOf(config),
    limitMax: config.queryLimitMax,
    replyBytesMax: config.frameBytesMax,
  })
  const stage = new LensStage({
    requests: new RingReader(rings.queries[index]!),
    replies: new RingWriter(rings.replies[index]!, new Bell(bells.front)),
    answer: (request) => executor.answer(request),
    replyBytesMax: config.frameBytesMax,
  })
  return { stage, bell: new Bell(bells.lens[index]!) }
}

/** By kind, what the threads and the inline mode build alike. */
export const STAGE_BUILDERS: Readonly<Record<ThreadKind, (start: ThreadStart, machine?: Machine) => Promise<HostedStage>>> = {
  ingest: buildIngestStage, wal: buildWalStage, verify: buildVerifyStage, merkle: buildMerkleStage, lens: buildLensStage,
  scrub: buildScrubStage,
}
