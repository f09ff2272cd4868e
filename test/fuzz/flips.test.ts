import { Builder, ByteBuffer } from 'flatbuffers'
import t from 'tap'
import { concatBytes, toHex } from '../../src/base/bytes.ts'
import { QueryRequest } from '../../src/fbs/stemedb/query-request.ts'
import { batchMessage, realmHashOf } from '../../src/merkle/signed-message.ts'
import { rootOfIds } from '../../src/merkle/tree.ts'
import { assertionIdOf } from '../../src/record/claim.ts'
import { signMessage } from '../../src/verify/ed25519.ts'
import { keyPairOfSeed } from '../../src/verify/keys.ts'
import { BatchVerifier } from '../../src/verify/verify-batch.ts'
import { encodeAssertion } from '../../src/wire/assertion.codec.ts'
import { encodeBatch } from '../../src/wire/batch.codec.ts'
import { recordFault } from '../support/fault-record.ts'
import { MemoryDisk } from '../support/memory-disk.ts'
import { DIR, codeOf, openWal, optionsWith, readAll, realModules, stage, type WalModules } from '../unit/wal/kit.ts'
import { loadMutant } from '../unit/wal/mutant.ts'
import { assertions } from './wire.targets.ts'

// Every single bit of a small buffer, flipped: with a checksum or a signature over it nothing else is read in silence.

function* flipsOf(bytes: Uint8Array, start: number, end: number): Generator<Uint8Array> {
  for (let bit = 8 * start; bit < 8 * end; bit++) {
    const flipped = bytes.slice()
    flipped[bit >> 3]! ^= 1 << (bit & 7)
    yield flipped
  }
}

/** 44 bytes, as in the measurement that began it: 352 flips. */
function smallBuffer(): Uint8Array {
  const builder = new Builder(64)
  QueryRequest.startQueryRequest(builder)
  QueryRequest.addRequestId(builder, 0x0123_4567_89ab_cdefn)
  QueryRequest.addKind(builder, 2)
  QueryRequest.addSubjectIsPrefix(builder, true)
  builder.finish(QueryRequest.endQueryRequest(builder))
  const bytes = builder.asUint8Array()
  return concatBytes(bytes, new Uint8Array(44 - bytes.length))
}

function read(bytes: Uint8Array): string {
  const request = QueryRequest.getRootAsQueryRequest(new ByteBuffer(bytes))
  return `${request.requestId()} ${request.kind()} ${request.subjectIsPrefix()} ${request.limit()} ${request.subject()}`
}

const SIZES = { segmentBytes: 4096, groupBytesMax: 1024 }
const SEGMENT = `${DIR}/0000000001.wal`

/** One record of 44 bytes and a mark behind it, so that its durability is on record. */
function logOfOne(): { disk: MemoryDisk, offset: number, end: number } {
  const disk = new MemoryDisk()
  disk.mkdir('/data')
  const { wal } = openWal(disk, SIZES)
  const { offset } = stage(wal, smallBuffer())
  const { offset: end } = wal.commit()
  wal.mark()
  return { disk, offset, end }
}

/** How many flips of the record, header and padding included, give another record without a word. */
function silentFlips(modules: WalModules): { flips: number, silent: number, refused: number } {
  const { disk, offset, end } = logOfOne()
  const options = { ...optionsWith(SIZES), verifyFromLsn: 0 }
  const contents = (on: MemoryDisk): string => {
    const recovered = modules.recovery.recoverWal(on, DIR, options)
    const records = readAll(on, recovered.first, recovered.end, modules)
    return JSON.stringify([recovered.truncatedBytes, ...records.map((record) => ({ ...record, payload: toHex(record.payload) }))])
  }
  const whole = contents(disk.clone())
  let [flips, silent, refused] = [0, 0, 0]
  for (const segment of flipsOf(disk.readFile(SEGMENT), offset, end)) {
    flips++
    const damaged = disk.clone()
    damaged.writeFile(SEGMENT, segment)
    try {
      if (contents(damaged) !== whole) silent++
    } catch (error) {
      if (codeOf(error) === undefined) throw error
      refused++
    }
  }
  return { flips, silent, refused }
}

