import { assert } from '../base/assert.ts'
import { HASH_BYTES } from './blake3.layout.ts'
import { ScalarSha256Kernel, type Sha256Kernel } from './sha256-kernel.ts'
import { SHA256_TREE, TILE_HASHES } from './sha256.layout.ts'
import { simdSha256Kernel } from './sha256-simd.ts'
import { consistencyRanges, emptyTlogRoot, inclusionRanges, tlogNodeHash, type LeafRange } from './tlog.ts'

/**
 * Tiles of the log (C2SP tlog-tiles): only every eighth level of the tree is kept. Hash i of level L is that of the whole subtree over the leaves
 * from i * 256^L to (i + 1) * 256^L; what lies between is hashed again when it is asked for. Pure, over a {@link HashSource}.
 */

export const TILE_BYTES = TILE_HASHES * HASH_BYTES
/** Levels of a log of 2^53 leaves: 256^6 is less, and 256^7 more. */
export const TILE_LEVELS = 7

export { TILE_HASHES }

let kernel: Sha256Kernel | undefined

/** This thread's kernel, made at the first call. */
const sha256Kernel = (): Sha256Kernel => (kernel ??= simdSha256Kernel() ?? new ScalarSha256Kernel())

/** Leaf hashes of `count` ids, at most {@link TILE_HASHES}, in memory of their own. */
export function leafHashesOf(ids: Uint8Array, count: number): Uint8Array {
  assert(count <= TILE_HASHES && ids.length >= count * HASH_BYTES, 'ids of one tile')
  const current = sha256Kernel()
  current.memory.set(ids.subarray(0, count * HASH_BYTES), SHA256_TREE)
  current.leaves(SHA256_TREE, count)
  return current.memory.slice(SHA256_TREE, SHA256_TREE + count * HASH_BYTES)
}

/** Hash of a whole subtree from its `count` hashes: a power of two, at most {@link TILE_HASHES}. */
export function subtreeHashOf(hashes: Uint8Array, count: number): Uint8Array {
  assert(count > 0 && count <= TILE_HASHES && (count & (count - 1)) === 0 && hashes.length >= count * HASH_BYTES, 'a whole subtree')
  const current = sha256Kernel()
  current.memory.set(hashes.subarray(0, count * HASH_BYTES), SHA256_TREE)
  for (let width = count; width > 1; width >>= 1) current.level(SHA256_TREE, width)
  return current.memory.slice(SHA256_TREE, SHA256_TREE + HASH_BYTES)
}

/** How many hashes a level has in a log of `size` leaves. */
export const levelHashes = (level: number, size: number): number => Math.floor(size / TILE_HASHES ** level)

/** Where hashes are read from. */
export interface HashSource {
  /**
   * `count` hashes of a level from hash `first` on, all of one tile, one behind the other. Valid until the next call.
   * @throws {DbError} as its disk does
   */
  hashes(level: number, first: number, count: number): Uint8Array
}

/** MTH of RFC 9162, 2.1.1, of a range that begins at a multiple of the power of two at or above its length. */
export function rangeHash(source: HashSource, { first, end }: LeafRange): Uint8Array {
  if (end === first) return emptyTlogRoot()
  // Whole subtrees from the left, each at most half as large as the one before.
  const parts: Uint8Array[] = []
  for (let at = first; at < end;) {
    let power = 1
    let height = 0
    while (power * 2 <= end - at) {
      power *= 2
      height++
    }
    parts.push(wholeHash(source, at, height))
    at += power
  }
  return parts.reduceRight((right, left) => tlogNodeHash(left, right))
}

function wholeHash(source: HashSource, first: number, height: number): Uint8Array {
  const level = Math.floor(height / 8)
  const count = 2 ** (height % 8)
  const index = first / TILE_HASHES ** level
  assert(Number.isInteger(index / count), 'a whole subtree begins at a multiple of its size')
  return subtreeHashOf(source.hashes(level, index, count), count)
}

/** Root of the first `size` leaves. */
export const tlogRoot = (source: HashSource, size: number): Uint8Array => rangeHash(source, { first: 0, end: size })

/** Inclusion path of leaf `index` in the tree of the first `size` leaves, from the sibling up. */
export function tlogInclusionPath(source: HashSource, index: number, size: number): Uint8Array[] {
  return inclusionRanges(index, size).map((range) => rangeHash(source, range))
}

