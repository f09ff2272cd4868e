import { systemClock } from '../base/clock.ts'
import { nodeDisk } from '../base/disk-node.ts'
import { systemRandom } from '../base/random.ts'
import type { CheckResult } from '../observe/health.ts'
import type { Log } from '../observe/log.ts'
import { threadMetrics } from '../observe/thread-metrics.ts'
import { Bell } from '../ring/bell.ts'
import { RingReader, RingWriter } from '../ring/ring.ts'
import type { Stage } from '../thread/stage.ts'
import { decodeScrubReport } from '../wal/scrub-report.codec.ts'
import { ScrubStage } from '../wal/scrub-stage.ts'
import { Scrubber, type ScrubDamage } from '../wal/scrubber.ts'
import type { ThreadStart } from './thread.messages.ts'
import { walDirOf, walNodeIdOf } from './wal-place.ts'

/** Of its own file, so that this thread loads neither store nor codecs. */
export async function buildScrubStage(start: ThreadStart): Promise<{ readonly stage: Stage, readonly bell: Bell }> {
  const { config, index, memory: { bells, metrics, rings }, nodeId } = start
  const bell = new Bell(bells.scrub)
  const stage = new ScrubStage({
    scrubber: new Scrubber(nodeDisk, walDirOf(config), walNodeIdOf(nodeId), systemRandom()),
    reports: new RingWriter(rings.scrubReports, new Bell(bells.front)),
    bell,
    clock: systemClock,
    metrics: threadMetrics(metrics.scrub[index]!),
    cycleMs: config.scrubCycleSeconds * 1000,
    bytesPerSecondMax: config.scrubBytesPerSecondMax,
  })
  return { stage, bell }
}

const placeOf = ({ segmentId, offset, lsn, reason }: ScrubDamage): string =>
  segmentId === 0 ? `its manifest: ${reason}` : `segment ${segmentId} at offset ${offset} (LSN ${lsn}): ${reason}`

/** What main knows of the log's damage: takes the scrubber's reports, logs each once, and answers the probes. */
export class ScrubWatch {
  readonly #reports: RingReader
  readonly #log: Log
  readonly #damaged = new Map<number, ScrubDamage>()

  constructor(reports: SharedArrayBuffer, log: Log) {
    this.#reports = new RingReader(reports)
    this.#log = log
  }

  /** Takes what has come; cheap where nothing has. */
  drain(): void {
    while (this.#reports.peek()) {
      const { segmentId, damage } = decodeScrubReport(this.#reports.frame())
      this.#reports.release()
      this.#note(segmentId, damage)
    }
  }

  #note(segmentId: number, damage: ScrubDamage | undefined): void {
    const before = this.#damaged.get(segmentId)
    if (damage === undefined) {
      this.#damaged.delete(segmentId)
      if (before !== undefined) this.#log.info('a log segment that was damaged reads as it was written', { segmentId })
      return
    }
    this.#damaged.set(segmentId, damage)
    if (before?.offset === damage.offset && before.reason === damage.reason) return
    this.#log.error('the log is damaged on disk', { ...damage, code: 'wal_corrupt', action: 'See docs/operations/runbooks/wal-corrupt.md; nothing damaged is served.' })
  }

  /** Never fails: the node serves and takes everything else, and a restart mends nothing. */
  check(): CheckResult {
    if (this.#damaged.size === 0) return { ok: true }
    const [first] = [...this.#damaged.values()].sort((a, b) => a.segmentId - b.segmentId)
    const more = this.#damaged.size - 1
    return { ok: true, degraded: true, detail: `damaged in ${placeOf(first!)}${more > 0 ? `; and in ${more} more segments` : ''}` }
  }
}
