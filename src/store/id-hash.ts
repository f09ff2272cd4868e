import { assert } from '../base/assert.ts'
import { HASH_BYTES } from '../record/limits.ts'

/** A key: eight odd 32-bit multipliers, little-endian. */
export const ID_HASH_KEY_BYTES = 32

/**
 * 64-bit fingerprint of an id, keyed by a secret of this store, which filter, recent ids and runs share. Ids are
 * BLAKE3 digests, so they are uniform already; the key is there because whoever makes assertions can search for ids
 * that share leading bits, and would aim them at one bucket or one page. Whoever does not know the key can not.
 *
 * Multilinear hashing (Dietzfelbinger, "Universal hashing and k-wise independent random variables via integer
 * arithmetic without primes", 1996) of the id's first 16 bytes, then murmur3's finalizer so that all bits count. It is
 * no cryptographic hash: every hit is confirmed against the whole id.
 */
export class IdHash {
  readonly key: Uint8Array
  /** Upper and lower half of the last fingerprint as **signed** 32-bit numbers: they stay small integers in V8. */
  hi = 0
  lo = 0
  readonly #k: Int32Array

  /** @param key {@link ID_HASH_KEY_BYTES} from Secrets, the same in every thread of the node. */
  constructor(key: Uint8Array) {
    assert(key.length === ID_HASH_KEY_BYTES, 'id hash key has 32 bytes')
    this.key = key
    const view = new DataView(key.buffer, key.byteOffset, key.length)
    this.#k = Int32Array.from({ length: 8 }, (_, i) => view.getInt32(i * 4, true) | 1)
  }

  /**
   * Fingerprints of `count` ids that stand one behind the other from `offset` on, as {@link compute} makes them. One
   * pass over many lets the processor work on several at a time.
   */
  computeMany(ids: DataView, offset: number, count: number, his: Int32Array, los: Int32Array): void {
    const k = this.#k
    const k0 = k[0]!, k1 = k[1]!, k2 = k[2]!, k3 = k[3]!, k4 = k[4]!, k5 = k[5]!, k6 = k[6]!, k7 = k[7]!
    for (let i = 0, at = offset; i < count; i++, at += HASH_BYTES) {
      const a = ids.getInt32(at, true)
      const b = ids.getInt32(at + 4, true)
      const c = ids.getInt32(at + 8, true)
      const d = ids.getInt32(at + 12, true)
      his[i] = mix(Math.imul(a, k0) + Math.imul(b, k1) + Math.imul(c, k2) + Math.imul(d, k3) | 0)
      los[i] = mix(Math.imul(a, k4) + Math.imul(b, k5) + Math.imul(c, k6) + Math.imul(d, k7) | 0)
    }
  }

  /** Sets `hi` and `lo` from the 16 bytes at `offset`. */
  compute(ids: Uint8Array, offset: number): void {
    const a = word(ids, offset)
    const b = word(ids, offset + 4)
    const c = word(ids, offset + 8)
    const d = word(ids, offset + 12)
    const k = this.#k
    this.hi = mix(Math.imul(a, k[0]!) + Math.imul(b, k[1]!) + Math.imul(c, k[2]!) + Math.imul(d, k[3]!) | 0)
    this.lo = mix(Math.imul(a, k[4]!) + Math.imul(b, k[5]!) + Math.imul(c, k[6]!) + Math.imul(d, k[7]!) | 0)
  }
}

const word = (bytes: Uint8Array, at: number): number =>
  bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)

/** fmix32 of MurmurHash3 (Austin Appleby, public domain): a bijection. */
function mix(value: number): number {
  let h = value
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return h ^ (h >>> 16)
}
