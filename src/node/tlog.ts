import { systemClock, type Clock } from '../base/clock.ts'
import type { Disk } from '../base/disk.ts'
import { nodeDisk } from '../base/disk-node.ts'
import { ERROR_CODES, errorNameOf } from '../base/error-codes.ts'
import type { Lsn, WalPosition } from '../base/lsn.ts'
import { TlogStage } from '../ingest/tlog-stage.ts'
import { originOf } from '../merkle/checkpoint.ts'
import { TLOG_STATE, TlogBoard } from '../merkle/tlog-board.ts'
import type { CheckResult } from '../observe/health.ts'
import type { Log } from '../observe/log.ts'
import { threadMetrics } from '../observe/thread-metrics.ts'
import { Bell } from '../ring/bell.ts'
import { Marks } from '../ring/marks.ts'
import { RecentIdSequence } from '../store/recent-id-sequence.ts'
import type { Stage } from '../thread/stage.ts'
import { signMessage } from '../verify/ed25519.ts'
import { keyPairOfSeed } from '../verify/keys.ts'
import type { Recovered } from '../wal/recovery.ts'
import { SEGMENT_RECORDS_OFFSET } from '../wal/segment.layout.ts'
import { WalReader } from '../wal/wal-reader.ts'
import type { ThreadStart } from './thread.messages.ts'
import { tlogDirOf, walDirOf, walNodeIdOf } from './wal-place.ts'

/** Durable assertions without a signed head, beyond which the node says that its proofs are behind: minutes of work at full speed. */
const TLOG_LAG_ASSERTIONS_MAX = 50_000_000

/** Where to begin reading so as to come by `lsn`: the first record of its segment. */
function placeOf({ manifest, first }: Recovered, lsn: Lsn): WalPosition {
  const segment = manifest.sealed.findLast(({ lsnFirst }) => lsnFirst <= lsn)
  if (segment === undefined) return first
  const isIn = lsn <= segment.lsnLast
  return { segmentId: isIn ? segment.segmentId : segment.segmentId + 1, offset: SEGMENT_RECORDS_OFFSET }
}

/** Of its own file, so that this thread loads neither the store nor queries. */
export async function buildTlogStage(
  start: ThreadStart, machine: { readonly disk: Disk, readonly clock: Clock } = { disk: nodeDisk, clock: systemClock },
): Promise<{ readonly stage: Stage, readonly bell: Bell }> {
  const { config, index, memory, nodeId, nodeSeed, recovered } = start
  const { secretKey } = keyPairOfSeed(nodeSeed)
  const bell = new Bell(memory.bells.tlog)
  const recentIds = new RecentIdSequence(memory.recentIds, config.recentIdsMax)
  const stage = new TlogStage({
    disk: machine.disk,
    dir: tlogDirOf(config),
    openLog: () => new WalReader(machine.disk, walDirOf(config), { nodeId: walNodeIdOf(nodeId) }),
    placeOf: (lsn) => placeOf(recovered, lsn),
    recentIds: (fromLsn, untilLsn, out) => recentIds.read(fromLsn, untilLsn, out),
    origin: originOf(config.realm, nodeId),
    publicKey: nodeId,
    sign: (message) => signMessage(secretKey, message),
    marks: new Marks(memory.marks),
    board: new TlogBoard(memory.tlogBoard),
    bell,
    clock: machine.clock,
    metrics: threadMetrics(memory.metrics.tlog[index]!),
    checkpointMs: config.tlogCheckpointMs,
  })
  return { stage, bell }
}

/** What main knows of the log of proofs: says in the log when it changes for the worse or the better, and answers the probes. */
export class TlogWatch {
  readonly #board: TlogBoard
  readonly #marks: Marks
  readonly #log: Log
  #seenState: number = TLOG_STATE.off

  constructor(board: SharedArrayBuffer, marks: Marks, log: Log) {
    this.#board = new TlogBoard(board)
    this.#marks = marks
    this.#log = log
  }

  /** Durable assertions that no signed head covers. 0 where the log is off. */
  get lagAssertions(): number {
    const { state, checkpoint } = this.#board.read()
    return state === TLOG_STATE.off ? 0 : Math.max(0, this.#marks.durableLsn - (checkpoint?.size ?? 0))
  }

  get hasDiverged(): boolean {
    return this.#board.read().state === TLOG_STATE.diverged
  }

  /** Cheap where nothing has changed. */
  look(): void {
    const { state, errorNumber, checkpoint } = this.#board.read()
    if (state === this.#seenState) return
    const before = this.#seenState
    this.#seenState = state
    const code = errorNameOf(errorNumber)
    if (state === TLOG_STATE.diverged) {
      this.#log.error('the WAL is not what this node has signed: it signs nothing any more', { code, action: ERROR_CODES[code].action })
    } else if (state === TLOG_STATE.fails) {
      this.#log.warn('the log of proofs can not go on; it tries again', { code, action: ERROR_CODES[code].action })
    } else if (state === TLOG_STATE.follows && before === TLOG_STATE.fails) {
      this.#log.info('the log of proofs goes on', { size: checkpoint?.size ?? 0 })
    }
  }

  /** Never fails: the node serves and takes everything but proofs. */
  check(): CheckResult {
    const { state, errorNumber } = this.#board.read()
    if (state === TLOG_STATE.fails || state === TLOG_STATE.diverged) {
      return { ok: true, degraded: true, detail: `${errorNameOf(errorNumber)}: ${ERROR_CODES[errorNameOf(errorNumber)].title}` }
    }
    const lag = this.lagAssertions
    return lag > TLOG_LAG_ASSERTIONS_MAX ? { ok: true, degraded: true, detail: `${lag} assertions have no signed tree head yet` } : { ok: true }
  }
}
