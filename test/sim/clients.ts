import { ByteBuffer } from 'flatbuffers'
import { must } from '../../src/base/assert.ts'
import { fromHex } from '../../src/base/bytes.ts'
import { ERROR_CODES, errorNameOf } from '../../src/base/error-codes.ts'
import { QueryReply } from '../../src/fbs/stemedb/query-reply.ts'
import type { AckView } from '../../src/commit/ack.layout.ts'
import { encodeIdQuery, encodeQuery, foundToJson } from '../../src/front/query.codec.ts'
import type { PipelineHandler } from '../../src/front/pipeline.ts'
import type { RingPipeline } from '../../src/node/ring-pipeline.ts'
import { BATCH_FLAG_RECEIPT, encodeBatch } from '../../src/wire/batch.codec.ts'
import type { Claim, ClaimSource } from '../support/history.claims.ts'
import { Violation } from './oracle.ts'
import type { World } from './world.ts'

interface SentBatch {
  readonly requestId: bigint
  readonly claims: readonly Claim[]
  readonly frame: Uint8Array
}

interface Client {
  readonly slot: number
  /** Counts connections: an answer to an earlier one reaches nobody. */
  generation: number
  readonly underWay: Map<bigint, SentBatch>
  /** Without an answer: to be sent again. */
  readonly unanswered: SentBatch[]
}

interface Query {
  readonly id: string | undefined
  readonly subject: string | undefined
  /** Somebody had been told of this id before the query was sent. */
  readonly wasKnown: boolean
}

/** What explains an answer. */
export interface DiskState {
  /** A sync is under way. */
  readonly isSyncing: boolean
  /** A call has failed in this life. */
  readonly hasFailed: boolean
}

/** What a query about everything of one subject said. */
export interface SubjectAnswer {
  readonly subject: string
  readonly predicate: string
  readonly candidates: number
}

const QUERIES_MAX = 8

/** Agents that submit, read back, lose their connection, and send again what got no answer. */
export class Clients implements PipelineHandler {
  readonly #world: World
  readonly #source: ClaimSource
  readonly #clients: readonly Client[]
  readonly #claims: Claim[] = []
  /** Ids that an ack or a read has shown to somebody. */
  readonly #known = new Set<string>()
  readonly #queries = new Map<bigint, Query>()
  #pipeline: RingPipeline | undefined
  #disk: DiskState = { isSyncing: false, hasFailed: false }
  #nextRequest = 1n
  /** Of the life that is: what is acked as a duplicate of an earlier one. */
  #lifeFirstLsn = 1
  /** Answers to {@link ask}. */
  readonly subjectAnswers: SubjectAnswer[] = []

  constructor(world: World, source: ClaimSource) {
    this.#world = world
    this.#source = source
    this.#clients = Array.from({ length: world.swarm.clients }, (_, slot) => ({ slot, generation: 0, underWay: new Map(), unanswered: [] }))
  }

  get claims(): readonly Claim[] {
    return this.#claims
  }

  /** Nothing waits for an answer. */
  get isAtRest(): boolean {
    return this.#queries.size === 0 && this.#clients.every((client) => client.underWay.size === 0 && client.unanswered.length === 0)
  }

  /** A node takes work. @param disk as it is at any moment. */
  connect(pipeline: RingPipeline, disk: DiskState): void {
    this.#pipeline = pipeline
    this.#disk = disk
    this.#lifeFirstLsn = this.#world.oracle.durableCount + 1
  }

