import { chmodSync, existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { toHex } from '../../../src/base/bytes.ts'
import { isDbError } from '../../../src/base/errors.ts'
import { systemSecrets } from '../../../src/base/random.ts'
import { signMessage, verifySignature } from '../../../src/verify/ed25519.ts'
import { keyPairOfSeed, loadOrCreateKeyPair, newSeed, readKeyFile, writeKeyFile } from '../../../src/verify/keys.ts'

const seed = Uint8Array.from({ length: 32 }, (_, i) => i)

const codeOf = (work: () => unknown): string => {
  try {
    work()
  } catch (error) {
    return isDbError(error) ? error.code : String(error)
  }
  return 'nothing thrown'
}

const messageOf = (work: () => unknown): string => {
  try {
    work()
  } catch (error) {
    return (error as Error).message
  }
  return ''
}

t.test('a key pair follows from its seed (RFC 8032, 7.1, test 2)', async (t) => {
  const pair = keyPairOfSeed(Buffer.from('4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb', 'hex'))
  t.equal(toHex(pair.publicKey), '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c')
  t.equal(verifySignature(pair.publicKey, Uint8Array.of(0x72), signMessage(pair.secretKey, Uint8Array.of(0x72))), 0)
})

t.test('new seeds differ', async (t) => {
  t.equal(newSeed().length, 32)
  t.not(toHex(newSeed()), toHex(newSeed()))
})

t.test('a key file is its owner\'s, complete, and never written over', async (t) => {
  const folder = t.testdir()
  const path = join(folder, 'agent.key')
  writeKeyFile(path, seed)
  t.equal(readFileSync(path, 'latin1'), `${toHex(seed)}\n`)
  t.equal(statSync(path).mode & 0o777, 0o600)
  t.same(readKeyFile(path), seed)
  t.equal(codeOf(() => writeKeyFile(path, newSeed())), 'config_invalid')
  t.same(readKeyFile(path), seed)
  t.same(readdirSync(folder), ['agent.key'], 'nothing is left beside it')
})

t.test('what is no key file is refused without quoting it', async (t) => {
  const folder = t.testdir()
  const path = join(folder, 'bad.key')
  for (const text of ['', 'secret', toHex(seed).slice(1), `${toHex(seed)}00`, `0x${toHex(seed)}`]) {
    writeFileSync(path, text, { mode: 0o600 })
    t.equal(codeOf(() => readKeyFile(path)), 'config_invalid', JSON.stringify(text))
    if (text.length > 0) t.notMatch(messageOf(() => readKeyFile(path)), text)
  }
  writeFileSync(path, toHex(seed))
  chmodSync(path, 0o640)
  t.throws(() => readKeyFile(path), { code: 'config_invalid', message: /chmod 600/ })
  t.equal(codeOf(() => readKeyFile(join(folder, 'absent'))), 'config_invalid')
  t.equal(codeOf(() => readKeyFile(folder)), 'config_invalid')
})

t.test('a node makes its key once', async (t) => {
  const path = join(t.testdir(), 'node.key')
  const first = loadOrCreateKeyPair(path)
  t.same(loadOrCreateKeyPair(path), first)
  const mustBeThere = (): never => { throw new Error('a key is missing') }
  t.same(loadOrCreateKeyPair(path, systemSecrets, mustBeThere), first)
  const absent = join(t.testdir(), 'node.key')
  t.throws(() => loadOrCreateKeyPair(absent, systemSecrets, mustBeThere), /a key is missing/)
  t.notOk(existsSync(absent), 'none was made')
})
