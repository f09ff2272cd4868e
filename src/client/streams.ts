import { DbError, isDbError } from '../base/errors.ts'
import { AckQueue } from './ack-queue.ts'
import type { AckedAssertion, AssertResult, BatchAck, LaneItem } from './acks.ts'
import type { AssertionDraft } from './draft.ts'
import { Lane, type LaneLimits } from './lane.ts'

export interface StreamOptions {
  /** Ask for a signed receipt of every batch. */
  readonly receipts?: boolean
}

/** Acks of a stream that nobody has taken yet; beyond it the source is not read. */
export const ACKS_UNREAD_MAX = 256

/** Assertions of a stream that are encoded before the event loop gets its turn: about 5 ms of work. */
const WRITES_A_TURN = 1024

/** What a session needs of its client. */
export interface SessionHost {
  readonly hasRoom: boolean
  /** Resolves when there is room, or the client has ended. */
  whenRoom(): Promise<void>
  readonly limits: LaneLimits
  /** @throws {DbError} why nothing can be written any more. */
  checkOpen(): void
  /** @throws {DbError} the rule that the draft breaks. */
  encode(draft: AssertionDraft): { readonly id: Uint8Array, readonly encoded: Uint8Array }
  /** The item counts as pending from here on. */
  taken(item: LaneItem): void
  /** The session has a first item: flush it in time. */
  scheduleFlush(session: AssertSession): void
  flushed(session: AssertSession): void
  /** Resolves in a later turn of the event loop. */
  nextTurn(): Promise<void>
  /** Makes a batch of the items and sends it. */
  submit(items: LaneItem[], offset: number, wantsReceipt: boolean): Promise<BatchAck>
}

type ItemWaiter = (result: AssertResult | undefined, error: DbError | undefined) => void

/** One writer's batches: all `assert` calls of a client share one, every stream has its own. */
export class AssertSession {
  /** More come in the turns that follow, so that a first one alone is not worth a batch. */
  readonly isStream: boolean
  readonly #client: SessionHost
  readonly #wantsReceipt: boolean
  readonly #onBatch: (batch: Promise<BatchAck>) => void
  readonly #lane = new Lane()
  #waiters: ItemWaiter[] = []
  #offset = 0
  /** Of the linger timer; kept here for the client. */
  stopTimer: (() => void) | undefined

  /** @param onBatch of a stream: told of every batch that is sent, and of one that never will be. */
  constructor(client: SessionHost, wantsReceipt = false, onBatch?: (batch: Promise<BatchAck>) => void) {
    this.isStream = onBatch !== undefined
    this.#client = client
    this.#wantsReceipt = wantsReceipt
    this.#onBatch = onBatch ?? (() => undefined)
  }

