import type { Clock } from '../base/clock.ts'
import { RATE_ADDRESSES_MAX } from './front-limits.ts'

interface Bucket {
  readonly address: string
  /** Below zero while a batch that was larger than what was left is paid off. */
  tokens: number
  seenMonoMs: number
  /** Neighbours in the order of their last use. */
  older: Bucket | undefined
  newer: Bucket | undefined
}

/**
 * Token bucket an address, in assertions. A batch passes while a token is left and may leave a debt, so that one
 * larger than a second's worth passes too, and the mean rate holds. A second's worth may be saved up.
 */
export class RateLimiter {
  readonly ratePerSecond: number
  readonly #clock: Clock
  readonly #addressesMax: number
  readonly #buckets = new Map<string, Bucket>()
  /** The oldest is forgotten first. A list of their own: looking for a Map's first entry walks over all that were deleted. */
  #oldest: Bucket | undefined
  #newest: Bucket | undefined

  /** @param ratePerSecond 0: no limit. */
  constructor(ratePerSecond: number, clock: Clock, addressesMax = RATE_ADDRESSES_MAX) {
    this.ratePerSecond = ratePerSecond
    this.#clock = clock
    this.#addressesMax = addressesMax
  }

  get on(): boolean {
    return this.ratePerSecond > 0
  }

  /** Addresses remembered. */
  get size(): number {
    return this.#buckets.size
  }

  /** Takes `count` tokens and returns 0, or takes nothing and returns the milliseconds until it may be tried again. */
  take(address: string, count: number): number {
    if (!this.on) return 0
    const bucket = this.#bucketOf(address)
    if (bucket.tokens >= 1) {
      bucket.tokens -= count
      return 0
    }
    return Math.max(1, Math.ceil((1 - bucket.tokens) / this.ratePerSecond * 1000))
  }

  /** Returns what was taken for a batch that went nowhere. */
  giveBack(address: string, count: number): void {
    const bucket = this.#buckets.get(address)
    if (bucket !== undefined) bucket.tokens = Math.min(this.ratePerSecond, bucket.tokens + count)
  }

  /** Whole tokens left, and the seconds until there is one. */
  state(address: string): { remaining: number, resetSeconds: number } {
    if (!this.on) return { remaining: 0, resetSeconds: 0 }
    const { tokens } = this.#bucketOf(address)
    return {
      remaining: Math.max(0, Math.floor(tokens)),
      resetSeconds: tokens >= 1 ? 0 : Math.ceil((1 - tokens) / this.ratePerSecond),
    }
  }

  #bucketOf(address: string): Bucket {
    const nowMonoMs = this.#clock.monoMs()
    const known = this.#buckets.get(address)
    const bucket = known ?? { address, tokens: this.ratePerSecond, seenMonoMs: nowMonoMs, older: undefined, newer: undefined }
    const elapsedMs = Math.max(0, nowMonoMs - bucket.seenMonoMs)
    bucket.tokens = Math.min(this.ratePerSecond, bucket.tokens + elapsedMs / 1000 * this.ratePerSecond)
    bucket.seenMonoMs = nowMonoMs
    if (known === undefined) this.#add(bucket)
    else this.#unlink(bucket)
    this.#append(bucket)
    return bucket
  }

  #add(bucket: Bucket): void {
    const oldest = this.#oldest
    if (oldest !== undefined && this.#buckets.size >= this.#addressesMax) {
      this.#unlink(oldest)
      this.#buckets.delete(oldest.address)
    }
    this.#buckets.set(bucket.address, bucket)
  }

  #append(bucket: Bucket): void {
    bucket.older = this.#newest
    if (this.#newest === undefined) this.#oldest = bucket
    else this.#newest.newer = bucket
    this.#newest = bucket
  }

  #unlink(bucket: Bucket): void {
    const { older, newer } = bucket
    if (older === undefined) this.#oldest = newer
    else older.newer = newer
    if (newer === undefined) this.#newest = older
    else newer.older = older
    bucket.older = undefined
    bucket.newer = undefined
  }
}

/**
 * What the rate of a peer is counted under: an IPv4 address, or the /64 of an IPv6 one, since a host has all of it.
 * @param address 4 or 16 bytes, as uWebSockets gives it.
 */
export function addressKey(address: ArrayBuffer): string {
  const bytes = new Uint8Array(address)
  const mapped = bytes.length === 16 && bytes[10] === 0xff && bytes[11] === 0xff && bytes.subarray(0, 10).every((b) => b === 0)
  if (mapped) return bytes.subarray(12).join('.')
  return bytes.length === 16 ? bytes.subarray(0, 8).join(':') : bytes.join('.')
}
