import { createPublicKey, verify } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { concatBytes, fromHex } from '../../../src/base/bytes.ts'
import { ERROR_CODES, errorNameOf } from '../../../src/base/error-codes.ts'
import { verifyEd25519 } from '../../../src/client/ed25519.ts'
import { batchMessage, realmHashOf, singleMessage } from '../../../src/merkle/signed-message.ts'
import { rootOfIds } from '../../../src/merkle/tree.ts'
import { checkKey } from '../../../src/record/ed25519-rules.ts'
import { signMessage, verifySignature, verifySignatureAt } from '../../../src/verify/ed25519.ts'
import { keyPairOfSeed } from '../../../src/verify/keys.ts'
import { recordFault } from '../../support/fault-record.ts'
import { repoRoot } from '../../support/root.ts'

interface GoldenCase { name: string; publicKey: string; message: string; signature: string; verdict: string }
const golden = (JSON.parse(readFileSync(join(repoRoot, 'test/vectors/ed25519.json'), 'utf8')) as { cases: GoldenCase[] }).cases

const bytesOf = (hex: string): Uint8Array => fromHex(hex)!
const verdictOf = (publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): string => {
  const code = verifySignature(publicKey, message, signature)
  return code === 0 ? 'ok' : errorNameOf(code)
}

const realm = realmHashOf('default')
const agent = keyPairOfSeed(new Uint8Array(32).fill(7))
const id = new Uint8Array(32).fill(0x5a)
const message = singleMessage(realm, id)
const signature = signMessage(agent.secretKey, message)

const flipped = (bytes: Uint8Array, bit: number): Uint8Array => {
  const copy = bytes.slice()
  copy[bit >> 3]! ^= 1 << (bit & 7)
  return copy
}

const numberOf = (bytes: Uint8Array): bigint => bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n)
const bytesOfNumber = (value: bigint): Uint8Array => Uint8Array.from({ length: 32 }, (_, i) => Number((value >> BigInt(8 * i)) & 255n))
const L = 2n ** 252n + 27742317777372353535851937790883648493n
const P = 2n ** 255n - 19n

const changes = { trials: 0, failures: 0, caught: 0 }
const keys = { trials: 0, failures: 0, takenByOthers: 0 }
t.teardown(() => {
  recordFault({
    id: 'S1', title: 'every one-bit change of signature, key and message; S + L, S = L; wrong lengths, keys, realms and domains', trials: changes.trials, unit: 'changes',
    failures: changes.failures, tooth: `a verifier that forgets the message's last byte: caught by ${changes.caught} changes`,
  })
  recordFault({
    id: 'S2', title: 'the table of weak keys, edge cases of speccheck and RFC 8032 vectors; all low-order points in all encodings', trials: keys.trials, unit: 'cases',
    failures: keys.failures, tooth: `OpenSSL by itself takes ${keys.takenByOthers} of the forgeries that are refused here`,
  })
})

type Verify = typeof verifySignature
/** S1: how many one-bit changes of a valid signature, its key and its message there are, and how many are taken. */
function flipEveryBit(check: Verify): { flips: number, taken: string[] } {
  const taken: string[] = []
  for (let bit = 0; bit < 512; bit++) if (check(agent.publicKey, message, flipped(signature, bit)) === 0) taken.push(`signature bit ${bit}`)
  for (let bit = 0; bit < 256; bit++) if (check(flipped(agent.publicKey, bit), message, signature) === 0) taken.push(`key bit ${bit}`)
  for (let bit = 0; bit < message.length * 8; bit++) if (check(agent.publicKey, flipped(message, bit), signature) === 0) taken.push(`message bit ${bit}`)
  return { flips: 512 + 256 + message.length * 8, taken }
}

/** A verdict that S1 (changed signatures) or S2 (cases of keys) counts. */
function counted(t: Test, sum: { trials: number, failures: number }, found: unknown, wanted: unknown, name = String(wanted)): void {
  sum.trials++
  if (!t.equal(found, wanted, name)) sum.failures++
}

t.test('golden verdicts, single and out of a bigger shared buffer', async (t) => {
  t.ok(golden.length >= 55)
  for (const { name, publicKey, message, signature, verdict } of golden) {
    counted(t, keys, verdictOf(bytesOf(publicKey), bytesOf(message), bytesOf(signature)), verdict, name)
    if (publicKey.length !== 64 || signature.length !== 128) continue
    const shared = new Uint8Array(new SharedArrayBuffer(128), 3)
    shared.set(bytesOf(publicKey), 5)
    shared.set(bytesOf(signature), 37)
    const code = verifySignatureAt(shared, 5, shared, 37, bytesOf(message))
    t.equal(code === 0 ? 'ok' : errorNameOf(code), verdict, `${name}, shared`)
  }
})

