import fc from 'fast-check'
import t from 'tap'
import { crc32c } from '../../../src/base/crc32c.ts'
import { toHex } from '../../../src/base/bytes.ts'
import { isDbError } from '../../../src/base/errors.ts'
import { decodeManifest, encodeManifest, type Manifest, type SealedSegment } from '../../../src/wal/manifest.codec.ts'
import { MANIFEST_CRC_OFFSET, MANIFEST_HEADER_BYTES, MANIFEST_VERSION_OFFSET } from '../../../src/wal/manifest.layout.ts'
import { emptyRecordHeader, encodeRecordHeader, parseRecordHeader, type RecordHeader } from '../../../src/wal/record.codec.ts'
import { RECORD_HEADER_CRC_OFFSET, RECORD_KIND_OFFSET, RECORD_VERSION_OFFSET } from '../../../src/wal/record.layout.ts'
import { decodeSegmentHeader, encodeSegmentHeader, type SegmentHeader } from '../../../src/wal/segment.codec.ts'
import {
  SEGMENT_BYTES_MAX, SEGMENT_HEADER_CRC_OFFSET, SEGMENT_VERSION_OFFSET, segmentBytesOf,
} from '../../../src/wal/segment.layout.ts'
import { segmentIdOf, segmentName } from '../../../src/wal/wal-files.ts'
import { codeOf, thrown } from './kit.ts'

const u32 = fc.integer({ min: 0, max: 0xffff_ffff })
const lsn = fc.maxSafeInteger().map((value) => Math.abs(value))
const hlc = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const nodeId = fc.uint8Array({ minLength: 8, maxLength: 8 })

const recordHeader: fc.Arbitrary<RecordHeader> = fc.record({
  kind: fc.constantFrom(1, 2, 3), padBytes: fc.integer({ min: 0, max: 63 }).map((n) => n * 8), payloadBytes: u32, count: u32,
  lsnFirst: lsn.filter((value) => value > 0), hlcFirst: hlc, durableLsn: fc.constant(0), tagLo: u32, tagHi: u32,
  durableOffset: fc.integer({ min: 0, max: 2 ** 21 }).map((n) => n * 512), prevHeaderCrc: u32, payloadCrc: u32, headerCrc: fc.constant(0),
}).map((header) => (header.kind === 1
  ? { ...header, payloadBytes: header.payloadBytes || 1, count: header.count || 1, durableLsn: header.lsnFirst - 1 }
  : { ...header, payloadBytes: 0, count: 0 }))

function encoded(header: RecordHeader): { bytes: Uint8Array, view: DataView } {
  const bytes = new Uint8Array(64)
  const view = new DataView(bytes.buffer)
  encodeRecordHeader(header, bytes, view)
  return { bytes, view }
}

t.test('a record header comes back as it went', (t) => {
  fc.assert(fc.property(recordHeader, fc.nat(3), (header, at) => {
    const { bytes } = encoded(header)
    const place = new Uint8Array(128)
    place.set(bytes, at * 8)
    const out = emptyRecordHeader()
    const fault = parseRecordHeader(place, new DataView(place.buffer), at * 8, header.tagLo, header.tagHi, out)
    t.strictSame([fault, out], [undefined, header])
  }), { numRuns: 500 })
  t.end()
})

t.test('any flipped bit of a record header is a fault', (t) => {
  fc.assert(fc.property(recordHeader, (header) => {
    const { bytes, view } = encoded(header)
    const out = emptyRecordHeader()
    for (let bit = 0; bit < 512; bit++) {
      bytes[bit >> 3]! ^= 1 << (bit & 7)
      if (parseRecordHeader(bytes, view, 0, header.tagLo, header.tagHi, out) === undefined) throw new Error(`bit ${bit}`)
      bytes[bit >> 3]! ^= 1 << (bit & 7)
    }
  }), { numRuns: 50 })
  t.end()
})

