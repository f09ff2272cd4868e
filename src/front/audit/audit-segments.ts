import { mkdir, open, readdir, stat, unlink, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf } from '../../base/errors.ts'
import { AUDIT_BLOCK_BYTES, AUDIT_FILES_MAX, AUDIT_SEGMENTS_MIN, AUDIT_SEGMENT_BYTES_MAX } from './audit-limits.ts'
import { linesBackwards } from './lines-backwards.ts'

/** One file of the audit: JSON lines, appended only. The last line may be torn, and is no record then. */
export interface AuditSegment {
  readonly number: number
  /** Bytes that are in the file. */
  readonly bytes: number
  /** When its first record was made, Unix milliseconds. */
  readonly firstAtMs: number
}

const FILE = /^audit-(\d{10})\.ndjson$/
const fileOf = (number: number): string => `audit-${String(number).padStart(10, '0')}.ndjson`
const OWNER_ONLY = 0o700
const FILE_MODE = 0o600

/** What of a line the order of files hangs on. */
function atOf(line: string): number | undefined {
  try {
    const value: unknown = JSON.parse(line)
    const at = typeof value === 'object' && value !== null ? (value as { at?: unknown }).at : undefined
    return typeof at === 'number' ? at : undefined
  } catch {
    return undefined // torn, or no line of ours
  }
}

/**
 * The audit's folder: rotating files whose sum stays within a bound, the oldest going first. One writer; whatever fails leaves a file
 * that may end in a torn line, and the next append begins another one.
 */
export class AuditSegments {
  readonly #folder: string
  readonly #bytesMax: number
  readonly #segmentBytesMax: number
  #segments: AuditSegment[] = []
  #file: FileHandle | undefined
  #lastAtMs = 0
  #lastNumber = 0

  constructor(folder: string, bytesMax: number) {
    this.#folder = folder
    this.#bytesMax = bytesMax
    this.#segmentBytesMax = Math.min(AUDIT_SEGMENT_BYTES_MAX, Math.floor(bytesMax / AUDIT_SEGMENTS_MIN))
  }

  /** By ascending number and time. */
  get segments(): readonly AuditSegment[] {
    return this.#segments
  }

  get bytes(): number {
    return this.#segments.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  /** When the last record that is in a file was made, Unix milliseconds; 0 where there is none. */
  get lastAtMs(): number {
    return this.#lastAtMs
  }

  /** Finds what earlier runs have left. @throws the system's errors */
  async open(): Promise<void> {
    const names = await readdir(this.#folder).catch((error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return [] // nothing was ever recorded
      throw error
    })
    const numbers = names.map((name) => FILE.exec(name)?.[1]).filter((digits) => digits !== undefined).map(Number).sort((a, b) => a - b)
    this.#segments = []
    for (const number of numbers) {
      const { size } = await stat(join(this.#folder, fileOf(number)))
      this.#segments.push({ number, bytes: size, firstAtMs: await this.#firstAtMs(number) ?? this.#segments.at(-1)?.firstAtMs ?? 0 })
    }
    this.#lastNumber = numbers.at(-1) ?? 0
    this.#lastAtMs = await this.#newestAtMs()
  }

  /**
   * Appends lines, each with its end, to one file.
   * @param atMs when the first of them was made
   * @param lastAtMs when the last of them was made
   * @throws the system's errors; then it is unknown how much was written
   */
  async append(lines: Uint8Array, atMs: number, lastAtMs: number): Promise<void> {
    let segment = this.#segments.at(-1)
    if (this.#file === undefined || segment === undefined || segment.bytes + lines.length > this.#segmentBytesMax) segment = await this.#rotate(atMs)
    try {
      for (let at = 0; at < lines.length;) at += (await this.#file!.write(lines, at, lines.length - at)).bytesWritten
    } catch (error) {
      await this.close()
      throw error
    }
    this.#segments[this.#segments.length - 1] = { ...segment, bytes: segment.bytes + lines.length }
    this.#lastAtMs = lastAtMs
  }

  /** A file for reading, or undefined where it was rotated away. @throws the system's errors */
  async read(number: number): Promise<FileHandle | undefined> {
    try {
      return await open(join(this.#folder, fileOf(number)), 'r')
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined
      throw error
    }
  }

  async close(): Promise<void> {
    const file = this.#file
    this.#file = undefined
    await file?.close()
  }

  async #rotate(atMs: number): Promise<AuditSegment> {
    await this.close()
    while (this.#segments.length > 0 && (this.#segments.length >= AUDIT_FILES_MAX || this.bytes + this.#segmentBytesMax > this.#bytesMax)) {
      await unlink(join(this.#folder, fileOf(this.#segments[0]!.number))).catch((error: unknown) => {
        if (errnoOf(error) !== 'ENOENT') throw error // somebody has tidied up already
      })
      this.#segments.shift()
    }
    await mkdir(this.#folder, { recursive: true, mode: OWNER_ONLY })
    const segment = { number: ++this.#lastNumber, bytes: 0, firstAtMs: atMs }
    this.#file = await open(join(this.#folder, fileOf(segment.number)), 'ax', FILE_MODE)
    this.#segments.push(segment)
    return segment
  }

  async #firstAtMs(number: number): Promise<number | undefined> {
    const file = await this.read(number)
    if (file === undefined) return undefined
    try {
      const block = Buffer.alloc(AUDIT_BLOCK_BYTES)
      const { bytesRead } = await file.read(block, 0, block.length, 0)
      const end = block.subarray(0, bytesRead).indexOf(10)
      return end < 0 ? undefined : atOf(block.toString('utf8', 0, end))
    } finally {
      await file.close()
    }
  }

  async #newestAtMs(): Promise<number> {
    for (const { number, bytes } of [...this.#segments].reverse()) {
      const file = await this.read(number)
      if (file === undefined) continue
      try {
        for await (const { text } of linesBackwards(file, bytes)) {
          const at = atOf(text)
          if (at !== undefined) return at
        }
      } finally {
        await file.close()
      }
    }
    return 0
  }
}