t.test('a client has the same verdicts, in plain JavaScript', async (t) => {
  for (const { name, publicKey, message, signature, verdict } of golden) {
    counted(t, keys, await verifyEd25519(bytesOf(publicKey), bytesOf(message), bytesOf(signature)), verdict === 'ok', name)
  }
})

/** What OpenSSL says, with nothing before it; false where it refuses the key already. */
function openSslTakes({ publicKey, message, signature }: GoldenCase): boolean {
  try {
    const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(publicKey, 'hex').toString('base64url') }, format: 'jwk' })
    return verify(null, bytesOf(message), key, bytesOf(signature))
  } catch {
    return false
  }
}

t.test('the tooth of the golden table: a library by itself takes forgeries', async (t) => {
  keys.takenByOthers = golden.filter((forgery) => forgery.verdict !== 'ok' && openSslTakes(forgery)).length
  t.ok(keys.takenByOthers > 0, `${keys.takenByOthers} are taken`)
})

t.test('the golden table holds what must be refused', async (t) => {
  const verdicts = (start: string): string[] => golden.filter(({ name }) => name.startsWith(start)).map(({ verdict }) => verdict)
  t.same(verdicts('forged'), Array.from({ length: 14 }, () => 'key_weak'))
  t.same(verdicts('R y').concat(verdicts('R order')), Array.from({ length: 14 }, () => 'signature_malformed'))
  t.equal(verdicts('speccheck').length, 12)
  t.same(verdicts('speccheck').map((verdict) => verdict === 'ok'), [false, false, false, true, ...Array.from({ length: 8 }, () => false)])
  t.same(verdicts('RFC 8032'), ['ok', 'ok', 'ok'])
})

t.test('every one-bit change is refused', async (t) => {
  t.equal(verifySignature(agent.publicKey, message, signature), 0)
  const { flips, taken } = flipEveryBit(verifySignature)
  changes.trials += flips
  changes.failures += taken.length
  t.same(taken, [])
  const forgetful: Verify = (key, text, signed) => verifySignature(key, concatBytes(text.subarray(0, -1), message.subarray(-1)), signed)
  changes.caught = flipEveryBit(forgetful).taken.length
  t.equal(changes.caught, 8, 'the tooth: a verifier that forgets the last byte of the message')
})

t.test('S is below the group order', async (t) => {
  const r = signature.subarray(0, 32)
  const s = numberOf(signature.subarray(32))
  for (const other of [s + L, s + 2n * L, L, L + 1n, 2n ** 253n, 2n ** 255n, 2n ** 256n - 1n]) {
    counted(t, changes, verdictOf(agent.publicKey, message, concatBytes(r, bytesOfNumber(other))), 'signature_malformed', `S = ${other}`)
  }
  for (const other of [0n, L - 1n, s - 1n]) {
    counted(t, changes, verdictOf(agent.publicKey, message, concatBytes(r, bytesOfNumber(other))), 'signature_invalid', `S = ${other}`)
  }
})

t.test('lengths', async (t) => {
  for (const length of [0, 1, 32, 63]) counted(t, changes, verdictOf(agent.publicKey, message, signature.subarray(0, length)), 'signature_malformed')
  counted(t, changes, verdictOf(agent.publicKey, message, concatBytes(signature, Uint8Array.of(0))), 'signature_malformed')
  for (const length of [0, 31]) counted(t, changes, verdictOf(agent.publicKey.subarray(0, length), message, signature), 'key_weak')
  counted(t, changes, verdictOf(concatBytes(agent.publicKey, Uint8Array.of(0)), message, signature), 'key_weak')
})

t.test('wrong key, other realm, other domain', async (t) => {
  const other = keyPairOfSeed(new Uint8Array(32).fill(8))
  counted(t, changes, verdictOf(other.publicKey, message, signature), 'signature_invalid')
  counted(t, changes, verdictOf(agent.publicKey, singleMessage(realmHashOf('Default'), id), signature), 'signature_invalid')
  counted(t, changes, verdictOf(agent.publicKey, id, signature), 'signature_invalid', 'the bare id')
  counted(t, changes, verdictOf(agent.publicKey, batchMessage(realm, 1, id), signature), 'signature_invalid', 'as a batch of one')
})

