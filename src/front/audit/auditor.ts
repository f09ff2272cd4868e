import { join } from 'node:path'
import { toHex } from '../../base/bytes.ts'
import { DbError } from '../../base/errors.ts'
import type { Clock } from '../../base/clock.ts'
import type { Secrets } from '../../base/random.ts'
import type { Config } from '../../config/options.ts'
import type { QueryReply } from '../../fbs/stemedb/query-reply.ts'
import type { ThreadMetrics } from '../../observe/thread-metrics.ts'
import { agentFromText } from '../../record/agent-key.ts'
import { AuditLog } from './audit-log.ts'
import { AuditReader, type AuditFilter, type AuditPage } from './audit-reader.ts'
import { answerOf, parametersOf, type AuditParameters, type AuditRecord, type AuditWho } from './audit-record.ts'
import { AuditSegments } from './audit-segments.ts'

export interface AuditorParts {
  readonly config: Pick<Config, 'dataDir' | 'auditMode' | 'auditSamplePerMille' | 'auditBytesMax'>
  readonly clock: Clock
  readonly secrets: Secrets
  readonly metrics: ThreadMetrics
  /** Whether the disk is so full that writes are refused: then records are dropped. */
  readonly isDiskFull: () => boolean
  readonly onFault: (error: unknown) => void
}

const CHANCE_BYTES = 6
const TIME_DIGITS = 12
/** Chance for so many queries is drawn at a time. */
const DRAW_COUNT = 128
const PER_MILLE = 1000

/** A query under way that will be recorded. */
export interface AuditedQuery {
  /**
   * Records it, once. Returns its id, or undefined where it was dropped.
   * @param reply undefined: nobody waits for one any more
   */
  end(reply: QueryReply | undefined): string | undefined
}

/**
 * Records queries: who asked what, through which lens, and which assertions won. All of them, or one in so many, or none. Takes no
 * time that a query would feel: a record is made and handed to {@link AuditLog}, which writes it later or drops and counts it.
 */
export class Auditor {
  readonly mode: Config['auditMode']
  readonly #parts: AuditorParts
  readonly #segments: AuditSegments
  readonly #log: AuditLog
  readonly #reader: AuditReader
  #chance: Uint8Array = new Uint8Array(0)
  #chanceAt = 0
  #lastAtMs = 0
  #opened: Promise<void> | undefined

  constructor(parts: AuditorParts) {
    const { config, clock, metrics, onFault } = parts
    this.#parts = parts
    this.mode = config.auditMode
    this.#segments = new AuditSegments(join(config.dataDir, 'audit'), config.auditBytesMax)
    this.#log = new AuditLog({ segments: this.#segments, clock, metrics, onFault })
    this.#reader = new AuditReader(this.#segments, this.#log)
  }

  /** Finds the records of earlier runs; before the first query. @throws {DbError} as rejection: `io_error` */
  open(): Promise<void> {
    this.#opened ??= this.#segments.open().then(() => {
      this.#lastAtMs = Math.max(this.#lastAtMs, this.#segments.lastAtMs)
      this.#parts.metrics.set('audit_disk_usage_bytes', this.#segments.bytes)
    }, (cause: unknown) => {
      this.#opened = undefined
      throw new DbError('io_error', `the audit can not be read: ${String(cause)}`, {}, { cause })
    })
    return this.#opened
  }

  /**
   * To be called when a query is asked. Undefined: it is not recorded.
   * @param request the QueryRequest buffer; its memory may be reused after the call
   */
  begin(who: AuditWho, endpoint: string, request: Uint8Array): AuditedQuery | undefined {
    if (!this.#isWanted()) return undefined
    const startedMonoMs = this.#parts.clock.monoMs()
    // Now, and not when it is over: so what is kept is bounded, however long the request is.
    const parameters = parametersOf(request)
    let isOver = false
    return {
      end: (reply) => {
        if (isOver) return undefined
        isOver = true
        return this.#record(who, endpoint, parameters, reply, startedMonoMs)
      },
    }
  }

  async list(filter: AuditFilter): Promise<AuditPage> {
    await this.open()
    return this.#reader.list(filter)
  }

  async get(queryId: string): Promise<AuditRecord | undefined> {
    await this.open()
    return this.#reader.get(queryId)
  }

  /** Writes what is left. Nothing is to be recorded afterwards. */
  close(): Promise<void> {
    return this.#log.close()
  }

  #isWanted(): boolean {
    if (this.mode !== 'sampled') return this.mode === 'full'
    const chance = this.#draw(2)
    // Of 65,536 equal chances.
    return ((chance[0]! << 8 | chance[1]!) * PER_MILLE) >>> 16 < this.#parts.config.auditSamplePerMille
  }

  #record(who: AuditWho, endpoint: string, parameters: AuditParameters, reply: QueryReply | undefined, startedMonoMs: number): string | undefined {
    const { clock, metrics, isDiskFull } = this.#parts
    if (isDiskFull()) {
      metrics.inc('audit_dropped_total')
      return undefined
    }
    // Never descending, whatever the wall clock does: files and pages are in the order of time.
    this.#lastAtMs = Math.max(this.#lastAtMs, clock.wallMs())
    const at = this.#lastAtMs
    const record: AuditRecord = {
      query_id: at.toString(16).padStart(TIME_DIGITS, '0') + toHex(this.#draw(CHANCE_BYTES)), at, who, endpoint,
      parameters, ...answerOf(reply, parameters.kind), latency_us: Math.round((clock.monoMs() - startedMonoMs) * 1000),
    }
    return this.#log.append(JSON.stringify(record), at) ? record.query_id : undefined
  }

  #draw(count: number): Uint8Array {
    if (this.#chanceAt + count > this.#chance.length) {
      this.#chance = this.#parts.secrets.bytes(DRAW_COUNT * CHANCE_BYTES)
      this.#chanceAt = 0
    }
    this.#chanceAt += count
    return this.#chance.subarray(this.#chanceAt - count, this.#chanceAt)
  }
}

/** An address, as uWebSockets writes it, in the form that people read: an IPv4 address as such. */
export const addressText = (text: ArrayBuffer): string => Buffer.from(text).toString('latin1').replace(/^(0000:){5}ffff:/, '::ffff:')

/** Who asks. A header that is no key names nobody. */
export function whoOf(agentHeader: string, address: string): AuditWho {
  const agent = agentHeader === '' ? undefined : agentFromText(agentHeader)
  return { ...(agent === undefined ? {} : { agent: toHex(agent) }), address }
}