  /** One assertion with a promise of its own. */
  one(draft: AssertionDraft): Promise<AckedAssertion> {
    this.#client.checkOpen()
    const item = this.#client.encode(draft)
    return new Promise((resolve, reject) => {
      this.#add(item, (result, error) => {
        if (result === undefined) reject(error ?? new DbError('internal', 'a batch ended without a result'))
        else if (result.ok) resolve(result)
        else reject(result.error)
      })
    })
  }

  /**
   * One of many: a refusal of the client itself becomes a result of its batch. Waits until there is room.
   * @throws {DbError} as rejection, where the client has ended.
   */
  async write(draft: AssertionDraft): Promise<void> {
    if (!this.#client.hasRoom) {
      this.flush()
      while (!this.#client.hasRoom) {
        this.#client.checkOpen()
        await this.#client.whenRoom()
      }
    }
    this.#client.checkOpen()
    this.#add(this.#encoded(draft), undefined)
  }

  #encoded(draft: AssertionDraft): LaneItem {
    try {
      return this.#client.encode(draft)
    } catch (error) {
      if (!isDbError(error)) throw error
      return { error }
    }
  }

  #add(item: LaneItem, waiter: ItemWaiter | undefined): void {
    const { limits } = this.#client
    if (this.#lane.isFullFor('error' in item ? 0 : item.encoded.length, limits)) this.flush()
    if (this.#lane.count === 0) this.#client.scheduleFlush(this)
    this.#lane.add(item, limits)
    if (waiter !== undefined) this.#waiters.push(waiter)
    this.#client.taken(item)
    if (this.#lane.count >= limits.assertionsMax) this.flush()
  }

  /** Sends what has gathered. */
  flush(): void {
    this.stopTimer?.()
    this.stopTimer = undefined
    if (this.#lane.count === 0) return
    this.#client.flushed(this)
    const items = this.#lane.take()
    const waiters = this.#waiters
    this.#waiters = []
    const batch = this.#client.submit(items, this.#offset, this.#wantsReceipt)
    this.#offset += items.length
    batch.then(
      (ack) => waiters.forEach((waiter, i) => waiter(ack.results[i], undefined)),
      (error: DbError) => waiters.forEach((waiter) => waiter(undefined, error)),
    )
    this.#onBatch(batch)
  }

  /** The client has ended: what has gathered will not be sent. */
  fail(error: DbError): void {
    this.stopTimer?.()
    this.stopTimer = undefined
    if (this.#lane.count > 0) {
      this.#lane.take()
      const lost: Promise<BatchAck> = Promise.reject(error)
      // Streams hear of it; a session without one has its waiters.
      lost.catch(() => undefined)
      this.#onBatch(lost)
    }
    const waiters = this.#waiters
    this.#waiters = []
    for (const waiter of waiters) waiter(undefined, error)
  }
}

/** A session whose acks go to a queue: what `stream` and `transform` are made of. */
class StreamSession {
  readonly queue = new AckQueue<BatchAck>()
  readonly #client: SessionHost
  readonly #session: AssertSession
  #written = 0
  #open = 0
  #ended = false

  constructor(client: SessionHost, options: StreamOptions) {
    this.#client = client
    this.#session = new AssertSession(client, options.receipts ?? false, (batch) => {
      this.#open++
      batch.then((ack) => {
        this.queue.push(ack)
        this.#closed()
      }, (error: unknown) => this.queue.fail(error))
    })
  }

  async write(draft: AssertionDraft): Promise<void> {
    // A source that always has more at hand would let nothing else run.
    if (++this.#written % WRITES_A_TURN === 0) await this.#client.nextTurn()
    await this.queue.whenBelow(ACKS_UNREAD_MAX)
    await this.#session.write(draft)
  }

  /** The source is at its end: the queue closes after the last ack. */
  end(): void {
    this.#session.flush()
    this.#ended = true
    if (this.#open === 0) this.queue.close()
  }

  #closed(): void {
    if (--this.#open === 0 && this.#ended) this.queue.close()
  }
}

/** ReadableStreams can not be iterated everywhere (Safari): read them by hand there. */
async function* iterate<T>(source: AsyncIterable<T> | Iterable<T> | ReadableStream<T>): AsyncGenerator<T> {
  if (Symbol.asyncIterator in source || Symbol.iterator in source) {
    yield* source as AsyncIterable<T>
    return
  }
  const reader = source.getReader()
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value
  } finally {
    await reader.cancel()
  }
}

export async function* streamOf(
  client: SessionHost, source: AsyncIterable<AssertionDraft> | Iterable<AssertionDraft> | ReadableStream<AssertionDraft>,
  options: StreamOptions,
): AsyncGenerator<BatchAck> {
  const session = new StreamSession(client, options)
  let stopped = false
  const pump = async (): Promise<void> => {
    for await (const draft of iterate(source)) {
      if (stopped) return
      await session.write(draft)
    }
    session.end()
  }
  pump().catch((error: unknown) => session.queue.fail(error))
  try {
    yield* session.queue
  } finally {
    stopped = true
    await session.queue.return()
  }
}

export function writableOf(
  client: SessionHost, options: StreamOptions & { readonly onAck?: (ack: BatchAck) => void },
): WritableStream<AssertionDraft> {
  const session = new StreamSession(client, options)
  const { onAck } = options
  const take = (ack: BatchAck): void => {
    if (onAck !== undefined) return onAck(ack)
    const refused = ack.results.find((result) => !result.ok)
    if (refused !== undefined && !refused.ok) throw refused.error
  }
  const consumed = (async () => {
    for await (const ack of session.queue) take(ack)
  })()
  return new WritableStream<AssertionDraft>({
    start(controller) {
      consumed.catch((error: unknown) => controller.error(error))
    },
    write: (draft) => session.write(draft),
    async close() {
      session.end()
      await consumed
    },
  })
}

export function transformOf(
  client: SessionHost, options: StreamOptions,
): { readonly writable: WritableStream<AssertionDraft>, readonly readable: ReadableStream<BatchAck> } {
  const session = new StreamSession(client, options)
  const writable = new WritableStream<AssertionDraft>({
    write: (draft) => session.write(draft),
    close: () => session.end(),
    abort: (reason: unknown) => session.queue.fail(reason),
  })
  const readable = new ReadableStream<BatchAck>({
    async pull(controller) {
      const next = await session.queue.next()
      if (next.done === true) controller.close()
      else controller.enqueue(next.value)
    },
    cancel: () => void session.queue.return(),
  })
  return { writable, readable }
}
