import { bytesEqual, concatBytes, fromHex, toHex } from '../base/bytes.ts'
import { HASH_BYTES } from './blake3.layout.ts'
import { sha256 } from './sha256-kernel.ts'
import { realmHashOf } from './signed-message.ts'

/**
 * Signed tree heads as C2SP checkpoints (c2sp.org/tlog-checkpoint, c2sp.org/signed-note), and proofs that need no node as C2SP
 * tlog-proofs (docs/formats/tlog.md). Text only; who signs and who verifies is handed in, so that this runs in browsers, too.
 */

/** A tree head that somebody may have signed. */
export interface TreeHead {
  readonly origin: string
  /** Leaves: the log's last LSN. */
  readonly size: number
  readonly root: Uint8Array
}

export interface NoteSignature {
  readonly keyName: string
  /** Four bytes. */
  readonly keyId: Uint8Array
  readonly signature: Uint8Array
}

export interface Checkpoint extends TreeHead {
  /** The bytes that are signed. */
  readonly signedBytes: Uint8Array
  readonly signatures: readonly NoteSignature[]
}

/** Longest checkpoint that is read: a head, and sixteen signatures and more. */
export const CHECKPOINT_BYTES_MAX = 16_384
/** Longest proof file: two assertions' worth of extra data. */
export const TLOG_PROOF_BYTES_MAX = 1024 * 1024
/** Longest checkpoint that a node makes: {@link originOf} bounds it. */
export const OWN_CHECKPOINT_BYTES_MAX = 640

const ED25519_TYPE = 1
const SIGNATURE_BYTES = 64
const PLAIN_REALM = /^[A-Za-z0-9._~-]{1,64}$/
const SIZE = /^(0|[1-9]\d{0,15})$/

const utf8 = new TextEncoder()

/** The log's name: the realm and the node, in one line without spaces or plus signs. Another realm's name is replaced by its hash where it is no plain word. */
export function originOf(realm: string, nodeId: Uint8Array): string {
  const name = PLAIN_REALM.test(realm) ? realm : `realm-${toHex(realmHashOf(realm))}`
  return `stemedb/${name}/${toHex(nodeId)}`
}

/** The node's public key at the end of an origin, or undefined: a hint at who to ask for, never a reason to trust. */
export function nodeIdOfOrigin(origin: string): Uint8Array | undefined {
  const match = /^stemedb\/[^/]+\/([0-9a-f]{64})$/.exec(origin)
  return match === null ? undefined : fromHex(match[1]!, HASH_BYTES)
}

/** SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key), its first four bytes (c2sp.org/signed-note). */
export function keyIdOf(keyName: string, publicKey: Uint8Array): Uint8Array {
  return sha256(concatBytes(utf8.encode(keyName), Uint8Array.of(0x0a, ED25519_TYPE), publicKey)).slice(0, 4)
}

/** `name+key id+base64(0x01 ‖ key)`: how other tools (Go's sumdb/note) want to be told a log's key. */
export function verifierKeyOf(keyName: string, publicKey: Uint8Array): string {
  return `${keyName}+${toHex(keyIdOf(keyName, publicKey))}+${toBase64(concatBytes(Uint8Array.of(ED25519_TYPE), publicKey))}`
}

/** The key in a verifier key, where it is an Ed25519 one and its key id is right. */
export function parseVerifierKey(text: string): { readonly keyName: string, readonly publicKey: Uint8Array } | undefined {
  const [keyName = '', id = '', encoded = '', ...more] = text.trim().split('+')
  // Base64 may have plus signs of its own.
  const bytes = fromBase64([encoded, ...more].join('+'))
  if (bytes?.length !== 1 + HASH_BYTES || bytes[0] !== ED25519_TYPE) return undefined
  const publicKey = bytes.slice(1)
  return toHex(keyIdOf(keyName, publicKey)) === id ? { keyName, publicKey } : undefined
}

/** What is signed: three lines. */
export const headText = ({ origin, size, root }: TreeHead): string => `${origin}\n${size}\n${toBase64(root)}\n`

/** The checkpoint of a head. @param signature Ed25519 over the UTF-8 of {@link headText} */
export function checkpointText(head: TreeHead, publicKey: Uint8Array, signature: Uint8Array): string {
  return `${headText(head)}\n— ${head.origin} ${toBase64(concatBytes(keyIdOf(head.origin, publicKey), signature))}\n`
}