t.test('a batch signature is for its ids, their order and their count', async (t) => {
  const ids = Array.from({ length: 5 }, (_, i) => new Uint8Array(32).fill(i + 1))
  const messageOf = (list: readonly Uint8Array[], count = list.length): Uint8Array => batchMessage(realm, count, rootOfIds(concatBytes(...list)))
  const signed = signMessage(agent.secretKey, messageOf(ids))
  t.equal(verdictOf(agent.publicKey, messageOf(ids), signed), 'ok')
  const [a, b, c, d, e] = ids as [Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array]
  const others: [string, Uint8Array][] = [
    ['two swapped', messageOf([b, a, c, d, e])], ['one left out', messageOf([a, b, c, d])], ['one twice', messageOf([a, b, c, d, e, e])],
    ['one replaced', messageOf([a, b, c, d, id])], ['another count', messageOf(ids, 6)],
    ['another realm', batchMessage(realmHashOf('x'), 5, rootOfIds(concatBytes(...ids)))],
  ]
  for (const [name, other] of others) t.equal(verdictOf(agent.publicKey, other, signed), 'signature_invalid', name)
})

/** Points by the curve equation, so that the list of weak encodings is derived here and not copied. */
const power = (base: bigint, exponent: bigint): bigint => {
  let result = 1n
  for (base %= P; exponent > 0n; exponent >>= 1n, base = (base * base) % P) if (exponent & 1n) result = (result * base) % P
  return result
}
const D = ((P - 121665n) * power(121666n, P - 2n)) % P
const mod = (value: bigint): bigint => ((value % P) + P) % P

type Point = readonly [bigint, bigint]
const addPoints = ([x1, y1]: Point, [x2, y2]: Point): Point => {
  const product = mod(D * x1 * x2 * y1 * y2)
  return [mod((x1 * y2 + x2 * y1) * power(mod(1n + product), P - 2n)), mod((y1 * y2 + x1 * x2) * power(mod(1n - product), P - 2n))]
}

/** An x for this y, or undefined: RFC 8032, 5.1.3. */
function xOf(y: bigint): bigint | undefined {
  const u = mod(y * y - 1n)
  const v = mod(D * y * y + 1n)
  const x = mod(u * power(v, 3n) * power(mod(u * power(v, 7n)), (P - 5n) / 8n))
  if (mod(v * x * x) === u) return x
  const turned = mod(x * power(2n, (P - 1n) / 4n))
  return mod(v * turned * turned) === u ? turned : undefined
}

t.test('all low-order points in all encodings, and every unreduced y, are refused as key and as R', async (t) => {
  // L times any point of the curve is a point of order 1, 2, 4 or 8: one of order 8 gives them all.
  let torsion: Point[] = []
  for (let y = 2n; torsion.length < 8; y++) {
    const x = xOf(y)
    if (x === undefined) continue
    let generator: Point = [0n, 1n]
    for (let bit = 252n; bit >= 0n; bit--) {
      generator = addPoints(generator, generator)
      if ((L >> bit) & 1n) generator = addPoints(generator, [x, y])
    }
    torsion = [[0n, 1n]]
    for (let point = generator; point[1] !== 1n; point = addPoints(point, generator)) torsion.push(point)
  }
  const ys = new Set(torsion.map(([, y]) => y))
  const encodings = new Set<bigint>()
  for (const y of [...ys].flatMap((y) => [y, y + P]).filter((y) => y < 2n ** 255n)) {
    for (const sign of [0n, 1n]) encodings.add(y | (sign << 255n))
  }
  t.equal(encodings.size, 14, '8 canonical and 6 other encodings')
  for (let k = 0n; k < 19n; k++) for (const sign of [0n, 1n]) encodings.add((P + k) | (sign << 255n))
  t.equal(encodings.size, 14 - 4 + 38)
  for (const encoding of encodings) {
    const point = bytesOfNumber(encoding)
    counted(t, keys, checkKey(point), ERROR_CODES.key_weak.number)
    counted(t, keys, verdictOf(point, message, signature), 'key_weak')
    counted(t, keys, verdictOf(agent.publicKey, message, concatBytes(point, signature.subarray(32))), 'signature_malformed')
    counted(t, keys, verdictOf(point, message, concatBytes(point, new Uint8Array(32))), 'key_weak')
  }
})

t.test('neighbours of the weak encodings are not refused by our check', async (t) => {
  for (const y of [2n, 3n, P - 2n, P - 3n, 256n, P - 256n, 2n ** 254n, 0xffn << 240n]) {
    for (const sign of [0n, 1n]) t.equal(checkKey(bytesOfNumber(y | (sign << 255n))), 0, `y = ${y}`)
  }
  for (let seed = 0; seed < 50; seed++) t.equal(checkKey(keyPairOfSeed(new Uint8Array(32).fill(seed)).publicKey), 0)
})

t.test('a message from shared memory is signed and verified like any', async (t) => {
  const shared = new Uint8Array(new SharedArrayBuffer(message.length))
  shared.set(message)
  t.same(signMessage(agent.secretKey, shared), signature)
  t.equal(verifySignature(agent.publicKey, shared, signature), 0)
  t.throws(() => verifySignature(agent.publicKey, new Uint8Array(257), signature), { name: 'AssertionFailure' })
})
