import { assert } from '../../../src/base/assert.ts'
import { concatBytes } from '../../../src/base/bytes.ts'
import { hlcOf, type Hlc } from '../../../src/base/hlc.ts'
import type { Lsn } from '../../../src/base/lsn.ts'
import { IndexEntries } from '../../../src/ingest/index-entries.ts'
import { batchMessage, realmHashOf, singleMessage } from '../../../src/merkle/signed-message.ts'
import { rootOfIds } from '../../../src/merkle/tree.ts'
import type { Assertion } from '../../../src/record/assertion.ts'
import { assertionIdOf } from '../../../src/record/claim.ts'
import type { Place } from '../../../src/query/candidate-source.ts'
import { EntryRunWriter } from '../../../src/store/entry-runs.ts'
import { META_APPLIED_KEY } from '../../../src/store/keyspace.layout.ts'
import type { WrittenKeys } from '../../../src/store/pair-lsns.ts'
import { encodeApplied } from '../../../src/store/store-meta.ts'
import { IdHash } from '../../../src/store/id-hash.ts'
import { MemoryStore } from '../../../src/store/store-memory.ts'
import { signMessage } from '../../../src/verify/ed25519.ts'
import { keyPairOfSeed } from '../../../src/verify/keys.ts'
import { emptyRecordHeader, encodeRecordHeader } from '../../../src/wal/record.codec.ts'
import { RECORD_HEADER_BYTES, RECORD_KIND } from '../../../src/wal/record.layout.ts'
import { encodeAssertion } from '../../../src/wire/assertion.codec.ts'
import { encodeBatch } from '../../../src/wire/batch.codec.ts'
import { logEntryBytes, writeLogEntry } from '../../../src/wire/log-entry.codec.ts'

export const agent = keyPairOfSeed(new Uint8Array(32).fill(1))
const realmHash = realmHashOf('test')
export const NOW_MS = 1_800_000_000_000

export const claim = (change: Partial<Assertion> = {}): Assertion => ({
  subject: 'drug/aspirin', predicate: 'dose', object: { kind: 'number', value: 1 }, confidence: 0.5, sourceClass: 1,
  sourceHash: new Uint8Array(32), lifecycle: 'proposed', agent: agent.publicKey, assertedAtMs: NOW_MS, ...change,
})

/** One WAL segment in memory, and the indexes that ingest makes of it. */
export class TestLog {
  readonly store = new MemoryStore()
  readonly segmentId = 3
  segment: Uint8Array = new Uint8Array(4096)
  readonly #index = new IndexEntries(new IdHash(new Uint8Array(32).fill(9)))
  readonly #runs = new EntryRunWriter(this.store)
  readonly #places = new Map<string, Place>()
  #end = 512
  nextLsn: Lsn = 1
  /** As the ingest stage tells of what it has written. */
  onWritten: ((keys: WrittenKeys, lsn: Lsn) => void) | undefined
  /** Of the next batch's first assertion. Undefined: a millisecond an LSN. */
  nextHlc: Hlc | undefined

  /** Appends a batch as the commit stage does, all of it accepted but `refused`. Returns the ids. */
  append(claims: readonly Assertion[], signed: 'batch' | 'singly' | 'not' = 'not', refused: readonly number[] = []): Uint8Array[] {
    const ids = claims.map(assertionIdOf)
    const items = claims.map((a, i) => ({
      assertion: encodeAssertion(a),
      ...(signed === 'singly' ? { signature: signMessage(agent.secretKey, singleMessage(realmHash, ids[i]!)) } : {}),
    }))
    const message = batchMessage(realmHash, ids.length, rootOfIds(concatBytes(...ids)))
    const batch = encodeBatch({
      requestId: 1n, items, ...(signed === 'batch' ? { agent: agent.publicKey, signature: signMessage(agent.secretKey, message) } : {}),
    })
    const codes = Uint16Array.from(claims, (_, i) => refused.includes(i) ? 21 : 0)
    const payload = new Uint8Array(logEntryBytes(ids.length, batch.length))
    writeLogEntry(payload, 0, { count: ids.length, ids: concatBytes(...ids), codes }, batch)
    this.#appendRecord(payload, claims.length - refused.length)
    return ids
  }

  #appendRecord(payload: Uint8Array, count: number): void {
    const offset = this.#end
    this.#end += RECORD_HEADER_BYTES + Math.ceil(payload.length / 8) * 8
    while (this.segment.length < this.#end) this.segment = concatBytes(this.segment, new Uint8Array(this.segment.length))
    const hlcFirst = this.nextHlc ?? hlcOf(NOW_MS + this.nextLsn)
    const header = { ...emptyRecordHeader(), kind: RECORD_KIND.batch, payloadBytes: payload.length, count, lsnFirst: this.nextLsn, hlcFirst }
    const headerBytes = this.segment.subarray(offset, offset + RECORD_HEADER_BYTES)
    encodeRecordHeader(header, headerBytes, new DataView(headerBytes.buffer, headerBytes.byteOffset, RECORD_HEADER_BYTES))
    this.segment.set(payload, offset + RECORD_HEADER_BYTES)
    const record = { segmentId: this.segmentId, offset, lsnFirst: this.nextLsn, hlcFirst, count, payload }
    const batch = this.store.batch()
    this.#index.clear()
    this.#index.add(record)
    const adopt = this.#runs.add(this.#index.arena, record.lsnFirst, record.lsnFirst + count - 1, batch)
    this.#index.finish(batch)
    batch.put('meta', META_APPLIED_KEY, encodeApplied({
      lsn: this.nextLsn + count - 1, hlc: hlcFirst + BigInt(Math.max(0, count - 1)), position: { segmentId: this.segmentId, offset: this.#end },
      assertions: this.nextLsn + count - 1, records: 0,
    }))
    batch.write()
    adopt()
    this.onWritten?.(this.#index.arena, record.lsnFirst + count - 1)
    this.#index.forEachId(record, (ids, at, lsn, hlc, position, index) => {
      this.#places.set(Buffer.from(ids.subarray(at, at + 32)).toString('hex'),
        { lsn, hlc, segmentId: position.segmentId, recordOffset: position.offset, index })
    })
    this.nextLsn += count
  }

  readonly find = (ids: Uint8Array, offset: number): Place | undefined =>
    this.#places.get(Buffer.from(ids.subarray(offset, offset + 32)).toString('hex'))

  readonly readRange = (segmentId: number, offset: number, length: number, out: Uint8Array): void => {
    assert(segmentId === this.segmentId && offset >= 0 && length >= 0 && offset + length <= this.#end && length <= out.length,
      'a read outside of the log')
    out.set(this.segment.subarray(offset, offset + length))
  }
}
