import { createHash } from 'node:crypto'
import type { Disk } from '../../../src/base/disk.ts'
import { hlcOf } from '../../../src/base/hlc.ts'
import type { Lsn, WalPosition } from '../../../src/base/lsn.ts'
import { seededRandom, type Random, type Secrets } from '../../../src/base/random.ts'
import { MiB } from '../../../src/base/units.ts'
import type { Assertion } from '../../../src/record/assertion.ts'
import { assertionIdOf } from '../../../src/record/claim.ts'
import { RECORD_KIND } from '../../../src/wal/record.layout.ts'
import { recoverWal, type Recovered } from '../../../src/wal/recovery.ts'
import { WalReader } from '../../../src/wal/wal-reader.ts'
import { WalWriter } from '../../../src/wal/wal-writer.ts'
import { encodeAssertion } from '../../../src/wire/assertion.codec.ts'
import { encodeBatch } from '../../../src/wire/batch.codec.ts'
import { logEntryBytes, writeLogEntry } from '../../../src/wire/log-entry.codec.ts'

export const seededSecrets = (seed: number): Secrets => {
  const random = seededRandom(seed)
  return { bytes: (count) => Uint8Array.from({ length: count }, () => random.u32() & 255) }
}

export interface Written {
  readonly assertion: Assertion
  readonly id: Uint8Array
  readonly lsn: Lsn
  readonly hlc: bigint
  readonly index: number
  /** Of its record. */
  readonly segmentId: number
  readonly recordOffset: number
}

export const agentOf = (n: number): Uint8Array => new Uint8Array(createHash('sha256').update(`agent ${n}`).digest())

/** No two alike; subjects, predicates and agents repeat. */
export function assertionOf(n: number, random: Random, agent = agentOf(random.u32() % 5)): Assertion {
  return {
    subject: `debian/package-${random.u32() % 40}`, predicate: ['version', 'size', 'v'][random.u32() % 3]!,
    object: { kind: 'text', value: `value ${n} ${'x'.repeat(random.u32() % 60)}` }, confidence: (n % 100) / 100,
    sourceClass: (n % 6) as Assertion['sourceClass'], sourceHash: new Uint8Array(32).fill(n & 255),
    lifecycle: n % 7 === 0 ? 'retracted' : 'proposed', agent, assertedAtMs: 1_700_000_000_000 + n,
  }
}

/** A log on a disk of the caller's, written as the commit stage does it, and what is in it. `initHash()` first. */
export class LogBuilder {
  readonly disk: Disk
  readonly dir: string
  readonly nodeId = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)
  readonly written: Written[] = []
  recovered: Recovered
  #writer: WalWriter
  readonly #options: { segmentBytes: number, reserveBytes: number, nodeId: Uint8Array, secrets: Secrets, groupBytesMax: number }
  readonly #random: Random
  #made = 0
  #hlc: bigint

  constructor(disk: Disk, dir: string, options: { seed?: number, segmentBytes?: number, hlcFirst?: bigint } = {}) {
    this.disk = disk
    this.dir = dir
    this.#random = seededRandom(options.seed ?? 1)
    this.#hlc = options.hlcFirst ?? hlcOf(1_700_000_000_000)
    this.#options = {
      segmentBytes: options.segmentBytes ?? MiB, reserveBytes: 0, nodeId: this.nodeId, secrets: seededSecrets(7),
      groupBytesMax: MiB,
    }
    this.recovered = recoverWal(disk, dir, this.#options)
    this.#writer = WalWriter.open(disk, dir, this.recovered, this.#options)
  }

  get durablePosition(): WalPosition {
    return this.#writer.durablePosition
  }

  get lastLsn(): Lsn {
    return this.#writer.durableLsn
  }

  reader(): WalReader {
    return new WalReader(this.disk, this.dir, { nodeId: this.nodeId, chunkBytes: 64 * 1024 })
  }

  /** A batch of `count` new assertions, of which `refused(index)` ones are in it without an LSN. */
  append(
    count: number, refused: (index: number) => boolean = () => false, agent?: Uint8Array,
    spoil: (ids: Uint8Array[]) => void = () => {},
  ): void {
    const assertions = Array.from({ length: count }, () => assertionOf(this.#made++, this.#random, agent))
    const ids = assertions.map((assertion) => assertionIdOf(assertion))
    spoil(ids)
    const batch = encodeBatch({ requestId: 1n, items: assertions.map((assertion) => ({ assertion: encodeAssertion(assertion) })) })
    const codes = Uint16Array.from(assertions, (_, index) => refused(index) ? 1 : 0)
    const accepted = codes.filter((code) => code === 0).length
    if (accepted === 0) return
    const parts = { count, ids: Uint8Array.from(ids.flatMap((id) => [...id])), codes }
    const bytes = logEntryBytes(count, batch.length)
    this.#reserve(bytes)
    const { segmentId, recordOffset } = this.#writer
    writeLogEntry(this.#writer.staging, this.#writer.payloadOffset, parts, batch)
    const lsnFirst = this.#writer.nextLsn
    this.#hlc += 1n + BigInt(this.#random.u32() % 3)
    this.#writer.finish(accepted, lsnFirst, this.#hlc)
    let rank = 0
    assertions.forEach((assertion, index) => {
      if (codes[index] !== 0) return
      this.written.push({ assertion, id: ids[index]!, lsn: lsnFirst + rank, hlc: this.#hlc + BigInt(rank), index, segmentId, recordOffset })
      rank++
    })
    this.#hlc += BigInt(accepted - 1)
  }

  commit(): void {
    this.#writer.commit()
  }

  mark(): void {
    if (this.#writer.mark()) this.#hlc += 1n
  }

  #reserve(bytes: number): void {
    for (let attempt = 0; attempt < 3; attempt++) {
      const outcome = this.#writer.reserve(RECORD_KIND.batch, bytes)
      if (outcome === 'ok') return
      this.#writer.commit()
      if (outcome === 'segment_full') this.#writer.rotate()
    }
    throw new Error('no room in the log')
  }
}
