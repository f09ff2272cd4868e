import { ERROR_CODES, errorNameOf } from '../../base/error-codes.ts'
import { must } from '../../base/assert.ts'
import { bytesEqual, toHex } from '../../base/bytes.ts'
import { DbError, isDbError } from '../../base/errors.ts'
import type { QueryRequest } from '../../fbs/stemedb/query-request.ts'
import { encodeTlogProof, parseCheckpoint, toBase64 } from '../../merkle/checkpoint.ts'
import { verifyTlogConsistency, verifyTlogInclusion } from '../../merkle/tlog.ts'
import { TLOG_STATE, type TlogBoard } from '../../merkle/tlog-board.ts'
import type { TlogReader } from '../../merkle/tlog-files.ts'
import {
  TILE_HASHES, leafHashesOf, levelHashes, subtreeHashOf, tilePlaceOf, tlogConsistencyProof, tlogInclusionPath, tlogRoot, TILE_LEVELS,
} from '../../merkle/tlog-tiles.ts'
import { HASH_BYTES } from '../../record/limits.ts'
import { EMPTY_TREE } from '../../wire/query-request.codec.ts'
import { idsOfBatch } from '../batch-ids.ts'
import { batchPath } from '../statement.ts'
import { SIGNED_BY_AGENT, SIGNED_BY_BATCH, type AssertionReader, type CandidateSource, type Place, type StoredAssertion } from '../candidate-source.ts'

/** What proofs are made of. */
export interface ProofDependencies {
  /** Undefined where the node keeps no log of proofs. */
  readonly log: ProofLog | undefined
  readonly realm: string
}

export interface ProofLog {
  readonly board: TlogBoard
  readonly tiles: TlogReader
}

interface Needs {
  readonly source: CandidateSource
  readonly reader: AssertionReader
  readonly proofs?: ProofDependencies | undefined
}

interface Head {
  readonly text: string
  readonly size: number
}

const refuse = (parameter: string, why: string): never => {
  throw new DbError('parameter_invalid', `${parameter} ${why}`, { parameter })
}

function logOf({ proofs }: Needs): ProofLog {
  const log = proofs?.log
  if (log === undefined) throw new DbError('proofs_disabled', ERROR_CODES.proofs_disabled.title)
  return log
}

/** The last signed head. Tiles of all its leaves are in the files. */
function headOf({ board }: ProofLog): Head {
  const { state, errorNumber, checkpoint } = board.read()
  // What was signed before stands, but nothing is proven against a log that is another one now.
  if (state === TLOG_STATE.diverged) throw new DbError(errorNameOf(errorNumber), ERROR_CODES[errorNameOf(errorNumber)].title)
  if (checkpoint === undefined) throw new DbError('proof_pending', 'no tree head has been signed since the start')
  return checkpoint
}

/**
 * Makes a proof from tiles, and gives it out only where it `holds` against the head that was signed: a client could else not tell a disk
 * that rots from a node that lies. Tiles that do not give what was signed are made again.
 */
function proven<T>({ board, tiles }: ProofLog, make: () => T, holds: (proof: T) => boolean): T {
  const again = (): DbError => new DbError('proof_pending', 'the tiles of the log are being made again')
  if (board.read().state === TLOG_STATE.rebuilds) throw again()
  for (let attempt = 0; attempt < 2; attempt++) {
    const proof = attempted(make, holds)
    if (proof !== undefined) return proof
    // What this thread has kept may be older than what the files have become.
    tiles.forget()
  }
  // A rebuild may have begun under these reads.
  if (board.read().state !== TLOG_STATE.rebuilds) board.doubt()
  throw again()
}

/** Undefined where it does not hold, or where the files end too early: what the system refuses is thrown. */
function attempted<T>(make: () => T, holds: (proof: T) => boolean): T | undefined {
  try {
    const proof = make()
    return holds(proof) ? proof : undefined
  } catch (error) {
    if (isDbError(error) && error.code === 'io_error' && error.details['errno'] === undefined) return undefined
    throw error
  }
}

const rootOf = ({ text }: Head): Uint8Array => must(parseCheckpoint(text), 'a node parses its own checkpoint').root

/** Whether `root` is that of the first `size` leaves of the tree that was signed. */
function isOfHead({ tiles }: ProofLog, head: Head, size: number, root: Uint8Array): boolean {
  const proof = size === head.size ? [] : tlogConsistencyProof(tiles, size, head.size)
  return verifyTlogConsistency(size, root, head.size, rootOf(head), proof)
}

function idOf(request: QueryRequest): Uint8Array {
  const id = request.id() ?? refuse('id', 'is missing')
  return id.bb!.bytes().slice(id.bb_pos, id.bb_pos + HASH_BYTES)
}

function placeOf(id: Uint8Array, { source }: Needs): Place {
  const place = source.byId(id)
  if (place === undefined) throw new DbError('not_found', 'no assertion has this id')
  return place
}

/** A size that a request names, at most that of the head. */
function sizeOf(parameter: string, given: bigint, head: Head): number {
  return given > BigInt(head.size) ? refuse(parameter, `is ${given}; the last signed tree head has ${head.size}`) : Number(given)
}

const hexes = (hashes: readonly Uint8Array[]): string[] => hashes.map(toHex)

/** The last checkpoint, as text. */
export const answerCheckpoint = (_request: QueryRequest, needs: Needs): Uint8Array =>
  new TextEncoder().encode(headOf(logOf(needs)).text)

