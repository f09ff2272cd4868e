import type { Disk } from '../../../src/base/disk.ts'
import type { Lsn, WalPosition } from '../../../src/base/lsn.ts'
import { seededRandom, type Random, type Secrets } from '../../../src/base/random.ts'
import * as inspect from '../../../src/wal/inspect.ts'
import * as recovery from '../../../src/wal/recovery.ts'
import * as reader from '../../../src/wal/wal-reader.ts'
import * as writer from '../../../src/wal/wal-writer.ts'

/** The modules under test: the real ones, or mutants of them. */
export interface WalModules {
  readonly inspect: typeof inspect
  readonly recovery: typeof recovery
  readonly reader: typeof reader
  readonly writer: typeof writer
}
export const realModules: WalModules = { inspect, recovery, reader, writer }

export const DIR = '/data/wal'
export const NODE_ID = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)
export const KiB = 1024

export function seededSecrets(seed: number): Secrets {
  const random = seededRandom(seed)
  return { bytes: (count) => Uint8Array.from({ length: count }, () => random.u32() & 0xff) }
}

export const optionsWith = (overrides: Partial<writer.WalWriterOptions> = {}): writer.WalWriterOptions => ({
  nodeId: NODE_ID, segmentBytes: 64 * KiB, reserveBytes: 0, groupBytesMax: 16 * KiB, secrets: seededSecrets(7), ...overrides,
})

/** Bytes that nothing else makes, of a length that is rarely aligned. */
export function payloadOf(random: Random, bytesMax = 700): Uint8Array {
  return Uint8Array.from({ length: 1 + random.u32() % bytesMax }, () => random.u32() & 0xff)
}

/** Stages one batch; the caller has seen to it that it fits. */
export function stage(wal: writer.WalWriter, payload: Uint8Array, count = 1): { lsn: Lsn, segmentId: number, offset: number } {
  const outcome = wal.reserve(1, payload.length)
  if (outcome !== 'ok') throw new Error(`reserve: ${outcome}`)
  const place = { lsn: wal.nextLsn, segmentId: wal.segmentId, offset: wal.recordOffset }
  wal.staging.set(payload, wal.payloadOffset)
  wal.finish(count, wal.nextLsn, wal.lastHlc + 5n)
  return place
}

export interface ReadRecord {
  readonly kind: number
  readonly lsnFirst: Lsn
  readonly count: number
  readonly segmentId: number
  readonly offset: number
  readonly payload: Buffer
}

/** All records up to `until`, copied. */
export function readAll(
  disk: Disk, from: WalPosition, until: WalPosition, modules = realModules, chunkBytes?: number,
): ReadRecord[] {
  const wal = new modules.reader.WalReader(disk, DIR,
    chunkBytes === undefined ? { nodeId: NODE_ID } : { nodeId: NODE_ID, chunkBytes })
  const records: ReadRecord[] = []
  wal.seek(from)
  while (wal.next(until)) {
    const { kind, lsnFirst, count } = wal.header
    records.push({ kind, lsnFirst, count, segmentId: wal.segmentId, offset: wal.offset, payload: Buffer.from(wal.payload) })
  }
  wal.close()
  return records
}

export function openWal(disk: Disk, overrides: Partial<writer.WalWriterOptions> = {}, modules = realModules) {
  const options = optionsWith(overrides)
  const recovered = modules.recovery.recoverWal(disk, DIR, options)
  return { recovered, wal: modules.writer.WalWriter.open(disk, DIR, recovered, options), options }
}

/** Runs `work` and gives what it threw. */
export function thrown(work: () => unknown): unknown {
  try {
    work()
    return undefined
  } catch (error) {
    return error
  }
}

export const codeOf = (error: unknown): string | undefined => (error as { code?: string } | undefined)?.code