t.test('no bytes make the parser throw; nothing but its own writing passes', (t) => {
  const out = emptyRecordHeader()
  fc.assert(fc.property(fc.uint8Array({ minLength: 64, maxLength: 64 }), fc.boolean(), (bytes, hasMagic) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset)
    if (hasMagic) view.setUint32(0, 0x4352_5753, true)
    if (parseRecordHeader(bytes, view, 0, 1, 2, out) === undefined) throw new Error('noise was taken for a record')
  }), { numRuns: 2000 })
  // With a right checksum, to reach what is behind it.
  fc.assert(fc.property(fc.uint8Array({ minLength: 64, maxLength: 64 }), (bytes) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset)
    view.setUint32(0, 0x4352_5753, true)
    view.setUint8(4, 1)
    view.setUint8(5, 1 + bytes[5]! % 3)
    view.setUint32(RECORD_HEADER_CRC_OFFSET, crc32c(bytes.subarray(0, RECORD_HEADER_CRC_OFFSET)), true)
    const fault = parseRecordHeader(bytes, view, 0, view.getUint32(40, true), view.getUint32(44, true), out)
    if (fault !== 'shape' && fault !== undefined) throw new Error(fault)
    if (fault === undefined && (out.lsnFirst > Number.MAX_SAFE_INTEGER || out.padBytes >= 512)) throw new Error('out of range')
  }), { numRuns: 2000 })
  t.end()
})

t.test('what a record header may be', (t) => {
  const out = emptyRecordHeader()
  const header: RecordHeader = { ...emptyRecordHeader(), kind: 1, payloadBytes: 9, count: 1, lsnFirst: 4, durableLsn: 3, tagLo: 5, tagHi: 6 }
  const fault = (change: Partial<RecordHeader>, patch?: (view: DataView) => void) => {
    const { bytes, view } = encoded({ ...header, ...change })
    patch?.(view)
    view.setUint32(RECORD_HEADER_CRC_OFFSET, crc32c(bytes.subarray(0, RECORD_HEADER_CRC_OFFSET)), true)
    return parseRecordHeader(bytes, view, 0, 5, 6, out)
  }
  t.equal(fault({}), undefined)
  t.equal(fault({ tagLo: 4 }), 'foreign')
  t.equal(fault({ tagHi: 4 }), 'foreign')
  t.equal(fault({ count: 0 }), 'shape', 'a batch of nothing')
  t.equal(fault({ payloadBytes: 0 }), 'shape')
  t.equal(fault({ kind: 2 }), 'shape', 'a mark with a payload')
  t.equal(fault({ kind: 0 }), 'kind')
  t.equal(fault({ kind: 4 }), 'kind', 'of a newer program')
  t.equal(fault({ durableLsn: 4 }), 'shape', 'durable before it is written')
  t.equal(fault({ durableOffset: 8 }), 'shape')
  t.equal(fault({ padBytes: 512 }), 'shape')
  t.equal(fault({}, (view) => view.setUint8(RECORD_VERSION_OFFSET, 2)), 'version')
  t.equal(fault({}, (view) => view.setUint8(RECORD_KIND_OFFSET, 9)), 'kind')
  t.equal(fault({}, (view) => view.setUint32(20, 1 << 21, true)), 'shape', 'an LSN beyond 2^53')
  t.equal(parseRecordHeader(new Uint8Array(64), new DataView(new ArrayBuffer(64)), 0, 5, 6, out), 'zero')
  t.end()
})

