import type { FileHandle } from 'node:fs/promises'
import { DbError } from '../../base/errors.ts'
import { AUDIT_BLOCK_BYTES, AUDIT_LINE_BYTES_MAX, AUDIT_READS_MAX, AUDIT_SCAN_BYTES_MAX } from './audit-limits.ts'
import type { AuditLog } from './audit-log.ts'
import type { AuditRecord } from './audit-record.ts'
import type { AuditSegment, AuditSegments } from './audit-segments.ts'
import { linesBackwards } from './lines-backwards.ts'

export interface AuditFilter {
  readonly limit: number
  /** 64 hex digits in lower case. */
  readonly agent?: string | undefined
  /** Made at or after, and before, Unix milliseconds. */
  readonly fromMs?: number | undefined
  readonly untilMs?: number | undefined
  /** As the page before gave it. */
  readonly cursor?: string | undefined
}

export interface AuditPage {
  /** The newest first. */
  readonly records: readonly AuditRecord[]
  /** Names the next page; it may be empty where a filter leaves out much. Absent behind the last one. */
  readonly cursor?: string
}

/** A segment, and how far into it the next page reaches. */
interface Position {
  readonly number: number
  readonly end: number
}

const CURSOR = /^(\d{1,10})-(\d{1,12})$/
export const QUERY_ID = /^[0-9a-f]{24}$/
const TIME_DIGITS = 12

/**
 * Reads the audit's files in slices, so that neither memory nor the event loop feels how much there is. Files end where this process's
 * writes have come to; what is no whole record (torn by a crash) is stepped over.
 */
export class AuditReader {
  readonly #segments: AuditSegments
  readonly #log: AuditLog
  #readers = 0

  constructor(segments: AuditSegments, log: AuditLog) {
    this.#segments = segments
    this.#log = log
  }

  /** @throws {DbError} as rejection: `parameter_invalid` for the cursor, `overloaded`, `io_error` */
  list(filter: AuditFilter): Promise<AuditPage> {
    return this.#bounded(() => this.#list(filter))
  }

  /** The record of a query, undefined where there is none (any more). @throws {DbError} as rejection: `overloaded`, `io_error` */
  get(queryId: string): Promise<AuditRecord | undefined> {
    return this.#bounded(() => this.#get(queryId))
  }

  async #bounded<T>(read: () => Promise<T>): Promise<T> {
    if (this.#readers >= AUDIT_READS_MAX) throw new DbError('overloaded', `${AUDIT_READS_MAX} requests are reading the audit`)
    this.#readers++
    try {
      await this.#log.flushed()
      return await read()
    } catch (cause) {
      if (cause instanceof DbError) throw cause
      throw new DbError('io_error', `the audit can not be read: ${String(cause)}`, {}, { cause })
    } finally {
      this.#readers--
    }
  }

  async #list(filter: AuditFilter): Promise<AuditPage> {
    const { fromMs = -Infinity, untilMs = Infinity } = filter
    const segments = this.#segments.segments
    let position: Position | undefined = filter.cursor === undefined ? endOf(segments.at(-1)) : positionOf(filter.cursor, segments)
    const page = new Page(filter)
    while (position !== undefined) {
      const { number, end } = position
      const index = segments.findIndex((segment) => segment.number === number)
      const segment = segments[index]
      if (segment === undefined) break
      const next = segments[index + 1]
      if (next !== undefined && next.firstAtMs < fromMs) break
      if (segment.firstAtMs < untilMs) {
        const file = await this.#segments.read(number)
        if (file === undefined) break // rotated away meanwhile, and so is all before it
        const stoppedAt = await page.readFrom(file, number, end)
        if (stoppedAt !== undefined) return { records: page.records, cursor: stoppedAt }
        if (page.isPastStart) break
      }
      position = endOf(segments[index - 1])
    }
    return { records: page.records }
  }

  async #get(queryId: string): Promise<AuditRecord | undefined> {
    const atMs = Number.parseInt(queryId.slice(0, TIME_DIGITS), 16)
    const { segments } = this.#segments
    for (let index = segments.length - 1; index >= 0; index--) {
      const segment = segments[index]!
      if (segment.firstAtMs > atMs) continue
      const file = await this.#segments.read(segment.number)
      const found = file === undefined ? undefined : await closing(file, () => findRecord(file, segment.bytes, queryId))
      if (found !== undefined || segment.firstAtMs < atMs) return found
      // The records of one millisecond may stand in two files.
    }
    return undefined
  }
}

