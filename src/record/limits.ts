/**
 * Every limit of the record and wire formats, by name. They are part of the format: a node may be stricter
 * (`vectorLengthMax`, `batchAssertionsMax`, `frameBytesMax` in docs/reference/config.md), never laxer.
 * docs/reference/limits.md is tested against this file.
 */
import { assert } from '../base/assert.ts'
import { KiB, MiB } from '../base/units.ts'

/** BLAKE3-256 digests: ids, source hashes, epochs, parents. */
export const HASH_BYTES = 32
/** Ed25519 public key. */
export const AGENT_BYTES = 32
/** Ed25519 signature, R then S. */
export const SIGNATURE_BYTES = 64

/** All text limits count UTF-8 bytes. */
export const SUBJECT_BYTES_MAX = 1 * KiB
export const PREDICATE_BYTES_MAX = 256
export const OBJECT_TEXT_BYTES_MAX = 64 * KiB
export const OBJECT_REFERENCE_BYTES_MAX = 2 * KiB
export const SOURCE_URI_BYTES_MAX = 2 * KiB
export const NOTE_BYTES_MAX = 4 * KiB

/** 32-bit floats. A node's `vectorLengthMax` is usually far below. */
export const VECTOR_LENGTH_MAX = 65_536

/** What the 48 bits of an HLC hold: about the year 10889. */
export const ASSERTED_AT_MS_MAX = 2 ** 48 - 1

export const SOURCE_CLASS_MAX = 5

/** In one batch; the outcome's index is what a client matches on. */
export const BATCH_ASSERTIONS_MAX = 65_535

/** "stemedb.claim.v1" and a zero byte. */
export const CLAIM_TAG_BYTES = 17

/** Of a claim, what does not grow with texts and the vector, every optional field present (docs/formats/claim.md). */
export const CLAIM_FIXED_BYTES_MAX = CLAIM_TAG_BYTES
  + 4 // subject's length
  + 4 // predicate's length
  + 1 + 8 // object: kind, then a length or the longest fixed value
  + 8 // confidence
  + 1 // source class
  + HASH_BYTES
  + 1 + 4 // source URI's presence and length
  + 1 // lifecycle
  + 1 + HASH_BYTES // epoch
  + 1 + HASH_BYTES // parent
  + AGENT_BYTES
  + 8 // asserted at
  + 1 + 4 // note's presence and length
  + 1 + 4 // vector's presence and length

/** No canonical claim is longer. */
export const CLAIM_BYTES_MAX = CLAIM_FIXED_BYTES_MAX + SUBJECT_BYTES_MAX + PREDICATE_BYTES_MAX + OBJECT_TEXT_BYTES_MAX
  + SOURCE_URI_BYTES_MAX + NOTE_BYTES_MAX + 4 * VECTOR_LENGTH_MAX

/**
 * Longest Assertion buffer. What FlatBuffers adds to a claim (vtable, offsets, padding, terminators) is far below the
 * allowance; a longer buffer carries bytes that no field reaches.
 */
export const ASSERTION_BYTES_MAX = CLAIM_BYTES_MAX + 1 * KiB

/** Records beside assertions (docs/formats/records.md). UTF-8 bytes of an epoch's name. */
export const EPOCH_NAME_BYTES_MAX = 256
/** UTF-8 bytes of a registered source's title. */
export const SOURCE_TITLE_BYTES_MAX = 512
/** UTF-8 bytes of the content that is stored with a source. */
export const SOURCE_CONTENT_BYTES_MAX = 1 * MiB
/** UTF-8 bytes of one of the pieces that content is stored in. */
export const SOURCE_PIECE_BYTES_MAX = 60 * KiB
/** Pieces that the longest content takes. A cut never splits a character, so a piece may be up to three bytes short. */
export const SOURCE_PIECES_MAX = Math.ceil(SOURCE_CONTENT_BYTES_MAX / (SOURCE_PIECE_BYTES_MAX - 3))
/** Longest subject that can have aliases: it stands in the subject of each, behind what that begins with. */
export const ALIASED_BYTES_MAX = SUBJECT_BYTES_MAX - 'steme://alias/path/'.length

/** Tables inside one another, a nested buffer counting as one more. The deepest schema (LogEntry) needs 4. */
export const VERIFY_DEPTH_MAX = 8

/** Tables visited in one buffer, shared ones each time: a full batch needs two an assertion and a few. */
export const VERIFY_TABLES_MAX = 2 * (BATCH_ASSERTIONS_MAX + 1) + 16

assert(CLAIM_TAG_BYTES === 'stemedb.claim.v1\0'.length, 'the tag has its declared size')
assert(SOURCE_PIECE_BYTES_MAX <= OBJECT_TEXT_BYTES_MAX, 'a piece is a text')
assert(CLAIM_BYTES_MAX < ASSERTION_BYTES_MAX, 'every claim fits into a buffer')