/** Proof that the tree of the first `to` leaves begins with that of the first `from`. */
export function tlogConsistencyProof(source: HashSource, from: number, to: number): Uint8Array[] {
  return consistencyRanges(from, to).map((range) => rangeHash(source, range))
}

/**
 * The right edge of a growing log: the last, partial tile of every level. Takes ids, gives the hashes that levels above the leaves grow by. Its
 * memory does not grow with the log.
 */
export class TileEdge implements HashSource {
  #size = 0
  /** By level; level 0 holds leaf hashes. */
  readonly #tiles = Array.from({ length: TILE_LEVELS }, () => new Uint8Array(TILE_BYTES))

  get size(): number {
    return this.#size
  }

  /** Puts the edge of a log of `size` leaves into place, as `tile` gives its partial tiles. */
  restore(size: number, tile: (level: number, first: number, count: number) => Uint8Array): void {
    for (let level = 0; level < TILE_LEVELS; level++) {
      const count = levelHashes(level, size)
      const width = count % TILE_HASHES
      if (width > 0) this.#tiles[level]!.set(tile(level, count - width, width).subarray(0, width * HASH_BYTES))
    }
    this.#size = size
  }

  /**
   * Appends `count` ids.
   * @param grown takes each new hash of the levels from 1 on, in their order; valid during the call
   */
  append(ids: Uint8Array, count: number, grown: (level: number, hash: Uint8Array) => void): void {
    for (let done = 0; done < count;) {
      const width = this.#size % TILE_HASHES
      const take = Math.min(count - done, TILE_HASHES - width)
      this.#tiles[0]!.set(leafHashesOf(ids.subarray(done * HASH_BYTES), take), width * HASH_BYTES)
      this.#size += take
      done += take
      if (width + take === TILE_HASHES) this.#close(0, grown)
    }
  }

  /** A tile is full: its hash is one of the level above, which may be full then, too. */
  #close(level: number, grown: (level: number, hash: Uint8Array) => void): void {
    const above = level + 1
    assert(above < TILE_LEVELS, 'a log of more than 2^56 leaves')
    const hash = subtreeHashOf(this.#tiles[level]!, TILE_HASHES)
    const place = (levelHashes(above, this.#size) - 1) % TILE_HASHES
    this.#tiles[above]!.set(hash, place * HASH_BYTES)
    grown(above, hash)
    if (place === TILE_HASHES - 1) this.#close(above, grown)
  }

  hashes(level: number, first: number, count: number): Uint8Array {
    const has = levelHashes(level, this.#size)
    const from = first - Math.floor(has / TILE_HASHES) * TILE_HASHES
    assert(from >= 0 && first + count <= has, 'not of the edge')
    return this.#tiles[level]!.subarray(from * HASH_BYTES, (from + count) * HASH_BYTES)
  }

  root(): Uint8Array {
    return tlogRoot(this, this.#size)
  }
}

/** A tile by its place (C2SP tlog-tiles): hashes of a level, or the entries of the leaves. */
export interface TilePlace {
  readonly level: number | 'entries'
  readonly index: number
  /** How many of the tile's 256 there are; less in a partial one. */
  readonly width: number
}

/** `x001/x234/067` of 1234067, and `.p/5` behind a partial tile's. */
export function tilePathOf({ level, index, width }: TilePlace): string {
  const digits = String(index)
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, '0').match(/\d{3}/g)!
  const path = groups.map((group, i) => (i < groups.length - 1 ? `x${group}` : group)).join('/')
  return `${level}/${path}${width === TILE_HASHES ? '' : `.p/${width}`}`
}

const TILE_PATH = /^(entries|\d{1,2})\/((?:x\d{3}\/)*\d{3})(?:\.p\/([1-9]\d{0,2}))?$/

/** The place that a path names, or undefined where it is none, or not written as {@link tilePathOf} writes it. */
export function tilePlaceOf(path: string): TilePlace | undefined {
  const match = path.length <= 64 ? TILE_PATH.exec(path) : null
  if (match === null) return undefined
  const place: TilePlace = {
    level: match[1] === 'entries' ? 'entries' : Number(match[1]),
    index: Number(match[2]!.replaceAll(/[x/]/g, '')),
    width: match[3] === undefined ? TILE_HASHES : Number(match[3]),
  }
  const isPlace = Number.isSafeInteger(place.index) && place.width <= TILE_HASHES && tilePathOf(place) === path
  return isPlace ? place : undefined
}
