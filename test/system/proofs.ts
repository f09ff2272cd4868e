import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fromHex } from '../../src/base/bytes.ts'
import { must } from '../../src/base/assert.ts'
import { keyPairOfSeed } from '../../src/verify/keys.ts'

/** A node's public key, by its data directory. */
export function nodeKeyOf(dataDir: string): Uint8Array {
  return keyPairOfSeed(must(fromHex(readFileSync(join(dataDir, 'node.key'), 'latin1').trim(), 32))).publicKey
}
