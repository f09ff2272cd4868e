import { toHex } from '../base/bytes.ts'
import type { Secrets } from '../base/random.ts'

const ID_BYTES = 12
const IDS_A_DRAW = 256

/** Request ids: 96 random bits in hex. Drawn many at a time, because one draw costs as much as a hundred. */
export class RequestIds {
  readonly #secrets: Secrets
  #pool: Uint8Array = new Uint8Array(0)
  #at = 0

  constructor(secrets: Secrets) {
    this.#secrets = secrets
  }

  next(): string {
    if (this.#at === this.#pool.length) {
      this.#pool = this.#secrets.bytes(ID_BYTES * IDS_A_DRAW)
      this.#at = 0
    }
    this.#at += ID_BYTES
    return toHex(this.#pool.subarray(this.#at - ID_BYTES, this.#at))
  }
}