function signatureOf(line: string): NoteSignature | undefined {
  const [dash, keyName, encoded, ...more] = line.split(' ')
  const bytes = fromBase64(encoded ?? '')
  if (dash !== '—' || !keyName || keyName.includes('+') || bytes === undefined || bytes.length <= 4 || more.length > 0) return undefined
  return { keyName, keyId: bytes.slice(0, 4), signature: bytes.slice(4) }
}

// eslint-disable-next-line no-control-regex -- a note has no control characters but newlines
const CONTROL = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/

/** Reads a checkpoint, its signatures unchecked. Undefined where it is none. */
export function parseCheckpoint(text: string): Checkpoint | undefined {
  const split = text.lastIndexOf('\n\n')
  if (text.length > CHECKPOINT_BYTES_MAX || split < 0 || !text.endsWith('\n') || CONTROL.test(text)) return undefined
  const head = text.slice(0, split + 1)
  const [origin = '', size = '', encodedRoot = '', ...extensions] = head.slice(0, -1).split('\n')
  const root = fromBase64(encodedRoot)
  const signatures = text.slice(split + 2, -1).split('\n').map(signatureOf)
  if (origin === '' || !SIZE.test(size) || !Number.isSafeInteger(Number(size)) || root?.length !== HASH_BYTES) return undefined
  if (extensions.includes('') || signatures.includes(undefined)) return undefined
  return { origin, size: Number(size), root, signedBytes: utf8.encode(head), signatures: signatures as NoteSignature[] }
}

export type VerifyEd25519 = (publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array) => boolean | Promise<boolean>

/** Whether the log with this key signed the checkpoint under the checkpoint's own origin. */
export async function isSignedBy(checkpoint: Checkpoint, publicKey: Uint8Array, verify: VerifyEd25519): Promise<boolean> {
  const { origin, signedBytes } = checkpoint
  const keyId = keyIdOf(origin, publicKey)
  const ours = checkpoint.signatures.filter((line) => line.keyName === origin && bytesEqual(line.keyId, keyId))
  if (ours.length === 0 || ours.some(({ signature }) => signature.length !== SIGNATURE_BYTES)) return false
  for (const { signature } of ours) if (!await verify(publicKey, signedBytes, signature)) return false
  return true
}

/** A proof that stands alone (c2sp.org/tlog-proof). */
export interface TlogProof {
  /** Not authenticated by the proof. */
  readonly extra: Uint8Array | undefined
  readonly index: number
  /** From the leaf's sibling up. */
  readonly path: readonly Uint8Array[]
  /** As it was given out. */
  readonly checkpoint: string
}

const PROOF_HEADER = 'c2sp.org/tlog-proof@v1'

/** Whether it says that it is a proof file. */
export const isTlogProof = (text: string): boolean => text.startsWith('c2sp.org/tlog-proof@')

export function encodeTlogProof({ extra, index, path, checkpoint }: TlogProof): string {
  const lines = [PROOF_HEADER, ...(extra === undefined ? [] : [`extra ${toBase64(extra)}`]), `index ${index}`, ...path.map(toBase64)]
  return `${lines.join('\n')}\n\n${checkpoint}`
}

/** Reads a proof file. Undefined where it is none; the checkpoint is left as it stands. */
export function parseTlogProof(text: string): TlogProof | undefined {
  const split = text.indexOf('\n\n')
  if (text.length > TLOG_PROOF_BYTES_MAX || split < 0) return undefined
  const lines = text.slice(0, split).split('\n')
  if (lines.shift() !== PROOF_HEADER) return undefined
  const extra = lines[0]?.startsWith('extra ') ? fromBase64(lines.shift()!.slice('extra '.length)) ?? null : undefined
  const [, index] = /^index (\d+)$/.exec(lines.shift() ?? '') ?? []
  const path = lines.map(fromBase64)
  if (extra === null || index === undefined || !SIZE.test(index) || path.some((hash) => hash?.length !== HASH_BYTES)) return undefined
  return { extra, index: Number(index), path: path as Uint8Array[], checkpoint: text.slice(split + 2) }
}

/** RFC 4648, section 4, with padding. */
export function toBase64(bytes: Uint8Array): string {
  let binary = ''
  for (const byte of bytes) binary += String.fromCharCode(byte)
  return btoa(binary)
}

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/

/** Undefined where it is no base64 in its one canonical form. */
export function fromBase64(text: string): Uint8Array | undefined {
  if (text.length % 4 !== 0 || !BASE64.test(text)) return undefined
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0))
  // Bits that stand for nothing must be zero.
  return toBase64(bytes) === text ? bytes : undefined
}
