import t from 'tap'
import { concatBytes, toHex } from '../../../src/base/bytes.ts'
import { createSigner, newSecretKey, verifyCheckpoint, verifyProofFile, verifySignatureProof, type SignatureProof, type Signer } from '../../../src/client/client.ts'
import { checkpointText, encodeTlogProof, headText, originOf, toBase64 } from '../../../src/merkle/checkpoint.ts'
import { batchMessage, realmHashOf, singleMessage } from '../../../src/merkle/signed-message.ts'
import { tlogLeafHash } from '../../../src/merkle/tlog.ts'
import { pathOfId, rootOfIds } from '../../../src/merkle/tree.ts'
import { assertionIdOf, hashReady } from '../../../src/record/claim.ts'
import type { Assertion } from '../../../src/record/assertion.ts'
import { encodeAssertion } from '../../../src/wire/assertion.codec.ts'

await hashReady

const realm = 'default'
const realmHash = realmHashOf(realm)
const ids = [1, 2, 3].map((fill) => new Uint8Array(32).fill(fill))

/** A key of order 1, and a signature for it that holds for every message where a library multiplies by the cofactor. */
const WEAK_KEY = `01${'00'.repeat(31)}`
const FORGED = `01${'00'.repeat(63)}`

async function singleProof(signer: Signer, id: Uint8Array): Promise<SignatureProof> {
  const signature = await signer.sign(singleMessage(realmHash, id))
  return { id: toHex(id), agent: toHex(signer.publicKey), realm, signed_by: 'assertion', signature: toHex(signature) }
}

async function batchProof(signer: Signer, index: number): Promise<SignatureProof> {
  const joined = concatBytes(...ids)
  const root = rootOfIds(joined)
  const signature = await signer.sign(batchMessage(realmHash, ids.length, root))
  const path = pathOfId(joined, index)
  return {
    id: toHex(ids[index]!), agent: toHex(signer.publicKey), realm, signed_by: 'batch', signature: toHex(signature), index, count: ids.length, root: toHex(root),
    path: Array.from({ length: path.length / 32 }, (_, i) => toHex(path.subarray(i * 32, i * 32 + 32))),
  }
}

t.test('a signature proof holds, single and in a batch, and nothing that was changed does', async (t) => {
  const signer = await createSigner(newSecretKey())
  const single = await singleProof(signer, ids[0]!)
  const batch = await batchProof(signer, 2)
  t.ok(await verifySignatureProof(single))
  t.ok(await verifySignatureProof(batch))
  const other = toHex((await createSigner(newSecretKey())).publicKey)
  for (const change of [{ id: toHex(ids[1]!) }, { agent: other }, { realm: 'other' }, { signature: single.signature!.replace(/^../, '00') }, { signed_by: 'nobody' as const }]) {
    t.notOk(await verifySignatureProof({ ...single, ...change }), JSON.stringify(change))
    t.notOk(await verifySignatureProof({ ...batch, ...change }), JSON.stringify(change))
  }
  for (const change of [{ index: 1 }, { count: 4 }, { count: 2 ** 32 + 3 }, { path: [] }, { root: single.id }]) t.notOk(await verifySignatureProof({ ...batch, ...change }), JSON.stringify(change))
})

t.test('no signature is taken under a key that can be nobody\'s', async (t) => {
  for (const id of ['ab'.repeat(32), 'cd'.repeat(32)]) t.notOk(await verifySignatureProof({ id, agent: WEAK_KEY, realm, signed_by: 'assertion', signature: FORGED }))
  const batch = await batchProof(await createSigner(newSecretKey()), 0)
  t.notOk(await verifySignatureProof({ ...batch, agent: WEAK_KEY, signature: FORGED }))
})

t.test('anything is taken for a signature proof, and nothing throws', async (t) => {
  const batch = await batchProof(await createSigner(newSecretKey()), 0)
  const changed = Object.keys(batch).flatMap((member) => [null, 7, -1, 1.5, 'x', true, [], {}, [null]].map((value) => ({ ...batch, [member]: value })))
  for (const proof of [undefined, null, 7, 'text', true, [], {}, [null], { ...batch, realm: 'r'.repeat(100_000) }, ...changed]) {
    t.equal(await verifySignatureProof(proof as unknown as SignatureProof), false, JSON.stringify(proof)?.slice(0, 80))
  }
})

t.test('a proof file and a checkpoint of a forger are refused', async (t) => {
  const signer = await createSigner(newSecretKey())
  const weak = new Uint8Array(32)
  weak[0] = 1
  const claim: Assertion = {
    subject: 'drug/aspirin', predicate: 'dose', object: { kind: 'number', value: 4 }, confidence: 1, sourceClass: 5, sourceHash: new Uint8Array(32),
    lifecycle: 'proposed', agent: weak, assertedAtMs: 1,
  }
  const id = assertionIdOf(claim)
  const headOf = async ({ publicKey, sign }: Signer): Promise<string> => {
    const head = { origin: originOf(realm, publicKey), size: 1, root: tlogLeafHash(id) }
    return checkpointText(head, publicKey, await sign(new TextEncoder().encode(headText(head))))
  }
  const fileOf = (checkpoint: string, signature: object): string => {
    const extra = new TextEncoder().encode(JSON.stringify({ assertion: toBase64(encodeAssertion(claim)), id: toHex(id), agent: WEAK_KEY, realm, ...signature }))
    return encodeTlogProof({ extra, index: 0, path: [], checkpoint })
  }
  const checkpoint = await headOf(signer)
  const nobody = await verifyProofFile(fileOf(checkpoint, { signed_by: 'nobody' }), { key: signer.publicKey })
  t.match(nobody, { signed: 'nobody', index: 0 })
  const forged = fileOf(checkpoint, { signed_by: 'assertion', signature: FORGED })
  await t.rejects(verifyProofFile(forged, { key: signer.publicKey }), { code: 'proof_invalid', message: /signature is not its agent/ })
  const forgedHead = await headOf({ publicKey: weak, sign: () => Uint8Array.from(Buffer.from(FORGED, 'hex')) })
  await t.rejects(verifyCheckpoint(forgedHead, weak), { code: 'proof_invalid', message: /not signed by this key/ })
})