t.test('the bytes of version 1: if this fails, what is on disks out there can not be read any more', (t) => {
  const { bytes } = encoded({
    kind: 1, padBytes: 0x0110, payloadBytes: 0x0a0b0c0d, count: 3, lsnFirst: 0x1_0000_0002, hlcFirst: 0x0102030405060708n,
    durableLsn: 0x1_0000_0001, tagLo: 0x11121314, tagHi: 0x21222324, durableOffset: 0x200, prevHeaderCrc: 0x31323334,
    payloadCrc: 0x41424344, headerCrc: 0,
  })
  t.equal(toHex(bytes), '53575243' + '01' + '01' + '1001' + '0d0c0b0a' + '03000000' + '0200000001000000' + '0807060504030201' +
    '0100000001000000' + '1413121124232221' + '00020000' + '34333231' + '44434241' + toHex(bytes.subarray(60)))
  t.equal(toHex(bytes.subarray(60)), '2ea82951')
  const segment = encodeSegmentHeader({
    nodeId: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8), tagLo: 0x11121314, tagHi: 0x21222324, segmentId: 9, segmentBytes: 0x04000000,
    lsnFirst: 7, hlcBefore: 6n, prevHeaderCrc: 0x31323334, headerCrc: 0,
  })
  t.equal(toHex(segment.subarray(0, 60)), '53575347' + '0100' + '0002' + '0102030405060708' + '1413121124232221' + '0700000000000000' +
    '0600000000000000' + '09000000' + '00000004' + '34333231' + '0000000000000000')
  t.equal(segment.length, 512)
  const manifest = encodeManifest({
    nodeId: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8), generation: 5, openSegmentId: 2, clean: true,
    sealed: [{
      segmentId: 1, bytesUsed: 0x400, lsnFirst: 1, lsnLast: 2, hlcLast: 3n, segmentHeaderCrc: 0x51525354, lastHeaderCrc: 0x61626364,
      lastRecordOffset: 0x200, recordCount: 1,
    }],
  })
  t.equal(toHex(manifest.subarray(0, 36)), '53574d46' + '0100' + '3000' + '0102030405060708' + '0500000000000000' + '01000000' + '02000000' +
    '01000000')
  t.equal(toHex(manifest.subarray(64)), '01000000' + '00040000' + '0100000000000000' + '0200000000000000' + '0300000000000000' +
    '54535251' + '64636261' + '00020000' + '01000000')
  t.end()
})

const segmentHeader: fc.Arbitrary<SegmentHeader> = fc.record({
  nodeId, tagLo: u32, tagHi: u32, segmentId: u32, segmentBytes: u32, lsnFirst: lsn, hlcBefore: hlc, prevHeaderCrc: u32, headerCrc: fc.constant(0),
})

t.test('segment headers: there and back, every bit of the first sector counts, newer ones are refused', (t) => {
  fc.assert(fc.property(segmentHeader, (header) => {
    const bytes = encodeSegmentHeader(header)
    t.strictSame(decodeSegmentHeader(bytes), { ...header })
  }), { numRuns: 200 })
  fc.assert(fc.property(segmentHeader, fc.nat(512 * 8 - 1), (header, bit) => {
    const bytes = encodeSegmentHeader(header)
    bytes[bit >> 3]! ^= 1 << (bit & 7)
    if (typeof decodeSegmentHeader(bytes) !== 'string') throw new Error(`bit ${bit}`)
  }), { numRuns: 2000 })
  const newer = encodeSegmentHeader({
    nodeId: new Uint8Array(8), tagLo: 1, tagHi: 1, segmentId: 1, segmentBytes: 4096, lsnFirst: 1, hlcBefore: 0n, prevHeaderCrc: 0, headerCrc: 0,
  })
  const view = new DataView(newer.buffer)
  view.setUint16(SEGMENT_VERSION_OFFSET, 2, true)
  view.setUint32(SEGMENT_HEADER_CRC_OFFSET, crc32c(newer.subarray(0, SEGMENT_HEADER_CRC_OFFSET)), true)
  t.equal(codeOf(thrown(() => decodeSegmentHeader(newer))), 'format_unsupported')
  t.end()
})

/** Lists of segments as a log makes them: ids and LSNs without a gap. */
const manifest: fc.Arbitrary<Manifest> = fc.record({
  nodeId, generation: lsn, clean: fc.boolean(), isOpen: fc.boolean(), firstId: fc.integer({ min: 1, max: 1000 }),
  parts: fc.array(fc.record({ count: fc.nat(1000), hlcLast: hlc, a: u32, b: u32, records: u32, size: fc.nat(1000) }), { maxLength: 20 }),
}).map(({ nodeId: id, generation, clean, isOpen, firstId, parts }) => {
  let next = 1
  const sealed = parts.map((part, i): SealedSegment => {
    const lsnFirst = next
    next += part.count
    return {
      segmentId: firstId + i, bytesUsed: 1024 + part.size * 512, lsnFirst, lsnLast: next - 1, hlcLast: part.hlcLast, segmentHeaderCrc: part.a,
      lastHeaderCrc: part.b, lastRecordOffset: 512, recordCount: part.records,
    }
  })
  return { nodeId: id, generation, sealed, clean, openSegmentId: isOpen ? firstId + parts.length : 0 }
})

