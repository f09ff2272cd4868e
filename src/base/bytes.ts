const HEX = '0123456789abcdef'

export function toHex(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += HEX[byte >> 4]! + HEX[byte & 15]!
  return text
}

/** The bytes of a hex text of either case, or undefined where it is not hex or not `bytesExpected` long. */
export function fromHex(text: string, bytesExpected?: number): Uint8Array | undefined {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) return undefined
  if (bytesExpected !== undefined && text.length !== bytesExpected * 2) return undefined
  const bytes = new Uint8Array(text.length / 2)
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(text.slice(i * 2, i * 2 + 2), 16)
  return bytes
}

export function bytesEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

/** Order of unsigned bytes, then of length: that of keys in the store. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const common = Math.min(a.length, b.length)
  for (let i = 0; i < common; i++) {
    const difference = a[i]! - b[i]!
    if (difference !== 0) return difference
  }
  return a.length - b.length
}

export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/** A copy in memory of its own, also from shared memory: what native code and callers outside may keep. */
export function copyBytes(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes)
}

/** A longer array, which begins with these bytes; zeros behind them. */
export function grownBytes(bytes: Uint8Array, length: number): Uint8Array<ArrayBuffer> {
  const grown = new Uint8Array(length)
  grown.set(bytes)
  return grown
}

/** Big-endian, as numbers in keys are: the order of bytes is the order of numbers. */
export function writeU32Be(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}

const LOOP_BYTES_MAX = 64

/** Copies `length` bytes. A few go one by one: `set(subarray())` makes a view first, which takes longer than they do. */
export function copyRange(from: Uint8Array, at: number, to: Uint8Array, toAt: number, length: number): void {
  if (length > LOOP_BYTES_MAX) to.set(from.subarray(at, at + length), toAt)
  else for (let i = 0; i < length; i++) to[toAt + i] = from[at + i]!
}
