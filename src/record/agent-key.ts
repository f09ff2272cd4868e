/**
 * Agents' keys as text: 64 hex digits, or `did:key` (w3c-ccg.github.io/did-key-spec): "did:key:z" and the base58btc of
 * the multicodec prefix of an Ed25519 public key (0xed 0x01) with the key.
 */
import { fromHex } from '../base/bytes.ts'
import { AGENT_BYTES } from './limits.ts'

const DID_KEY = 'did:key:z'
const ED25519_PREFIX = [0xed, 0x01] as const
const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
/** 34 bytes take 46 or 47 digits, or 34 at least where they are zero. */
const DIGITS_MAX = 47

/** `did:key:z6Mk...` of a 32-byte key. */
export function agentToDidKey(agent: Uint8Array): string {
  return DID_KEY + toBase58(Uint8Array.of(...ED25519_PREFIX, ...agent))
}

/** The 32-byte key of a text of either form, or undefined where it is neither. Whether it is a good key is not checked. */
export function agentFromText(text: string): Uint8Array | undefined {
  if (!text.startsWith(DID_KEY)) return fromHex(text, AGENT_BYTES)
  const bytes = fromBase58(text.slice(DID_KEY.length), ED25519_PREFIX.length + AGENT_BYTES)
  if (bytes === undefined || bytes[0] !== ED25519_PREFIX[0] || bytes[1] !== ED25519_PREFIX[1]) return undefined
  return bytes.slice(ED25519_PREFIX.length)
}

function toBase58(bytes: Uint8Array): string {
  let value = bytes.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n)
  let text = ''
  for (; value > 0n; value /= 58n) text = ALPHABET[Number(value % 58n)]! + text
  for (let i = 0; i < bytes.length && bytes[i] === 0; i++) text = ALPHABET[0]! + text
  return text
}

/** Exactly `length` bytes, from the one text that encodes them; anything else is undefined. */
function fromBase58(text: string, length: number): Uint8Array | undefined {
  if (text.length > DIGITS_MAX) return undefined
  let value = 0n
  for (const digit of text) {
    const place = ALPHABET.indexOf(digit)
    if (place < 0) return undefined
    value = value * 58n + BigInt(place)
  }
  const bytes = new Uint8Array(length)
  for (let i = length - 1; i >= 0; i--, value /= 256n) bytes[i] = Number(value % 256n)
  return value === 0n && toBase58(bytes) === text ? bytes : undefined
}
