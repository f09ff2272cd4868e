import * as fs from 'node:fs'
import { dirname } from 'node:path'
import { sodium } from './sodium.ts'
import { assert } from '../base/assert.ts'
import { fromHex, toHex } from '../base/bytes.ts'
import { onDisk } from '../base/disk-files.ts'
import { nodeDisk } from '../base/disk-node.ts'
import { DbError, errnoOf } from '../base/errors.ts'
import { systemSecrets, type Secrets } from '../base/random.ts'

/** An RFC 8032 private key: everything else follows from it. */
export const SEED_BYTES = 32

export interface KeyPair {
  /** 32 bytes: the agent's or node's name. */
  readonly publicKey: Uint8Array
  /** 64 bytes, libsodium's form: seed, then public key. Never logged, never sent. */
  readonly secretKey: Uint8Array
}

export function newSeed(secrets: Secrets = systemSecrets): Uint8Array {
  return secrets.bytes(SEED_BYTES)
}

export function keyPairOfSeed(seed: Uint8Array): KeyPair {
  assert(seed.length === SEED_BYTES, 'a seed has 32 bytes')
  const pair = { publicKey: new Uint8Array(32), secretKey: new Uint8Array(64) }
  sodium.crypto_sign_seed_keypair(pair.publicKey, pair.secretKey, new Uint8Array(seed))
  return pair
}

/**
 * Writes a seed as 64 hex digits and a newline, for its owner only (0600), wholly or not at all, and durably.
 * @throws {DbError} `config_invalid` where the file exists: a key is never written over.
 */
export function writeKeyFile(path: string, seed: Uint8Array): void {
  assert(seed.length === SEED_BYTES, 'a seed has 32 bytes')
  // A crash must leave no half key behind: written beside it, then linked, which fails where the name is taken.
  const temporary = `${path}.${process.pid}.tmp`
  fs.rmSync(temporary, { force: true })
  const fd = fs.openSync(temporary, 'wx', 0o600)
  try {
    fs.writeSync(fd, `${toHex(seed)}\n`)
    fs.fsyncSync(fd)
  } finally {
    fs.closeSync(fd)
  }
  try {
    fs.linkSync(temporary, path)
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error
    throw new DbError('config_invalid', `${path} exists; a key is never written over`, { path })
  } finally {
    fs.unlinkSync(temporary)
  }
  syncFolder(dirname(path))
}

function syncFolder(path: string): void {
  const fd = fs.openSync(path, 'r')
  try {
    fs.fsyncSync(fd)
  } finally {
    fs.closeSync(fd)
  }
}

/**
 * The seed in a key file.
 * @throws {DbError} `config_invalid` where it is not there, others may read it, or it holds no seed. The message never quotes the file.
 */
export function readKeyFile(path: string): Uint8Array {
  let text: string
  try {
    // Windows has no such permission bits.
    if (process.platform !== 'win32' && (fs.statSync(path).mode & 0o077) !== 0) {
      throw new DbError('config_invalid', `${path} can be read by others; run: chmod 600 ${path}`, { path })
    }
    text = fs.readFileSync(path, 'latin1')
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === undefined) throw error
    throw new DbError('config_invalid', `${path} can not be read: ${errno}`, { path, errno })
  }
  const seed = fromHex(text.trim(), SEED_BYTES)
  if (seed === undefined) throw new DbError('config_invalid', `${path} holds no key: 64 hex digits are expected`, { path })
  return seed
}

/**
 * The key pair of a file, which is made where there is none: how a node gets its identity.
 * @param beforeMaking throws where there must be a key already
 * @throws {DbError} as {@link readKeyFile}, and what `beforeMaking` throws.
 */
export function loadOrCreateKeyPair(path: string, secrets: Secrets = systemSecrets, beforeMaking: () => void = () => {}): KeyPair {
  if (!onDisk('looking for the key', path, () => nodeDisk.exists(path))) {
    beforeMaking()
    onDisk('making the key', path, () => writeKeyFile(path, newSeed(secrets)))
  }
  // An earlier start may have died between naming the file and this: without its key a node does not know its log.
  else onDisk('syncing the key\'s folder', path, () => syncFolder(dirname(path)))
  return keyPairOfSeed(readKeyFile(path))
}