/** That an assertion is in the log. */
export function answerInclusion(request: QueryRequest, needs: Needs): object {
  const log = logOf(needs)
  const id = idOf(request)
  const { lsn } = placeOf(id, needs)
  const head = headOf(log)
  const size = request.proofTo() === 0n ? head.size : sizeOf('size', request.proofTo(), head)
  if (lsn > head.size) throw pending(lsn, head)
  if (lsn > size) refuse('size', `is ${size}; the assertion is the ${lsn}th`)
  const { root, path } = includedAt(log, head, id, lsn - 1, size)
  return { id: toHex(id), index: lsn - 1, size, root: toHex(root), path: hexes(path), checkpoint: size === head.size ? head.text : null }
}

interface RootAndPath {
  readonly root: Uint8Array
  readonly path: Uint8Array[]
}

function includedAt(log: ProofLog, head: Head, id: Uint8Array, index: number, size: number): RootAndPath {
  const { tiles } = log
  return proven(log, () => ({ root: tlogRoot(tiles, size), path: tlogInclusionPath(tiles, index, size) }),
    ({ root, path }) => verifyTlogInclusion(id, index, size, path, root) && isOfHead(log, head, size, root))
}

function pending(lsn: number, head: Head): DbError {
  return new DbError('proof_pending', `the assertion has LSN ${lsn}; the last signed tree head has ${head.size}`, { lsn, size: head.size })
}

/** That the log only grew from one head to another. */
export function answerConsistency(request: QueryRequest, needs: Needs): object {
  const log = logOf(needs)
  const head = headOf(log)
  const proofTo = request.proofTo()
  const to = proofTo === 0n ? head.size : proofTo === EMPTY_TREE ? 0 : sizeOf('to', proofTo, head)
  const from = sizeOf('from', request.proofFrom(), head)
  if (from > to) refuse('from', `is ${from}, and to is ${to}`)
  const { root, path } = proven<RootAndPath>(log, () => ({ root: tlogRoot(log.tiles, to), path: tlogConsistencyProof(log.tiles, from, to) }),
    (proof) => verifyTlogConsistency(from, tlogRoot(log.tiles, from), to, proof.root, proof.path) && isOfHead(log, head, to, proof.root))
  return { from, to, root: toHex(root), path: hexes(path), checkpoint: to === head.size ? head.text : null }
}

/** A tile, or a bundle of entries (C2SP tlog-tiles), as bytes. */
export function answerTile(request: QueryRequest, needs: Needs): Uint8Array {
  const log = logOf(needs)
  const { tiles } = log
  const place = tilePlaceOf(request.tile() ?? '') ?? refuse('tile', 'is no path of a tile, as 0/x001/067 or entries/000.p/5')
  const head = headOf(log)
  const { level, index, width } = place
  const first = index * TILE_HASHES
  const has = level === 'entries' ? head.size : level < TILE_LEVELS ? levelHashes(level, head.size) : 0
  if (first + width > has) throw new DbError('not_found', 'no tree head that was signed has this tile')
  if (level !== 'entries') return proven(log, () => tiles.hashes(level, first, width).slice(), (hashes) => isTile(tiles, level, index, hashes))
  const ids = proven(log, () => tiles.ids(first, width).slice(), (bytes) => isTile(tiles, 0, index, leafHashesOf(bytes, width)))
  const bundle = new Uint8Array(width * (2 + HASH_BYTES))
  for (let i = 0; i < width; i++) {
    bundle[i * (2 + HASH_BYTES) + 1] = HASH_BYTES
    bundle.set(ids.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES), i * (2 + HASH_BYTES) + 2)
  }
  return bundle
}

/** Whether a whole tile is what the level above says of it; a partial one is not there yet. */
function isTile(tiles: TlogReader, level: number, index: number, hashes: Uint8Array): boolean {
  if (hashes.length < TILE_HASHES * HASH_BYTES) return true
  return bytesEqual(subtreeHashOf(hashes, TILE_HASHES), tiles.hashes(level + 1, index, 1))
}

/** How an assertion is signed: by itself, or as one of a batch, with its path to the root that was signed. */
function signatureOf(stored: StoredAssertion, place: Place, { reader, proofs }: Needs): object {
  const { realm } = must(proofs)
  const { id, signature, signedBy } = stored
  const agent = toHex(stored.assertion.agent)
  const common = { id: toHex(id), agent, realm }
  if (signature === undefined) return { ...common, signed_by: 'nobody' }
  if (signedBy === SIGNED_BY_AGENT) return { ...common, signed_by: 'assertion', signature: toHex(signature) }
  const ids = idsOfBatch(reader, place, id)
  return { ...common, signed_by: signedBy === SIGNED_BY_BATCH ? 'batch' : 'nobody', signature: toHex(signature), ...batchPath(ids, place.index) }
}

export function answerSignature(request: QueryRequest, needs: Needs): object {
  const place = placeOf(idOf(request), needs)
  return signatureOf(needs.reader.read(place), place, needs)
}

/** All that proves an assertion without a node, as C2SP tlog-proof; the assertion and its signature are the extra data. */
export function answerProofFile(request: QueryRequest, needs: Needs): Uint8Array {
  const log = logOf(needs)
  const id = idOf(request)
  const place = placeOf(id, needs)
  const head = headOf(log)
  const { lsn } = place
  if (lsn > head.size) throw pending(lsn, head)
  const stored = needs.reader.read(place)
  const extra = { assertion: toBase64(stored.bytes), ...signatureOf(stored, place, needs) }
  return new TextEncoder().encode(encodeTlogProof({
    extra: new TextEncoder().encode(JSON.stringify(extra)), index: lsn - 1,
    path: includedAt(log, head, id, lsn - 1, head.size).path, checkpoint: head.text,
  }))
}
