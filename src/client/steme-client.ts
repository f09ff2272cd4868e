// Long on purpose: what the parts share is the state of one connection, which comes and goes under all of them.
import { ERROR_CODES } from '../base/error-codes.ts'
import { bytesEqual, concatBytes } from '../base/bytes.ts'
import { DbError, isDbError } from '../base/errors.ts'
import { assertionIdOf } from '../record/claim.ts'
import { checkRecord } from '../record/records.ts'
import { rootOfIds } from '../merkle/tree.ts'
import { realmHashOf } from '../merkle/signed-message.ts'
import { encodeAssertion } from '../wire/assertion.codec.ts'
import type { QueryResult } from '../wire/query-reply.codec.ts'
import { batchAckOf, refusedResults, resultsOf, type AckedAssertion, type BatchAck, type LaneItem } from './acks.ts'
import { backoffMs } from './backoff.ts'
import { completeDraft, type AssertionDraft } from './draft.ts'
import type { AckFrame, ServerFrame, Welcome } from './frames.ts'
import { httpGet, type StoredAssertion } from './http.ts'
import { BATCH_OVERHEAD_BYTES, Lane, type LaneLimits } from './lane.ts'
import { Link } from './link.ts'
import type { ClientOptions } from './options.ts'
import { Outbox, type OutboxEntry } from './outbox.ts'
import { receiptWait, type ReceiptWait } from './receipt-wait.ts'
import { RecordWriter } from './record-writer.ts'
import { Queries, type QueryOutcome, type QueryParameters } from './queries.ts'
import { sealBatch, type SignMode } from './seal.ts'
import { Subscriptions, type SubscribeFilter, type SubscribeOptions, type Subscription, type Watch, type WatchParameters } from './subscriptions.ts'
import { AssertSession, streamOf, transformOf, writableOf, type SessionHost, type StreamOptions } from './streams.ts'
import type { NodeUrls } from './urls.ts'

interface Batch {
  readonly offset: number
  readonly items: readonly LaneItem[]
  readonly bytes: number
  readonly resolve: (ack: BatchAck) => void
  readonly reject: (error: DbError) => void
  readonly receipt: ReceiptWait | undefined
  isAcked: boolean
}

export type ClientState = 'connecting' | 'up' | 'down' | 'closed' | 'failed'

/**
 * A connection to one node that survives its interruptions. Made by `connect`; see docs/client.md.
 *
 * Invariants: at most `pendingBytesMax` bytes and `pendingAssertionsMax` assertions are held; an assertion is reported
 * acked only after the node said so; what is not acked when a connection ends is sent again on the next one.
 */
export class StemeClient extends RecordWriter implements SessionHost {
  readonly #options: ClientOptions
  readonly #urls: NodeUrls
  readonly #link: Link
  readonly #outbox = new Outbox()
  readonly #queries: Queries
  readonly #batches = new Map<bigint, Batch>()
  readonly #lanes = new Set<AssertSession>()
  readonly #single: AssertSession
  readonly #subscriptions: Subscriptions
  #room: (() => void)[] = []
  #idle: (() => void)[] = []
  #sealing: Promise<void> = Promise.resolve()
  #nextRequestId = 1n
  #pendingBytes = 0
  #pendingAssertions = 0
  #welcome: Welcome | undefined
  #realmHash: Uint8Array = new Uint8Array(0)
  #limits: LaneLimits = { assertionsMax: 1, bytesMax: BATCH_OVERHEAD_BYTES, signedSingly: false }
  #state: ClientState = 'connecting'
  #failure: DbError | undefined
  #stopPump: (() => void) | undefined
  #onReady: { resolve: () => void, reject: (error: DbError) => void } | undefined

