import { crc32c } from '../../src/base/crc32c.ts'
import { bytesEqual } from '../../src/base/bytes.ts'
import { isDbError } from '../../src/base/errors.ts'
import { seededRandom } from '../../src/base/random.ts'
import { LogAssertionReader } from '../../src/query/log-assertion-reader.ts'
import { assertionIdOf } from '../../src/record/claim.ts'
import { inspectWal, verifyWal } from '../../src/wal/inspect.ts'
import { decodeManifest, encodeManifest } from '../../src/wal/manifest.codec.ts'
import { emptyRecordHeader, encodeRecordHeader, parseRecordHeader } from '../../src/wal/record.codec.ts'
import { RECORD_HEADER_BYTES, RECORD_HEADER_CRC_OFFSET, RECORD_KIND } from '../../src/wal/record.layout.ts'
import { recoverWal } from '../../src/wal/recovery.ts'
import { decodeSegmentHeader, encodeSegmentHeader } from '../../src/wal/segment.codec.ts'
import { SEGMENT_RECORDS_OFFSET } from '../../src/wal/segment.layout.ts'
import { segmentPath, walCorrupt } from '../../src/wal/wal-files.ts'
import { decodeAssertion, encodeAssertion } from '../../src/wire/assertion.codec.ts'
import { encodeBatch } from '../../src/wire/batch.codec.ts'
import { logEntryBytes, writeLogEntry } from '../../src/wire/log-entry.codec.ts'
import { MemoryDisk } from '../support/memory-disk.ts'
import { DIR, openWal, optionsWith, payloadOf, readAll, stage } from '../unit/wal/kit.ts'
import { flatbufferMutation } from './flatbuffers.mutations.ts'
import type { FuzzTarget } from './fuzzer.ts'
import { viewOf } from './mutations.ts'
import { manifestMutation, walMutations } from './wal.mutations.ts'
import { assertions } from './wire.targets.ts'

const SEGMENT_BYTES = 4096
const SIZES = { segmentBytes: SEGMENT_BYTES, groupBytesMax: 1024 }
/** A log in one input: the manifest's length in four bytes, it itself, padding up to here, then the segments. */
const LOG_START = 512
const MANIFEST_START = 4

const manifestLengthOf = (bytes: Uint8Array): number => (bytes.length < MANIFEST_START ? 0 : viewOf(bytes).getUint32(0, true))

function packed(disk: MemoryDisk): Uint8Array {
  const manifest = disk.readFile(`${DIR}/MANIFEST`)
  const segments = disk.list(DIR).filter((name) => name.endsWith('.wal')).map((name) => disk.readFile(`${DIR}/${name}`))
  const input = new Uint8Array(LOG_START + segments.length * SEGMENT_BYTES)
  viewOf(input).setUint32(0, manifest.length, true)
  input.set(manifest, MANIFEST_START)
  segments.forEach((segment, i) => input.set(segment, LOG_START + i * SEGMENT_BYTES))
  return input
}

function unpacked(input: Uint8Array): MemoryDisk {
  const disk = new MemoryDisk()
  disk.mkdir(DIR)
  const length = Math.min(manifestLengthOf(input), input.length - MANIFEST_START)
  if (length > 0) disk.writeFile(`${DIR}/MANIFEST`, input.subarray(MANIFEST_START, MANIFEST_START + length))
  for (let i = 0, at = LOG_START; at < input.length; i++, at += SEGMENT_BYTES) disk.writeFile(segmentPath(DIR, i + 1), input.subarray(at, at + SEGMENT_BYTES))
  return disk
}

function logOf(groups: number, end: 'open' | 'marked' | 'closed'): Uint8Array {
  const disk = new MemoryDisk()
  disk.mkdir('/data')
  const { wal } = openWal(disk, SIZES)
  const random = seededRandom(groups)
  for (let group = 0; group < groups; group++) {
    for (let i = 0; i <= group % 2; i++) {
      const payload = payloadOf(random, 200)
      if (wal.reserve(1, payload.length) === 'segment_full') wal.rotate()
      stage(wal, payload, 1 + i)
    }
    wal.commit()
  }
  if (end === 'marked') wal.mark()
  if (end === 'closed') wal.seal()
  return packed(disk)
}

/** A whole log: recovery, readers and verification must agree about it, and a second recovery with the first. */
const walLogTarget: FuzzTarget = {
  name: 'wal-log',
  seeds: () => [logOf(0, 'open'), logOf(4, 'open'), logOf(4, 'marked'), logOf(12, 'marked'), logOf(9, 'closed')],
  mutations: [...walMutations(LOG_START), manifestMutation(MANIFEST_START, manifestLengthOf)],
  run(input) {
    const disk = unpacked(input)
    for (const look of [() => [...inspectWal(disk, DIR, { limit: 1000 })], () => [...verifyWal(disk, DIR)]]) {
      try {
        look()
      } catch (error) {
        if (!isDbError(error)) throw error
      }
    }
    const options = { ...optionsWith(SIZES), verifyFromLsn: 0 }
    const recovered = recoverWal(disk, DIR, options)
    const records = readAll(disk, recovered.first, recovered.end)
    const last = records.findLast(({ kind }) => kind === RECORD_KIND.batch)
    if ((last === undefined ? 0 : last.lsnFirst + last.count - 1) !== recovered.lastLsn && records[0]?.lsnFirst === 1) {
      throw new Error(`recovery says ${recovered.lastLsn}, the records end elsewhere`)
    }
    const again = recoverWal(disk, DIR, options)
    if (again.lastLsn !== recovered.lastLsn || again.lastHlc !== recovered.lastHlc) throw new Error('a second recovery finds another log')
    if (readAll(disk, again.first, again.end).length < records.length) throw new Error('a second recovery loses records')
    return records.length > 0
  },
}

