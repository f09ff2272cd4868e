import { assert } from '../base/assert.ts'
import type { Bell } from '../ring/bell.ts'
import type { RingReader, RingWriter } from '../ring/ring.ts'
import type { Stage, StepOutcome } from '../thread/stage.ts'

export interface LensDependencies {
  readonly requests: RingReader
  readonly replies: RingWriter
  /** Answers one QueryRequest buffer with a QueryReply of at most `replyBytesMax` bytes; never throws for bad input. */
  readonly answer: (request: Uint8Array) => Uint8Array
  readonly replyBytesMax: number
}

/** Answers queries, one after the other. */
export class LensStage implements Stage {
  readonly blockedOn: Bell
  readonly #deps: LensDependencies

  constructor(deps: LensDependencies) {
    this.#deps = deps
    this.blockedOn = deps.replies.space
    assert(deps.replyBytesMax <= deps.replies.payloadBytesMax, 'a reply may be larger than its ring takes')
  }

  step(): StepOutcome {
    const { requests, replies, answer, replyBytesMax } = this.#deps
    if (!requests.peek()) return 'idle'
    if (!replies.hasRoom(replyBytesMax)) return 'blocked'
    const reply = answer(requests.frame())
    requests.release()
    assert(reply.length <= replyBytesMax && replies.write(reply), 'a reply found no room')
    return 'progress'
  }

  idleMs(): number {
    return 1000
  }

  finish(): void {
    // Nothing is kept between requests.
  }
}
