import { assert } from '../base/assert.ts'
import { OWN_CHECKPOINT_BYTES_MAX } from './checkpoint.ts'

/**
 * What the log's thread tells those that serve proofs, in shared memory with one writer:
 *
 * | offset | bytes | word |
 * | --- | --- | --- |
 * | 0 | 4 | sequence: odd while the rest is being written |
 * | 4 | 4 | state |
 * | 8 | 4 | number of the error code behind the state, 0 for none |
 * | 12 | 4 | bytes of the checkpoint, 0 for none |
 * | 16 | 8 | leaves of the checkpoint |
 * | 24 | 4 | doubts: how often a reader found tiles that are not those of the head; the readers' |
 * | 64 | 640 | the checkpoint |
 */
export const TLOG_STATE = Object.freeze({
  /** tlogEnabled is off, or the thread has not begun. */
  off: 0,
  /** Signs what is there. */
  follows: 1,
  /** Makes the tiles again from the WAL; the last checkpoint stands, and no proof is given. */
  rebuilds: 2,
  /** The disk refused; tries again. */
  fails: 3,
  /** The WAL is not what this node has signed before. Nothing is signed any more. */
  diverged: 4,
})
export type TlogState = (typeof TLOG_STATE)[keyof typeof TLOG_STATE]

export interface TlogHead {
  readonly state: TlogState
  readonly errorNumber: number
  /** Undefined before the first one. It was durable before it stood here. */
  readonly checkpoint: { readonly text: string, readonly size: number } | undefined
}

const SEQUENCE = 0
const STATE = 1
const ERROR = 2
const TEXT_BYTES = 3
const DOUBTS = 6
const SIZE_AT = 16
const TEXT_AT = 64
/** A writer is done in microseconds; whoever reads looks again this often. */
const READS_MAX = 1_000_000

const utf8 = new TextEncoder()
const text = new TextDecoder()

export class TlogBoard {
  static readonly BYTES = TEXT_AT + OWN_CHECKPOINT_BYTES_MAX

  readonly buffer: SharedArrayBuffer
  readonly #words: Int32Array
  readonly #size: BigUint64Array
  readonly #text: Uint8Array

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(TlogBoard.BYTES)) {
    this.buffer = buffer
    this.#words = new Int32Array(buffer, 0, 8)
    this.#size = new BigUint64Array(buffer, SIZE_AT, 1)
    this.#text = new Uint8Array(buffer, TEXT_AT, OWN_CHECKPOINT_BYTES_MAX)
  }

  /** The writer's. */
  setState(state: TlogState, errorNumber = 0): void {
    this.#write(() => {
      Atomics.store(this.#words, STATE, state)
      Atomics.store(this.#words, ERROR, errorNumber)
    })
  }

  /** The writer's: a checkpoint that is on stable storage. */
  publish(checkpoint: string, size: number): void {
    const bytes = utf8.encode(checkpoint)
    assert(bytes.length <= OWN_CHECKPOINT_BYTES_MAX, 'a checkpoint of this node is short')
    this.#write(() => {
      this.#text.set(bytes)
      Atomics.store(this.#words, TEXT_BYTES, bytes.length)
      Atomics.store(this.#size, 0, BigInt(size))
    })
  }

  /** A reader's: the tiles do not give the root of a head that was published, and are to be made again. */
  doubt(): void {
    Atomics.add(this.#words, DOUBTS, 1)
  }

  /** Changes with each {@link doubt}. */
  get doubts(): number {
    return Atomics.load(this.#words, DOUBTS)
  }

  read(): TlogHead {
    for (let i = 0; i < READS_MAX; i++) {
      const sequence = Atomics.load(this.#words, SEQUENCE)
      const state = Atomics.load(this.#words, STATE) as TlogState
      const errorNumber = Atomics.load(this.#words, ERROR)
      const size = Number(Atomics.load(this.#size, 0))
      // A copy: a decoder takes no view of shared memory.
      const bytes = this.#text.slice(0, Atomics.load(this.#words, TEXT_BYTES))
      if (sequence % 2 !== 0 || Atomics.load(this.#words, SEQUENCE) !== sequence) continue
      return { state, errorNumber, checkpoint: bytes.length === 0 ? undefined : { text: text.decode(bytes), size } }
    }
    throw new Error('the writer of the log\'s board has ended within a write')
  }

  #write(change: () => void): void {
    Atomics.add(this.#words, SEQUENCE, 1)
    change()
    Atomics.add(this.#words, SEQUENCE, 1)
  }
}
