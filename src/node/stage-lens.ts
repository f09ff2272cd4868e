import type { Lsn } from '../base/lsn.ts'
import { lensSettingsOf } from '../lens/settings.ts'
import { TlogBoard } from '../merkle/tlog-board.ts'
import { TlogReader } from '../merkle/tlog-files.ts'
import { AnswerCache } from '../query/answer-cache.ts'
import { ClaimCache } from '../query/claim-cache.ts'
import { Dependencies, NotedClock, NotedSource } from '../query/dependencies.ts'
import { LensStage } from '../query/lens-stage.ts'
import { LogAssertionReader } from '../query/log-assertion-reader.ts'
import { LOG_BLOCK_BYTES, LogCache } from '../query/log-cache.ts'
import type { ReadRange } from '../query/log-walker.ts'
import { QueryExecutor } from '../query/execute.ts'
import { RecordCache } from '../query/record-cache.ts'
import { recordReader } from '../query/record-reader.ts'
import { StoreSource } from '../query/store-source.ts'
import { trustPolicyOf } from '../query/trust-policy.ts'
import { initHash } from '../record/blake3.ts'
import { Bell } from '../ring/bell.ts'
import { RingReader, RingWriter } from '../ring/ring.ts'
import { PairLsns } from '../store/pair-lsns.ts'
import { thisMachine } from './machine.ts'
import type { ThreadStart } from './thread.messages.ts'
import { tlogDirOf } from './wal-place.ts'
import { type HostedStage, RECORD_READ_BYTES, Workplace } from './workplace.ts'

export async function buildLensStage(start: ThreadStart, machine = thisMachine): Promise<HostedStage> {
  await initHash()
  const place = new Workplace(start, machine)
  const { config, index, memory } = start
  const { rings, bells } = memory
  const log = place.reader(RECORD_READ_BYTES)
  const { lookup } = place.ids()
  const pairLsns = new PairLsns(memory.pairLsns)
  const dependencies = new Dependencies(pairLsns)
  const durableLsn = (): Lsn => place.marks.durableLsn
  const readRange: ReadRange = (segmentId, offset, length, out) => log.readRange(segmentId, offset, length, out)
  const isCached = config.lensLogCacheBytes >= LOG_BLOCK_BYTES
  const readLog = isCached ? new LogCache(readRange, config.lensLogCacheBytes, () => place.marks.durablePosition).readRange : readRange
  const storeSource = new StoreSource({
    store: place.store,
    find: (ids, offset) => lookup.find(ids, offset),
    appliedLsn: () => place.marks.appliedLsn,
    durableLsn, readLog,
    index: { listMark: () => place.marks.entryList, pageCacheBytes: config.lensPageCacheBytes },
    keep: { pairLsns, startLsn: start.recovered.lastLsn, bytesMax: config.lensPairCacheBytes },
  })
  // What is read is noted for answers that are kept.
  const keepsAnswers = config.answerCacheBytes > 0
  const clock = keepsAnswers ? new NotedClock(place.clock, dependencies) : place.clock
  const source = keepsAnswers ? new NotedSource(storeSource, dependencies) : storeSource
  const logReader = new LogAssertionReader(readLog)
  const metrics = place.metrics('lens')
  const reader = new ClaimCache(logReader, config.lensClaimCacheBytes)
  const recordParts = { source, reader, clock, trustPolicy: trustPolicyOf(config), cache: new RecordCache(), metrics }
  const executor = new QueryExecutor({
    source, reader, clock,
    records: (asOfHlc) => recordReader(recordParts, asOfHlc),
    lensSettings: lensSettingsOf(config),
    durableHlc: () => place.marks.durableHlc,
    limitMax: config.queryLimitMax,
    replyBytesMax: config.frameBytesMax,
    proofs: {
      log: config.tlogEnabled === 'off' ? undefined : {
        board: new TlogBoard(place.memory.tlogBoard), tiles: new TlogReader(place.machine.disk, tlogDirOf(config)),
      },
      realm: config.realm,
    },
  })
  const cache = keepsAnswers ? new AnswerCache({
    answer: (request) => executor.answer(request), dependencies, appliedLsn: () => place.marks.appliedLsn, clock: place.clock,
    bytesMax: config.answerCacheBytes, metrics,
  }) : undefined
  const stage = new LensStage({
    requests: new RingReader(rings.queries[index]!),
    replies: new RingWriter(rings.replies[index]!, new Bell(bells.front)),
    answer: (request) => cache === undefined ? executor.answer(request) : cache.answer(request),
    replyBytesMax: config.frameBytesMax,
    clock: place.clock,
    report: () => {
      const claims = reader.takeLookups()
      const { pages, pairs } = storeSource.takeLookups()
      for (const result of ['read', 'kept'] as const) {
        metrics.inc('pair_lookups_total', { result }, pairs[result])
        metrics.inc('claim_lookups_total', { result }, claims[result])
        metrics.inc('index_page_lookups_total', { result }, pages[result])
      }
    },
  })
  return { stage, bell: new Bell(bells.lens[index]!) }
}
