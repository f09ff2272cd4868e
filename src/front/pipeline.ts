import type { ErrorName } from '../base/error-codes.ts'
import type { Lsn } from '../base/lsn.ts'
import type { AckView } from '../commit/ack.layout.ts'

/** All that the front knows of the stages behind it. */
export interface Pipeline {
  /**
   * Copies one Batch frame towards the verify stage. `slot` and `generation` name who gets the ack.
   * False: the rings are full and nothing was taken.
   */
  submit(slot: number, generation: number, frame: Uint8Array): boolean
  /**
   * Copies one QueryRequest (fbs/query.fbs) towards a lens thread; the reply comes with the same request id.
   * False: the rings are full and nothing was taken.
   */
  query(request: Uint8Array): boolean
  /**
   * Copies one command (src/feed/feed-command.codec.ts) towards the feed stage; what it says comes to `handler.feed`.
   * False: the ring is full and nothing was taken.
   */
  feed(command: Uint8Array): boolean
  /** Set once by the front. Views are valid during the call only. */
  handler: PipelineHandler
  status(): PipelineStatus
}

export interface PipelineStatus {
  readonly durableLsn: Lsn
  readonly durableHlc: bigint
  readonly appliedLsn: Lsn
  /** `yes`, or the code with which writes are refused now: disk_full, read_only, starting, shutting_down ... */
  readonly writable: 'yes' | ErrorName
}

export interface PipelineHandler {
  ack(ack: AckView): void
  /** A ready "SRCP" frame to pass on. */
  receipt(slot: number, generation: number, frame: Uint8Array): void
  /** A QueryReply buffer. */
  reply(reply: Uint8Array): void
  /** What the feed stage says (src/feed/feed-message.codec.ts). */
  feed(message: Uint8Array): void
  /** After each drain of the ack rings: coalesced frames go out now. */
  flush(): void
}