t.test('352 flips of a buffer of 44 bytes in a WAL record: none passes', async (t) => {
  const bytes = smallBuffer()
  t.equal(bytes.length, 44)
  const known = read(bytes)
  let [differ, threw] = [0, 0]
  for (const flipped of flipsOf(bytes, 0, bytes.length)) {
    try {
      if (read(flipped) !== known) differ++
    } catch {
      threw++
    }
  }
  t.ok(differ >= 100, `the control: FlatBuffers alone reads ${differ} of 352 flips as something else, ${threw} throw`)

  const { flips, silent, refused } = silentFlips(realModules)
  t.ok(flips >= 352 + 512, `${flips} bits of the record: its header, the 352, and padding`)
  t.strictSame({ silent, refused }, { silent: 0, refused: flips })

  const mutant = await loadMutant([{ file: 'segment-cursor.js', from: '!== header.payloadCrc)', to: '=== -1)' }])
  t.teardown(mutant.remove)
  const blind = silentFlips(mutant.modules)
  t.ok(blind.silent >= 352, `the tooth: without the payload's checksum ${blind.silent} pass`)
  recordFault({
    id: 'S7', title: 'single bits of a WAL record flipped', trials: flips, unit: 'bit flips', failures: silent,
    tooth: `without the payload's checksum ${blind.silent} of ${blind.flips} pass; without any ${differ} of 352`,
  })
})

t.test('every bit of a signed batch: what is accepted says what was signed', async (t) => {
  const agent = keyPairOfSeed(new Uint8Array(32).fill(1))
  const realmHash = realmHashOf('default')
  const claims = assertions().slice(0, 2).map((assertion) => ({ ...assertion, agent: agent.publicKey }))
  const ids = concatBytes(...claims.map(assertionIdOf))
  const items = claims.map((assertion) => ({ assertion: encodeAssertion(assertion) }))
  const signature = signMessage(agent.secretKey, batchMessage(realmHash, claims.length, rootOfIds(ids)))
  const policy = { realmHash, batchAssertionsMax: 100, vectorLengthMax: 100, hlcDriftMaxMs: 1000 }
  const verdicts = (frame: Uint8Array, signaturesRequired: boolean): { flips: number, accepted: number, others: number } => {
    const verifier = new BatchVerifier({ ...policy, signaturesRequired })
    const verdict = { flips: 0, accepted: 0, others: 0 }
    for (const flipped of flipsOf(frame, 0, frame.length)) {
      verdict.flips++
      const { refused, acceptedCount, count, ids: found } = verifier.verify(flipped, 0, flipped.length, 1_800_000_000_000)
      if (refused !== 0 || acceptedCount === 0) continue
      verdict.accepted++
      if (count !== 2 || toHex(found.subarray(0, 64)) !== toHex(ids)) verdict.others++
    }
    return verdict
  }
  const signed = verdicts(encodeBatch({ requestId: 7n, agent: agent.publicKey, signature, items }), true)
  t.equal(signed.others, 0, `${signed.accepted} of ${signed.flips} flips are taken, none with another claim`)
  const unsigned = verdicts(encodeBatch({ requestId: 7n, items }), false)
  t.ok(unsigned.others > 500, `the tooth: unsigned ${unsigned.others} of ${unsigned.flips} flips are another claim`)
  recordFault({
    id: 'S1', title: 'single bits of a signed batch flipped', trials: signed.flips, unit: 'bit flips', failures: signed.others,
    tooth: `unsigned ${unsigned.others} of ${unsigned.flips} are another claim`,
  })
})

t.test('the flips are not refused by something that refuses everything', async (t) => {
  const { disk } = logOfOne()
  const { recovered } = openWal(disk, SIZES)
  const records = readAll(disk, recovered.first, recovered.end)
  t.equal(toHex(records[0]!.payload), toHex(smallBuffer()))
})