  /** Use `connect`. */
  constructor(options: ClientOptions, urls: NodeUrls) {
    super()
    this.#options = options
    this.#urls = urls
    this.#single = new AssertSession(this)
    const link = (): Link => this.#link
    this.#subscriptions = new Subscriptions({
      get isUp() { return link().isUp },
      send: (frame) => link().send(frame), platform: options.platform, backoff: options.reconnect,
    })
    this.#queries = new Queries(options, (frame) => this.#link.send(frame))
    this.#link = new Link({
      url: urls.webSocket, openSocket: options.openSocket, platform: options.platform,
      connectTimeoutMs: options.connectTimeoutMs, backoff: options.reconnect,
      firstAttemptsMax: options.connectAttemptsMax, attemptsMax: options.reconnect.attemptsMax,
    }, {
      up: (welcome) => this.#up(welcome),
      frame: (frame) => this.#frame(frame),
      down: (reason, retryInMs) => this.#down(reason, retryInMs),
      failed: (reason) => this.#failed(reason),
    })
  }

  /** Opens the connection; resolves with the node's welcome. Called by `connect`. */
  open(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#onReady = { resolve, reject }
      this.#link.start()
    })
  }

  get state(): ClientState {
    return this.#state
  }

  /** What the node said of itself and its limits, at the last connection. */
  get welcome(): Welcome {
    if (this.#welcome === undefined) throw new DbError('unreachable', 'there has been no connection yet')
    return this.#welcome
  }

  /** Assertions that were taken and neither acked nor refused yet. */
  get pendingAssertions(): number {
    return this.#pendingAssertions
  }

  // ---- writing ----

  /**
   * Writes one assertion; resolves when it is on the node's stable storage. Calls made in the same turn of the event loop
   * share a batch and its signature.
   * @throws {DbError} (as rejection) the refusal's code; `overloaded` where `pendingAssertionsMax` or `pendingBytesMax` are
   *   reached: await some, or use `stream`; `unreachable` where the client is closed or has given up.
   */
  async assert(draft: AssertionDraft): Promise<AckedAssertion> {
    if (!this.hasRoom) throw new DbError('overloaded', `${this.#pendingAssertions} assertions are pending; await some of them, or use stream()`)
    return this.#single.one(draft)
  }

  /**
   * Writes many, in as few batches as the limits allow, waiting for room where needed. Resolves with one ack a batch;
   * a refused assertion is a result with `ok: false`, not a rejection.
   * @throws {DbError} (as rejection) `unreachable` where the client is closed or gives up on the way.
   */
  async assertMany(drafts: Iterable<AssertionDraft>, options: StreamOptions = {}): Promise<BatchAck[]> {
    const acks: BatchAck[] = []
    for await (const ack of streamOf(this, drafts, options)) acks.push(ack)
    return acks.sort((a, b) => a.offset - b.offset)
  }

  /**
   * Writes what `source` yields and yields an ack a batch, in the order of their commit. The source is read only as
   * fast as the node takes it and the acks are consumed.
   * @throws {DbError} (from the iteration) as {@link assertMany}.
   */
  stream(
    source: AsyncIterable<AssertionDraft> | Iterable<AssertionDraft> | ReadableStream<AssertionDraft>, options: StreamOptions = {},
  ): AsyncIterableIterator<BatchAck> {
    return streamOf(this, source, options)
  }

  /** A sink for `pipeTo`. Its close waits for all acks; a refusal errors it, unless `onAck` is there to see it. */
  writable(options: StreamOptions & { readonly onAck?: (ack: BatchAck) => void } = {}): WritableStream<AssertionDraft> {
    return writableOf(this, options)
  }

  /** For `pipeThrough`: assertions in, acks out. */
  transform(options: StreamOptions = {}): { readonly writable: WritableStream<AssertionDraft>, readonly readable: ReadableStream<BatchAck> } {
    return transformOf(this, options)
  }

  // ---- reading ----

  /** The assertion with this id (32 bytes or 64 hex digits), or undefined. */
  get(id: Uint8Array | string): Promise<StoredAssertion | undefined> {
    return httpGet(this.#options.fetch, this.#urls.http, id, this.#options.queryTimeoutMs)
  }

  /**
   * What the node holds about a subject, resolved by a lens, or another kind of question. Those asked in one turn of the event loop
   * share a message; any number is under way at a time.
   * @throws {DbError} (as rejection) the refusal's code; `overloaded` where too many are pending; `timeout`; `unreachable` where the client
   *   is closed or has given up.
   */
  query(parameters: QueryParameters): Promise<QueryResult> {
    return this.#queries.ask(parameters)
  }

  /** Asks many, in order, waiting for room where needed. A query that is refused is an outcome with `ok: false`, not a rejection. */
  queryMany(list: Iterable<QueryParameters>): Promise<QueryOutcome[]> {
    return this.#queries.many(list)
  }

  /**
   * Follows the node's log: every assertion that matches, once, by ascending LSN, from now on or from an LSN. It survives lost
   * connections and restarts of the node without a gap. `break` in the loop ends it, and so does `close`.
   * @throws {DbError} `parameter_invalid`; and from the iteration `lsn_in_future`, `lsn_unavailable`, `unreachable`.
   */
  subscribe(filter: SubscribeFilter = {}, options: SubscribeOptions = {}): Subscription {
    this.checkOpen()
    return this.#subscriptions.subscribe(filter, options)
  }

  /**
   * The answers of a lens: those of now, and again whenever a winner, its lifecycle or a status has changed. Changes that come faster than they
   * are consumed are told as one.
   * @throws {DbError} `parameter_invalid`, also from the iteration; `unreachable`.
   */
  watch(parameters: WatchParameters): Watch {
    this.checkOpen()
    return this.#subscriptions.watch(parameters)
  }

  // ---- end ----

  /**
   * Sends what waits, waits for every ack and receipt, closes. Queries under way reject with `unreachable`.
   * @throws {DbError} (as rejection) `unreachable` where that took longer than `closeTimeoutMs`, or the client had failed.
   */
  async close(): Promise<void> {
    if (this.#state === 'closed') return
    if (this.#failure !== undefined) throw this.#failure
    for (const session of this.#lanes) session.flush()
    if (!(await this.#drained(this.#options.closeTimeoutMs))) {
      this.checkOpen()
      const count = this.#pendingAssertions
      this.abort()
      throw new DbError('unreachable', `closed with ${count} assertions that no ack has come for`)
    }
    this.#end('closed', new DbError('unreachable', 'the client is closed'))
  }

  /** Closes at once. What is pending rejects with `unreachable`: it may be stored or not. */
  abort(): void {
    if (this.#state === 'closed' || this.#state === 'failed') return
    this.#end('closed', new DbError('unreachable', 'the client was closed before an ack came; it may be stored'))
  }

  #drained(timeoutMs: number): Promise<boolean> {
    if (this.#batches.size === 0 && this.#pendingAssertions === 0) return Promise.resolve(true)
    return new Promise((resolve) => {
      const stop = this.#options.platform.timer(timeoutMs, () => resolve(false))
      this.#idle.push(() => {
        stop()
        resolve(this.#failure === undefined)
      })
    })
  }

  // ---- for sessions (streams.ts) ----

  get hasRoom(): boolean {
    return this.#pendingAssertions < this.#options.pendingAssertionsMax && this.#pendingBytes < this.#options.pendingBytesMax
  }

  /** Resolves when there is room, or the client has ended. */
  whenRoom(): Promise<void> {
    if (this.hasRoom || this.#ended) return Promise.resolve()
    return new Promise((resolve) => this.#room.push(resolve))
  }

  get limits(): LaneLimits {
    return this.#limits
  }

  /** @throws {DbError} why nothing can be written any more. */
  checkOpen(): void {
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Encodes and counts one assertion as pending. @throws {DbError} the rule that it breaks. */
  encode(draft: AssertionDraft): { id: Uint8Array, encoded: Uint8Array } {
    const { signer, platform } = this.#options
    const assertion = completeDraft(draft, signer?.publicKey, platform.wallMs())
    const id = assertionIdOf(assertion)
    checkRecord(assertion)
    const encoded = encodeAssertion(assertion)
    const bytes = Lane.itemBytes(encoded.length, this.#limits.signedSingly) + BATCH_OVERHEAD_BYTES
    if (bytes > this.welcome.frameBytesMax) {
      throw new DbError('frame_too_large', `the assertion needs a frame of ${bytes} bytes; the node takes ${this.welcome.frameBytesMax}`)
    }
    return { id, encoded }
  }

  taken(item: LaneItem): void {
    this.#pendingAssertions++
    this.#pendingBytes += 'error' in item ? 0 : item.encoded.length
  }

  /**
   * Flushes `session` when its turn of the event loop ends (a stream's: in the next one) if nothing is under way, else when all of
   * that is acked or after `lingerMs`.
   */
  scheduleFlush(session: AssertSession): void {
    this.#lanes.add(session)
    const isIdle = this.#batches.size === 0
    if (isIdle && !session.isStream) queueMicrotask(() => session.flush())
    else session.stopTimer ??= this.#options.platform.timer(isIdle ? 0 : this.#options.batch.lingerMs, () => session.flush())
  }

  nextTurn(): Promise<void> {
    return new Promise((resolve) => void this.#options.platform.timer(0, resolve))
  }

  flushed(session: AssertSession): void {
    this.#lanes.delete(session)
  }

  /** Makes a batch of the items and sends it. */
  submit(items: LaneItem[], offset: number, wantsReceipt: boolean): Promise<BatchAck> {
    const requestId = this.#nextRequestId++
    const bytes = items.reduce((sum, item) => sum + ('error' in item ? 0 : item.encoded.length), 0)
    const done = new Promise<BatchAck>((resolve, reject) => {
      const receipt = wantsReceipt ? receiptWait() : undefined
      this.#batches.set(requestId, { offset, items, bytes, resolve, reject, receipt, isAcked: false })
    })
    this.#sealing = this.#sealing.then(() => this.#seal(requestId))
    return done
  }

  async #seal(requestId: bigint): Promise<void> {
    const batch = this.#batches.get(requestId)
    if (batch === undefined) return
    const items = batch.items.flatMap((item) => ('error' in item ? [] : [item]))
    if (items.length === 0) return this.#settleRefused(requestId, batch, new DbError('batch_empty', 'nothing to send'))
    const { signer, sign } = this.#options
    const mode: SignMode = signer === undefined ? 'none' : sign
    try {
      const frame = await sealBatch({ requestId, wantsReceipt: batch.receipt !== undefined, items, mode, signer, realmHash: this.#realmHash })
      if (!this.#batches.has(requestId)) return
      this.#outbox.add(requestId, frame, batch.receipt !== undefined)
      this.#pump()
    } catch (error) {
      this.#settleRefused(requestId, batch, isDbError(error) ? error
        : new DbError('internal', `the batch could not be encoded: ${String(error)}`, {}, { cause: error }))
    }
  }

  // ---- the connection ----

  #pump(): void {
    if (!this.#link.isUp) return
    const now = this.#options.platform.monoMs()
    for (let entry = this.#outbox.next(now); entry !== undefined; entry = this.#outbox.next(now)) this.#link.send(entry.frame)
    const due = this.#outbox.nextDueMs()
    this.#stopPump?.()
    this.#stopPump = due === undefined ? undefined : this.#options.platform.timer(Math.max(1, due - now), () => this.#pump())
  }

  #up(welcome: Welcome): void {
    const { realm, signer, sign, batch } = this.#options
    const expected = realm ?? this.#welcome?.realm
    if (expected !== undefined && expected !== welcome.realm) {
      throw new DbError('parameter_invalid', `the node is of realm "${welcome.realm}", not "${expected}"`)
    }
    if (signer === undefined && welcome.signaturesRequired && !this.#options.readOnly) {
      throw new DbError('signature_missing', 'the node takes signed assertions only; pass a signer')
    }
    this.#welcome = welcome
    this.#realmHash = realmHashOf(welcome.realm)
    this.#limits = {
      assertionsMax: Math.max(1, Math.min(batch.assertionsMax, welcome.batchAssertionsMax)),
      bytesMax: Math.min(batch.bytesMax, welcome.frameBytesMax),
      signedSingly: signer !== undefined && sign === 'single',
    }
    this.#outbox.connected(welcome.creditBytes)
    this.#state = 'up'
    this.#onReady?.resolve()
    this.#onReady = undefined
    this.#options.onState?.({ state: 'up' })
    this.#subscriptions.up()
    this.#queries.connected(welcome.queriesMax)
    this.#pump()
  }

  #down(reason: DbError, retryInMs: number): void {
    this.#outbox.disconnected()
    this.#subscriptions.down()
    this.#queries.disconnected()
    this.#state = 'down'
    this.#options.onState?.({ state: 'down', reason, retryInMs })
  }

  #failed(reason: DbError): void {
    if (this.#onReady !== undefined) {
      this.#onReady.reject(reason)
      this.#onReady = undefined
    }
    this.#options.onState?.({ state: 'failed', reason })
    this.#end('failed', ERROR_CODES[reason.code].outcome === 'info' ? reason
      : new DbError('unreachable', `gave up: ${reason.message}`, { because: reason.code }, { cause: reason }))
  }

  get #ended(): boolean {
    return this.#state === 'closed' || this.#state === 'failed'
  }

  #end(state: 'closed' | 'failed', error: DbError): void {
    this.#state = state
    this.#failure = error
    this.#stopPump?.()
    this.#link.stop()
    this.#outbox.drain()
    this.#subscriptions.end(state === 'failed' ? error : undefined)
    this.#queries.end(error)
    for (const session of this.#lanes) session.fail(error)
    this.#lanes.clear()
    for (const batch of this.#batches.values()) {
      batch.receipt?.stopTimer?.()
      batch.receipt?.reject(error)
      if (!batch.isAcked) batch.reject(error)
    }
    this.#batches.clear()
    this.#pendingAssertions = 0
    this.#pendingBytes = 0
    this.#wake()
  }

  #frame(frame: ServerFrame): void {
    if (frame.kind === 'acks') {
      this.#outbox.creditBack(frame.creditBytes)
      for (const ack of frame.acks) this.#ack(ack)
      this.#pump()
      if (this.#batches.size === 0) for (const session of [...this.#lanes]) session.flush()
    } else if (frame.kind === 'receipt') {
      this.#receipt(frame)
    } else if (frame.kind === 'replies') {
      for (const reply of frame.replies) this.#queries.reply(reply)
      this.#queries.flush()
    } else if (frame.kind !== 'welcome' && frame.kind !== 'error') {
      this.#subscriptions.frame(frame)
    }
  }

  #ack(ack: AckFrame): void {
    const entry = this.#outbox.sent(ack.requestId)
    const batch = this.#batches.get(ack.requestId)
    if (entry === undefined || batch === undefined) {
      throw new DbError('malformed_frame', `the server sent an ack for request ${ack.requestId}, which is not under way`)
    }
    if (ack.refused !== undefined) return this.#refused(entry, batch, ack, ack.refused)
    const results = resultsOf(batch.items, ack)
    this.#outbox.answered(entry)
    const { receipt } = batch
    // A second ack is that of a resend for the receipt's sake: the first one stands.
    if (!batch.isAcked) {
      batch.isAcked = true
      batch.resolve(batchAckOf(ack.requestId, batch.offset, results, receipt?.promise))
    }
    if (receipt === undefined) this.#settle(entry, batch)
    else receipt.stopTimer ??= this.#options.platform.timer(this.#options.receiptTimeoutMs, () => this.#receiptMissing(ack.requestId, batch))
  }

  #refused(entry: OutboxEntry, batch: Batch, ack: AckFrame, code: NonNullable<AckFrame['refused']>): void {
    const { platform, refusalRetriesMax, reconnect } = this.#options
    if (ERROR_CODES[code].retryable && entry.refusals < refusalRetriesMax) {
      const delayMs = Math.max(ack.retryAfterMs, backoffMs(entry.refusals, reconnect, platform.random()))
      this.#outbox.delay(entry, platform.monoMs() + delayMs)
      return
    }
    const { title } = ERROR_CODES[code]
    this.#outbox.answered(entry)
    this.#outbox.settle(entry)
    this.#settleRefused(ack.requestId, batch, new DbError(code, ack.detail === '' ? title : `${title}. ${ack.detail}`, { from: 'server' }))
  }

  #receipt(frame: Extract<ServerFrame, { kind: 'receipt' }>): void {
    const entry = this.#outbox.sent(frame.requestId)
    const batch = this.#batches.get(frame.requestId)
    // One that was given up, or was sent for both of two sends of the same batch.
    if (entry === undefined || batch?.receipt === undefined || !batch.isAcked) return
    const ids = batch.items.flatMap((item) => ('error' in item ? [] : [item.id]))
    if (bytesEqual(frame.receipt.batchRoot, rootOfIds(concatBytes(...ids)))) {
      batch.receipt.resolve({ ...frame.receipt, durability: frame.durability, ids })
    } else {
      batch.receipt.reject(new DbError('malformed_frame', 'the server sent a receipt for other ids'))
    }
    this.#settle(entry, batch)
  }

  #receiptMissing(requestId: bigint, batch: Batch): void {
    batch.receipt?.reject(new DbError('timeout', `no receipt in ${this.#options.receiptTimeoutMs} ms; the assertions are stored`))
    const entry = this.#outbox.sent(requestId)
    // Not there: the connection is down, and the batch waits to be sent again. Its next ack starts the time anew.
    if (entry === undefined) batch.receipt!.stopTimer = undefined
    else this.#settle(entry, batch)
  }

  #settle(entry: OutboxEntry, batch: Batch): void {
    this.#outbox.settle(entry)
    this.#forget(entry.requestId, batch)
  }

  #settleRefused(requestId: bigint, batch: Batch, error: DbError): void {
    batch.receipt?.reject(error)
    if (!batch.isAcked) {
      batch.isAcked = true
      batch.resolve(batchAckOf(requestId, batch.offset, refusedResults(batch.items, error), batch.receipt?.promise))
    }
    this.#forget(requestId, batch)
  }

  #forget(requestId: bigint, batch: Batch): void {
    if (!this.#batches.delete(requestId)) return
    batch.receipt?.stopTimer?.()
    this.#pendingAssertions -= batch.items.length
    this.#pendingBytes -= batch.bytes
    this.#wake()
  }

  #wake(): void {
    if (this.hasRoom || this.#ended) {
      const waiting = this.#room
      this.#room = []
      for (const resolve of waiting) resolve()
    }
    if (this.#batches.size === 0 && this.#pendingAssertions === 0) {
      const waiting = this.#idle
      this.#idle = []
      for (const resolve of waiting) resolve()
    }
  }
}