t.test('manifests: there and back, every damage is wal_corrupt, newer ones are refused', (t) => {
  fc.assert(fc.property(manifest, (value) => {
    t.strictSame(decodeManifest(encodeManifest(value)), value)
  }), { numRuns: 200 })
  fc.assert(fc.property(manifest, fc.nat(), fc.integer({ min: 1, max: 255 }), fc.boolean(), (value, at, mask, isCut) => {
    const bytes = encodeManifest(value)
    bytes[at % bytes.length]! ^= mask
    const error = thrown(() => decodeManifest(isCut ? bytes.subarray(0, at % bytes.length) : bytes))
    if (codeOf(error) !== 'wal_corrupt') throw new Error(String(error))
  }), { numRuns: 2000 })
  fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
    // With a right checksum, to reach what is behind it.
    if (bytes.length >= MANIFEST_HEADER_BYTES) {
      const view = new DataView(bytes.buffer, bytes.byteOffset)
      view.setUint32(0, 0x464d_5753, true)
      view.setUint16(4, 1, true)
      view.setUint16(6, 48, true)
      view.setUint32(MANIFEST_CRC_OFFSET, crc32c(bytes.subarray(MANIFEST_HEADER_BYTES), crc32c(bytes.subarray(0, MANIFEST_CRC_OFFSET))), true)
    }
    const error = thrown(() => decodeManifest(bytes))
    if (error !== undefined && !isDbError(error)) throw new Error(`not one of ours: ${codeOf(error)}`)
  }), { numRuns: 1000 })
  const newer = encodeManifest({ nodeId: new Uint8Array(8), generation: 1, sealed: [], openSegmentId: 1, clean: false })
  const view = new DataView(newer.buffer)
  view.setUint16(MANIFEST_VERSION_OFFSET, 2, true)
  view.setUint32(MANIFEST_CRC_OFFSET, crc32c(newer.subarray(MANIFEST_HEADER_BYTES), crc32c(newer.subarray(0, MANIFEST_CRC_OFFSET))), true)
  t.equal(codeOf(thrown(() => decodeManifest(newer))), 'format_unsupported')
  t.end()
})

t.test('a manifest\'s list has no gap', (t) => {
  const segment = (segmentId: number, lsnFirst: number, lsnLast: number, more: Partial<SealedSegment> = {}): SealedSegment => ({
    segmentId, bytesUsed: 1024, lsnFirst, lsnLast, hlcLast: 1n, segmentHeaderCrc: 1, lastHeaderCrc: 1, lastRecordOffset: 512, recordCount: 1, ...more,
  })
  const verdict = (openSegmentId: number, ...sealed: SealedSegment[]) =>
    codeOf(thrown(() => decodeManifest(encodeManifest({ nodeId: new Uint8Array(8), generation: 1, sealed, openSegmentId, clean: false }))))
  t.equal(verdict(3, segment(1, 1, 4), segment(2, 5, 9)), undefined)
  t.equal(verdict(4, segment(1, 1, 4), segment(2, 5, 9)), 'wal_corrupt')
  t.equal(verdict(4, segment(1, 1, 4), segment(3, 5, 9)), 'wal_corrupt')
  t.equal(verdict(3, segment(1, 1, 4), segment(2, 6, 9)), 'wal_corrupt')
  t.equal(verdict(2, segment(1, 5, 3)), 'wal_corrupt')
  t.equal(verdict(2, segment(1, 1, 0)), undefined, 'a segment of marks only')
  t.equal(verdict(1, segment(0, 1, 4)), 'wal_corrupt')
  t.equal(verdict(2, segment(1, 1, 4, { lastRecordOffset: 1024 })), 'wal_corrupt')
  t.equal(verdict(2, segment(1, 1, 4, { bytesUsed: 2 ** 31 })), 'wal_corrupt')
  t.end()
})

t.test('names and sizes', (t) => {
  t.equal(segmentName(12), '0000000012.wal')
  t.equal(segmentIdOf('0000000012.wal'), 12)
  for (const name of ['12.wal', '0000000000.wal', '0000000012.wal.tmp', '9999999999.wal', 'MANIFEST']) t.equal(segmentIdOf(name), undefined, name)
  t.equal(segmentBytesOf(5000), 4096)
  t.equal(segmentBytesOf(1), 4096)
  t.equal(segmentBytesOf(2 ** 40), SEGMENT_BYTES_MAX)
  t.end()
})