async function closing<T>(file: FileHandle, read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } finally {
    await file.close()
  }
}

const endOf = (segment: AuditSegment | undefined): Position | undefined =>
  segment === undefined ? undefined : { number: segment.number, end: segment.bytes }

/** @throws {DbError} `parameter_invalid` for what is no cursor, or leads to records that are gone. */
function positionOf(cursor: string, segments: readonly AuditSegment[]): Position {
  const refuse = (why: string): never => {
    throw new DbError('parameter_invalid', `cursor ${why}`, { parameter: 'cursor' })
  }
  const match = CURSOR.exec(cursor) ?? refuse('is none that this path gives')
  const [number, end] = [Number(match[1]), Number(match[2])]
  const segment = segments.find((candidate) => candidate.number === number)
  if (segment === undefined) {
    const oldest = segments[0]
    refuse(oldest === undefined || number > oldest.number ? 'names no file of the audit'
      : `is too old: its records were rotated away; the oldest that is kept is of ${new Date(oldest.firstAtMs).toISOString()}`)
  }
  return end <= segment!.bytes ? { number, end } : refuse('names no record')
}

/** A record of ours, undefined where the line is torn. Other files than this program's are nobody's business to put there. */
function recordOf(line: string): AuditRecord | undefined {
  try {
    const value = JSON.parse(line) as AuditRecord | null
    return typeof value === 'object' && value !== null && typeof value.query_id === 'string' && typeof value.at === 'number' ? value : undefined
  } catch {
    return undefined // torn by a crash, or damaged
  }
}

/** Gathers records that pass the filter, until one of its bounds is reached. */
class Page {
  readonly records: AuditRecord[] = []
  /** A record from before `fromMs` was met: all that is left is older still. */
  isPastStart = false
  readonly #filter: AuditFilter
  #bytes = 0

  constructor(filter: AuditFilter) {
    this.#filter = filter
  }

  /** Reads a file backwards from `end`, and closes it. The cursor of the next page where a bound was reached. */
  readFrom(file: FileHandle, number: number, end: number): Promise<string | undefined> {
    return closing(file, async () => {
      let at = end
      for await (const { start, text } of linesBackwards(file, end)) {
        // Looked at before a line is taken: so a next page is named only where there is something behind.
        if (this.records.length >= this.#filter.limit || this.#bytes > AUDIT_SCAN_BYTES_MAX) return `${number}-${at}`
        this.#bytes += at - start
        at = start
        this.#take(text)
        if (this.isPastStart) return undefined
      }
      return undefined
    })
  }

  #take(line: string): void {
    const { agent, fromMs = -Infinity, untilMs = Infinity } = this.#filter
    const record = recordOf(line)
    if (record === undefined || record.at >= untilMs) return
    if (record.at < fromMs) this.isPastStart = true
    else if (agent === undefined || record.who?.agent === agent) this.records.push(record)
  }
}

/** Looks for a line by how it begins, a block at a time. */
async function findRecord(file: FileHandle, bytes: number, queryId: string): Promise<AuditRecord | undefined> {
  const begin = Buffer.from(`{"query_id":"${queryId}"`)
  const block = Buffer.alloc(AUDIT_BLOCK_BYTES + begin.length - 1)
  for (let at = 0; at < bytes; at += AUDIT_BLOCK_BYTES) {
    const { bytesRead } = await file.read(block, 0, Math.min(block.length, bytes - at), at)
    const found = block.subarray(0, bytesRead).indexOf(begin)
    if (found < 0) continue
    const line = Buffer.alloc(Math.min(AUDIT_LINE_BYTES_MAX, bytes - at - found))
    const { bytesRead: lineBytes } = await file.read(line, 0, line.length, at + found)
    const end = line.subarray(0, lineBytes).indexOf(10)
    return recordOf(line.toString('utf8', 0, end < 0 ? lineBytes : end))
  }
  return undefined
}
