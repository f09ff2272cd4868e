const PRIME = 0x0100_0193
const BASIS = 0x811c_9dc5 | 0

/**
 * A 32-bit checksum of `length` bytes of `view` from `start` on, for bytes that are a few hundred long: FNV-1a (Fowler,
 * Noll, Vo; draft-eastlake-fnv) over little-endian 32-bit words in four lanes, so that multiplications overlap. Each step is a
 * bijection, so a change within one word is always found, any other with a chance of 1 - 2^-32. Against damage, not against
 * forgery. A native CRC32C costs four times as much here, nearly all of it the call.
 */
export function wordSum(view: DataView, start: number, length: number): number {
  let a = BASIS ^ length
  let b = BASIS
  let c = BASIS
  let d = BASIS
  let at = start
  for (const end = start + (length & ~15); at < end; at += 16) {
    a = Math.imul(a ^ view.getInt32(at, true), PRIME)
    b = Math.imul(b ^ view.getInt32(at + 4, true), PRIME)
    c = Math.imul(c ^ view.getInt32(at + 8, true), PRIME)
    d = Math.imul(d ^ view.getInt32(at + 12, true), PRIME)
  }
  for (const end = start + (length & ~3); at < end; at += 4) a = Math.imul(a ^ view.getInt32(at, true), PRIME)
  for (const end = start + length; at < end; at++) a = Math.imul(a ^ view.getUint8(at), PRIME)
  return (Math.imul(Math.imul(Math.imul(a, PRIME) ^ b, PRIME) ^ c, PRIME) ^ d) >>> 0
}