const walManifestTarget: FuzzTarget = {
  name: 'wal-manifest',
  seeds: () => walLogTarget.seeds().map((log) => log.slice(MANIFEST_START, MANIFEST_START + manifestLengthOf(log))),
  mutations: [manifestMutation(0, (bytes) => bytes.length)],
  run(input) {
    const manifest = decodeManifest(input)
    const back = decodeManifest(encodeManifest(manifest))
    if (back.sealed.length !== manifest.sealed.length || back.openSegmentId !== manifest.openSegmentId) throw new Error('another manifest when written again')
    return true
  },
}

/** The two headers: whatever is read must be what an encoder writes. */
const walHeaderTarget: FuzzTarget = {
  name: 'wal-header',
  seeds: () => [logOf(2, 'open').slice(LOG_START, LOG_START + SEGMENT_RECORDS_OFFSET), logOf(2, 'open').slice(LOG_START + SEGMENT_RECORDS_OFFSET, LOG_START + SEGMENT_RECORDS_OFFSET + 512)],
  mutations: walMutations(0),
  run(input) {
    if (input.length < SEGMENT_RECORDS_OFFSET) return false
    const segment = decodeSegmentHeader(input.subarray(0, SEGMENT_RECORDS_OFFSET))
    const view = viewOf(input)
    const record = emptyRecordHeader()
    // Those of the seed's segment: its tag stands in the record.
    const fault = parseRecordHeader(input, view, 0, view.getUint32(40, true), view.getUint32(44, true), record)
    if (fault === undefined) {
      const again = new Uint8Array(RECORD_HEADER_BYTES)
      encodeRecordHeader(record, again, viewOf(again))
      if (!bytesEqual(again, input.subarray(0, RECORD_HEADER_BYTES))) throw new Error('another record header when written again')
    }
    if (typeof segment !== 'string') encodeSegmentHeader(segment)
    return fault === undefined || typeof segment !== 'string'
  },
}

const STAMP = { lsn: 1, hlc: 1n, segmentId: 1, recordOffset: 0 }
const IDS = assertions().map(assertionIdOf)

function recordOf(): Uint8Array {
  const batch = encodeBatch({ requestId: 1n, items: assertions().map((assertion, i) => ({ assertion: encodeAssertion(assertion), signature: i === 1 ? new Uint8Array(64) : undefined })) })
  const record = new Uint8Array(RECORD_HEADER_BYTES + logEntryBytes(IDS.length, batch.length))
  const payload = record.subarray(RECORD_HEADER_BYTES)
  writeLogEntry(payload, 0, { count: IDS.length, ids: Buffer.concat(IDS), codes: new Uint16Array(IDS.length) }, batch)
  const header = { ...emptyRecordHeader(), kind: RECORD_KIND.batch, payloadBytes: payload.length, count: IDS.length, lsnFirst: 1, hlcFirst: 1n, payloadCrc: crc32c(payload) }
  encodeRecordHeader(header, record.subarray(0, RECORD_HEADER_BYTES), viewOf(record))
  return record
}

/**
 * A record read by place, its payload's checksum unlooked at: nothing may be served but an assertion under the id that it has.
 * The header's checksum is made right, or nothing would get past it.
 */
const logReaderTarget: FuzzTarget = {
  name: 'log-reader',
  seeds: () => [recordOf()],
  mutations: [(bytes, random, other) => Buffer.concat([bytes.subarray(0, RECORD_HEADER_BYTES), flatbufferMutation('LogEntry')(bytes.slice(RECORD_HEADER_BYTES), random, other)])],
  run(input) {
    if (input.length < RECORD_HEADER_BYTES) return false
    const bytes = input.slice()
    viewOf(bytes).setUint32(RECORD_HEADER_CRC_OFFSET, crc32c(bytes.subarray(0, RECORD_HEADER_CRC_OFFSET)), true)
    const reader = new LogAssertionReader((segmentId, offset, length, out) => {
      if (offset < 0 || length < 0 || length > out.length) throw new Error(`a read of ${length} bytes at ${offset}`)
      if (offset + length > bytes.length) throw walCorrupt('not there', segmentId, offset, 0)
      out.set(bytes.subarray(offset, offset + length))
    })
    let taken = false
    for (let index = 0; index < IDS.length; index++) {
      try {
        const { id, bytes: assertion } = reader.read({ ...STAMP, index })
        if (!bytesEqual(assertionIdOf(decodeAssertion(assertion)), id)) throw new Error('served under an id that is not its own')
        taken = true
      } catch (error) {
        if (!isDbError(error)) throw error
      }
    }
    return taken
  },
}

export const walTargets: readonly FuzzTarget[] = [walLogTarget, walManifestTarget, walHeaderTarget, logReaderTarget]
