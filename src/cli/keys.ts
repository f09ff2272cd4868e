import { existsSync, mkdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { toHex } from '../base/bytes.ts'
import { DbError, errnoOf } from '../base/errors.ts'
import { systemSecrets } from '../base/random.ts'
import { agentToDidKey } from '../record/agent-key.ts'
import type { Console, OutputOptions } from './console.ts'
import { EXIT } from '../base/exit-codes.ts'
import { nodeSigner, type NodeSigner } from './node-signer.ts'

export const DEFAULT_KEY_FILE = join(homedir(), '.config', 'stemedb', 'agent.key')

/** The signer of a key file. @throws {DbError} `config_invalid` where it is not there, readable by others, or no key. */
export async function signerOfFile(path: string): Promise<NodeSigner> {
  const { readKeyFile } = await import('../verify/keys.ts')
  return nodeSigner(readKeyFile(path))
}

/** Makes a key file with its folder. @throws {DbError} `config_invalid` where it exists, or can not be written there. */
export async function makeKeyFile(path: string): Promise<NodeSigner> {
  const { writeKeyFile } = await import('../verify/keys.ts')
  const seed = systemSecrets.bytes(32)
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    writeKeyFile(path, seed)
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === undefined) throw error
    throw new DbError('config_invalid', `${path} can not be made: ${errno}; name another place with --key-file`, { path, errno })
  }
  return nodeSigner(seed)
}

/** The signer of a key file, which is made at the first use; that is said. */
export async function signerOfFileOrNew(path: string, console: Console): Promise<NodeSigner> {
  if (existsSync(path)) return signerOfFile(path)
  const signer = await makeKeyFile(path)
  console.err(`Made a new agent key in ${path}: ${agentToDidKey(signer.publicKey)}`)
  return signer
}

/** `stemedb keygen` */
export async function runKeygen(options: { readonly keyFile: string } & OutputOptions, console: Console): Promise<number> {
  const { publicKey } = await makeKeyFile(options.keyFile)
  const did = agentToDidKey(publicKey)
  if (options.json === true) {
    console.out(JSON.stringify({ key_file: options.keyFile, agent: did, public_key: toHex(publicKey) }))
  } else {
    console.out(did)
    console.err(`Secret key written to ${options.keyFile}, for you alone. Whoever has it can speak as this agent; keep a copy.`)
  }
  return EXIT.ok
}