  /** It does no more: whatever was under way has no answer. */
  disconnect(): void {
    this.#pipeline = undefined
    this.#queries.clear()
    for (const client of this.#clients) this.#reset(client)
  }

  /** One client does one thing. */
  step(): boolean {
    if (this.#pipeline === undefined) return false
    const { swarm, isCalm } = this.#world
    const client = this.#clients[this.#world.below(this.#clients.length)]!
    const choice = this.#world.below(10)
    // Who wants to come to rest asks for nothing new.
    if (isCalm || choice < 5) return this.#submit(client, isCalm)
    if (choice < 9) return this.#query(choice === 8)
    if (!swarm.resets || client.underWay.size === 0 || !this.#world.rarely(4)) return false
    this.#world.count('resets')
    this.#reset(client)
    return true
  }

  #reset(client: Client): void {
    client.generation++
    client.unanswered.push(...client.underWay.values())
    client.underWay.clear()
  }

  #submit(client: Client, onlyAgain: boolean): boolean {
    if (client.underWay.size >= this.#world.swarm.window) return false
    const again = client.unanswered.length > 0 && (onlyAgain || this.#world.below(3) > 0)
    if (!again && onlyAgain) return false
    const batch = again ? client.unanswered.shift()! : this.#newBatch()
    if (!this.#pipeline!.submit(client.slot, client.generation, batch.frame)) {
      this.#world.count('overloads')
      client.unanswered.push(batch)
      return false
    }
    if (again) this.#world.count('resends')
    this.#world.trace.note(`submit ${client.slot}.${client.generation} ${batch.requestId}`)
    for (const claim of batch.claims) this.#world.oracle.sent(claim.id)
    client.underWay.set(batch.requestId, batch)
    return true
  }

  #newBatch(): SentBatch {
    const { swarm } = this.#world
    return this.#batchOf(Array.from({ length: 1 + this.#world.below(swarm.batchMax) }, () => this.#claim()))
  }

  #batchOf(claims: readonly Claim[]): SentBatch {
    const requestId = this.#nextRequest++
    const flags = this.#world.rarely(4) ? BATCH_FLAG_RECEIPT : 0
    return { requestId, claims, frame: encodeBatch({ requestId, flags, items: claims.map((claim) => ({ assertion: claim.bytes })) }) }
  }

  /** A new one, or one that somebody has sent before, lately or long ago. */
  #claim(): Claim {
    const made = this.#claims.length
    if (made > 0 && (made >= this.#world.swarm.claimsMax || this.#world.rarely(5))) {
      return this.#claims[this.#world.rarely(2) ? made - 1 - this.#world.below(Math.min(10, made)) : this.#world.below(made)]!
    }
    const claim = this.#source.next()
    this.#claims.push(claim)
    return claim
  }

  #query(bySubject: boolean): boolean {
    if (this.#queries.size >= QUERIES_MAX || this.#claims.length === 0) return false
    const recent = this.#world.rarely(2) ? Math.min(8, this.#claims.length) : this.#claims.length
    const claim = this.#claims[this.#claims.length - 1 - this.#world.below(recent)]!
    return bySubject ? this.ask(claim.assertion.subject) : this.askId(claim.id)
  }

  askId(id: string): boolean {
    const requestId = this.#nextRequest++
    if (!this.#pipeline!.query(encodeIdQuery(requestId, must(fromHex(id))))) return false
    this.#queries.set(requestId, { id, subject: undefined, wasKnown: this.#known.has(id) })
    return true
  }

  ask(subject: string): boolean {
    const requestId = this.#nextRequest++
    const query = { subject, subjectIsPrefix: false, predicate: undefined, lens: 'recency', limit: 100 }
    if (!this.#pipeline!.query(encodeQuery(requestId, query))) return false
    this.#queries.set(requestId, { id: undefined, subject, wasKnown: false })
    return true
  }

  readonly receipt = (_slot: number, _generation: number, _frame: Uint8Array): void => {
    this.#world.count('receipts')
  }

  readonly flush = (): void => undefined

  readonly ack = (ack: AckView): void => {
    const { trace } = this.#world
    const client = this.#clients[ack.slot]!
    const heard = client.generation === ack.generation
    const batch = heard ? client.underWay.get(ack.requestId) : this.#unheard(client, ack.requestId)
    const refused = ack.refused === 0 ? '' : errorNameOf(ack.refused)
    trace.note(`ack ${ack.slot}.${ack.generation} ${ack.requestId} ${refused} ${ack.firstLsn} ${ack.firstHlc} ${ack.accepted}`)
    if (heard && batch === undefined) throw new Violation(`an ack for request ${ack.requestId}, which waits for none`)
    if (heard) client.underWay.delete(ack.requestId)
    if (refused !== '') this.#refused(client, batch, heard, ERROR_CODES[errorNameOf(ack.refused)])
    else if (batch !== undefined) this.#done(client, batch, ack)
  }

  /** What nobody hears is judged all the same, where it is still known what it was about. */
  #unheard(client: Client, requestId: bigint): SentBatch | undefined {
    return client.unanswered.find((batch) => batch.requestId === requestId) ?? client.underWay.get(requestId)
  }

  #refused(client: Client, batch: SentBatch | undefined, heard: boolean, code: (typeof ERROR_CODES)[keyof typeof ERROR_CODES]): void {
    if (!code.retryable) throw new Violation(`a sound batch was refused: ${code.title}`)
    if (code.outcome === 'info') this.#world.count('unknownOutcomes')
    if (code.number === ERROR_CODES.disk_full.number) this.#world.count('diskFullAnswers')
    if (batch === undefined) return
    if (code.outcome === 'fail') for (const claim of batch.claims) this.#world.oracle.closed(claim.id)
    if (heard) client.unanswered.push(batch)
  }

  #done(client: Client, batch: SentBatch, ack: AckView): void {
    const { oracle } = this.#world
    let next = 0
    let rank = 0
    const unread: Claim[] = []
    batch.claims.forEach((claim, index) => {
      const outcome = next < ack.outcomeCount && ack.outcomeIndex(next) === index ? next++ : -1
      if (outcome >= 0 && ack.outcomeCode(outcome) === ERROR_CODES.io_error.number && this.#disk.hasFailed) {
        // Nobody could look whether it is known.
        unread.push(claim)
        return
      }
      oracle.closed(claim.id)
      this.#known.add(claim.id)
      if (outcome < 0) {
        oracle.promised(claim.id, Number(ack.firstLsn) + rank, ack.firstHlc + BigInt(rank), 'an ack')
        this.#world.count('acked')
        rank++
        return
      }
      const code = ack.outcomeCode(outcome)
      if (code !== ERROR_CODES.duplicate.number) throw new Violation(`a sound claim was refused: ${errorNameOf(code)}`)
      const lsn = Number(ack.outcomeLsn(outcome))
      oracle.promised(claim.id, lsn, ack.outcomeHlc(outcome), 'a duplicate\'s ack')
      this.#world.count(lsn < this.#lifeFirstLsn ? 'duplicatesOfEarlierLives' : 'duplicates')
    })
    if (unread.length > 0) client.unanswered.push(this.#batchOf(unread))
    if (rank !== ack.accepted || next !== ack.outcomeCount) throw new Violation(`the ack of request ${ack.requestId} does not add up`)
  }

  readonly reply = (bytes: Uint8Array): void => {
    const reply = QueryReply.getRootAsQueryReply(new ByteBuffer(bytes.slice()))
    const query = this.#queries.get(reply.requestId())
    if (query === undefined) throw new Violation(`an answer to query ${reply.requestId()}, which waits for none`)
    this.#queries.delete(reply.requestId())
    const { trace, oracle } = this.#world
    trace.note(`reply ${reply.requestId()} ${reply.refused()} ${reply.seenLsn()}`)
    if (reply.refused() !== 0) {
      // The disk may fail to read; nothing else may go wrong here.
      if (reply.refused() !== ERROR_CODES.io_error.number || !this.#disk.hasFailed) throw new Violation(`a read was refused: ${reply.detail()}`)
      return
    }
    this.#world.count('reads')
    if (this.#disk.isSyncing) this.#world.count('readsWithinSyncs')
    const found = reply.found()
    if (query.id !== undefined) {
      if (found !== null) this.#seen(query.id, foundToJson(found))
      else if (query.wasKnown) throw new Violation(`${query.id} was there, and a read does not find it any more`)
      else this.#world.count('readsNotFound')
    }
    for (let i = 0; i < reply.answersLength(); i++) {
      const answer = reply.answers(i)!
      const winner = foundToJson(answer.winner()!)
      this.#seen(winner.id, winner)
      this.subjectAnswers.push({ subject: answer.subject(), predicate: answer.predicate(), candidates: answer.candidates() })
    }
    if (Number(reply.seenLsn()) > oracle.scannedLsn) throw new Violation(`a read saw LSN ${reply.seenLsn()}, the log ends at ${oracle.scannedLsn}`)
  }

  #seen(id: string, found: { id: string, lsn: number, hlc: string }): void {
    if (found.id !== id) throw new Violation(`a read of ${id} gives ${found.id}`)
    this.#world.oracle.promised(id, found.lsn, BigInt(found.hlc), 'a read')
    this.#known.add(id)
  }
}
