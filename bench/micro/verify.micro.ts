import { systemClock } from '../../src/base/clock.ts'
import { configWith } from '../../src/config/load.ts'
import { realmHashOf } from '../../src/merkle/signed-message.ts'
import { initHash } from '../../src/record/claim.ts'
import { keyPairOfSeed } from '../../src/verify/keys.ts'
import { signMessage } from '../../src/verify/ed25519.ts'
import { BatchVerifier } from '../../src/verify/verify-batch.ts'
import { batchMessage } from '../../src/merkle/signed-message.ts'
import { rootOfIds } from '../../src/merkle/tree.ts'
import { assertionIdOf } from '../../src/record/claim.ts'
import { concatBytes } from '../../src/base/bytes.ts'
import { encodeAssertion } from '../../src/wire/assertion.codec.ts'
import { encodeBatch } from '../../src/wire/batch.codec.ts'
import { HASH_START, mix, type Micro } from '../lib/micro.ts'
import { assertionAt } from './input.ts'

const BATCH = 256

/** The whole verify stage over batches of 256 that are signed by batch: structure, rules, ids, root, one signature. */
export const verifyMicro: Micro = {
  name: 'verify batch', unit: 'assertion in a signed batch of 256',
  async run(size) {
    await initHash()
    const batches = size === 'small' ? 4 : 2000
    const config = configWith({})
    const realmHash = realmHashOf(config.realm)
    const key = keyPairOfSeed(new Uint8Array(32).fill(7))
    const inputs = Array.from({ length: size === 'small' ? 2 : 16 }, (_, b) => {
      const assertions = Array.from({ length: BATCH }, (_, i) => ({ ...assertionAt(b * BATCH + i), agent: key.publicKey }))
      const root = rootOfIds(concatBytes(...assertions.map(assertionIdOf)))
      const signature = signMessage(key.secretKey, batchMessage(realmHash, BATCH, root))
      return encodeBatch({ requestId: BigInt(b), agent: key.publicKey, signature, items: assertions.map((a) => ({ assertion: encodeAssertion(a) })) })
    })
    const verifier = new BatchVerifier({
      signaturesRequired: true, realmHash, batchAssertionsMax: config.batchAssertionsMax, vectorLengthMax: config.vectorLengthMax,
      hlcDriftMaxMs: config.hlcDriftMaxMs,
    })
    let hash = HASH_START
    const start = systemClock.monoMs()
    for (let i = 0; i < batches; i++) {
      const input = inputs[i % inputs.length]!
      const result = verifier.verify(input, 0, input.length, 1_800_000_000_000)
      if (result.refused !== 0 || result.acceptedCount !== BATCH) throw new Error(`refused with ${result.refused}: ${verifier.detail}`)
      hash = mix(hash, result.root)
    }
    return { operations: batches * BATCH, ms: systemClock.monoMs() - start, hash }
  },
}
