import type { Clock } from '../base/clock.ts'
import type { ThreadMetrics } from '../observe/thread-metrics.ts'
import type { Bell } from '../ring/bell.ts'
import type { RingWriter } from '../ring/ring.ts'
import type { Stage, StepOutcome } from '../thread/stage.ts'
import { ScrubPace, type ScrubPaceOptions } from './scrub-pace.ts'
import { encodeScrubReport, type ScrubReport } from './scrub-report.codec.ts'
import type { ScrubRead, Scrubber } from './scrubber.ts'

export interface ScrubStageOptions extends ScrubPaceOptions {
  readonly scrubber: Scrubber
  /** Says what is damaged, and what is whole again. */
  readonly reports: RingWriter
  /** The stage's own. */
  readonly bell: Bell
  readonly clock: Clock
  readonly metrics: ThreadMetrics
}

/** Read at a time: what a client's read may have to wait behind. */
const PIECE_BYTES = 128 * 1024

/** Reads the log again at its pace, and reports. A damaged log is no error of this stage: it goes on. */
export class ScrubStage implements Stage {
  readonly blockedOn: Bell
  readonly #options: ScrubStageOptions
  readonly #pace: ScrubPace
  readonly #damaged = new Set<number>()
  /** Waits for room in the ring. */
  #unsent: ScrubReport[] = []
  #cyclesCounted = 0

  constructor(options: ScrubStageOptions) {
    this.#options = options
    this.blockedOn = options.bell
    this.#pace = new ScrubPace(options, options.clock.monoMs())
  }

  /** Reads one piece, where one is due. */
  step(): StepOutcome {
    const { scrubber, clock, metrics } = this.#options
    this.#send()
    if (this.#pace.waitMs(clock.monoMs()) > 0) return 'idle'
    const outcome = scrubber.read(PIECE_BYTES)
    const bytes = outcome.kind === 'nothing' ? 0 : outcome.bytes
    this.#pace.noteRead(bytes, scrubber.totalBytes, clock.monoMs())
    metrics.inc('scrub_bytes_total', bytes)
    this.#note(outcome)
    this.#send()
    metrics.inc('scrub_cycles_total', scrubber.cyclesDone - this.#cyclesCounted)
    this.#cyclesCounted = scrubber.cyclesDone
    // One piece a wake-up: on a thread that others share, they come first.
    return 'idle'
  }

  #note(outcome: ScrubRead): void {
    const { metrics } = this.#options
    if (outcome.kind === 'unread') metrics.inc('scrub_unread_total')
    if (outcome.kind !== 'checked') return
    const { segmentId, damage } = outcome
    if (segmentId !== 0) {
      metrics.inc('scrub_segments_total')
      // Its place in the log was read in the manifest.
      this.#set(0, undefined)
    }
    this.#set(segmentId, damage)
    metrics.set('scrub_damaged_segments', this.#damaged.size)
  }

  #set(segmentId: number, damage: ScrubReport['damage']): void {
    const wasDamaged = this.#damaged.has(segmentId)
    if (damage === undefined && !wasDamaged) return
    if (damage === undefined) this.#damaged.delete(segmentId)
    else this.#damaged.add(segmentId)
    this.#unsent = [...this.#unsent.filter((report) => report.segmentId !== segmentId), { segmentId, damage }]
  }

  #send(): void {
    const { reports } = this.#options
    while (this.#unsent.length > 0 && reports.write(encodeScrubReport(this.#unsent[0]!))) this.#unsent.shift()
  }

  idleMs(): number {
    return this.#pace.waitMs(this.#options.clock.monoMs())
  }

  finish(): void {
    this.#options.scrubber.close()
  }
}
