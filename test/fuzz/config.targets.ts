import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isDbError } from '../../src/base/errors.ts'
import { claimsOf, sourceClassOf } from '../../src/cli/debian/claims.ts'
import { stanzasOf } from '../../src/cli/debian/stanzas.ts'
import { linesOf } from '../../src/cli/lines.ts'
import { completeDraft } from '../../src/client/draft.ts'
import { nodeUrlsOf } from '../../src/client/urls.ts'
import { loadConfig } from '../../src/config/load.ts'
import { claimBytesOf } from '../../src/record/claim.ts'
import { readKeyFile, writeKeyFile } from '../../src/verify/keys.ts'
import type { FuzzTarget } from './fuzzer.ts'
import { textMutation } from './json.mutations.ts'

const encode = (text: string): Uint8Array => new TextEncoder().encode(text)
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

/** Variables as `NAME=value`, flags as `-name=value`, a line each. */
const configTarget: FuzzTarget = {
  name: 'config',
  seeds: () => ['STEMEDB_API_PORT=0\nSTEMEDB_RING_BYTES=4MiB\n-frameBytesMax=1m\n-signatures=optional', 'STEMEDB_RELAM=x', '-realm=x\nPATH=/bin\nSTEMEDB_URL=ws://x', 'STEMEDB_LOG_LEVEL=debug'].map(encode),
  mutations: [textMutation(['\n', '=', '-', 'STEMEDB_', 'MiB', 'k', '_', '9'.repeat(400), '1e3', '0x10', '-1', '__proto__', '-constructor=1\n', 'verifyThreads', 'walSegmentBytes', 'tlsCertFile', 'x'.repeat(3000), '\u0000'])],
  run(input) {
    const [flags, variables]: Record<string, string>[] = [{}, {}]
    for (const line of decode(input).split('\n')) {
      const equals = line.indexOf('=')
      if (equals < 1) continue
      const name = line.slice(0, equals)
      if (name.startsWith('-')) Object.defineProperty(flags, name.slice(1), { value: line.slice(equals + 1), enumerable: true, configurable: true })
      else Object.defineProperty(variables, name, { value: line.slice(equals + 1), enumerable: true, configurable: true })
    }
    const config = loadConfig(flags, variables)
    if (config.frameBytesMax > config.ringBytes / 4 || config.verifyThreads < 1) throw new Error('a configuration against its own rules')
    return true
  },
}

const urlTarget: FuzzTarget = {
  name: 'node-url',
  seeds: () => ['ws://127.0.0.1:18180', 'https://[::1]:1/v1/stream', 'wss://a.example/', 'ftp://x'].map(encode),
  mutations: [textMutation(['://', '/', '\\', '@', '#', '?', ':', '..', '%2f', '[', ']', '\t', 'http:', 'xn--', '\u0130', '99999', 'v1/stream'])],
  run(input) {
    const { http, webSocket } = nodeUrlsOf(decode(input))
    if (!/^https?:\/\/[^/?#@]+$/.test(http) || !/^wss?:\/\/[^/?#@]+\/v1\/stream$/.test(webSocket)) throw new Error(`${http} and ${webSocket} are not of a host alone`)
    return true
  },
}

const folder = mkdtempSync(join(tmpdir(), 'stemedb-fuzz-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
const keyFile = join(folder, 'key')
writeKeyFile(keyFile, new Uint8Array(32).fill(9))

const keyFileTarget: FuzzTarget = {
  name: 'key-file',
  seeds: () => [`${'5a'.repeat(32)}\n`, '5A'.repeat(32), ''].map(encode),
  mutations: [textMutation(['5a', '\n', ' ', '\ufeff', 'g', '-----BEGIN PRIVATE KEY-----\n', '0x'])],
  run(input) {
    writeFileSync(keyFile, input)
    try {
      return readKeyFile(keyFile).length === 32
    } catch (error) {
      const text = decode(input).trim()
      if (isDbError(error) && text.length >= 16 && error.message.includes(text)) throw new Error('the message quotes the file', { cause: error })
      throw error
    }
  },
}

async function* chunksOf(input: Uint8Array): AsyncGenerator<Uint8Array> {
  const chunkBytes = 1 + input.length % 251
  for (let at = 0; at < input.length; at += chunkBytes) yield input.subarray(at, at + chunkBytes)
}

const LIST = { name: 'deb.debian.org_debian_dists_bookworm_main_binary-amd64_Packages', releasedAtMs: 1_700_000_000_000, sourceClass: sourceClassOf('x') }
const AGENT = new Uint8Array(32).fill(1)

/** A list that is taken gives claims that are taken: one that is not would end the import of all others. */
const debianTarget: FuzzTarget = {
  name: 'debian-list',
  seeds: () => ['Package: openssl\nVersion: 3.0.11\nInstalled-Size: 2000\nDepends: libc6 (>= 2.34),\n libssl3\nDescription: caf\u00e9\n\n# a comment\nPackage: zlib\r\nSize: 1\n', 'Package: a\n\n\nPackage: b+c.d-e', 'Package:'].map(encode),
  mutations: [textMutation(['\n', '\n\n', ':', ' ', '\t', '\r\n', '#', 'Package: ', 'Version: ', 'Size: 99999999999999999999', 'Size: 007', 'Homepage: x', '\u0000', '\u2028', 'x'.repeat(5000), '\n x'.repeat(300), 'a:\n', '__proto__: x\n'])],
  async run(input) {
    let claims = 0
    for await (const stanza of stanzasOf(linesOf(chunksOf(input)))) {
      for (const draft of claimsOf(stanza, LIST)) {
        try {
          claimBytesOf(completeDraft(draft, AGENT, 0))
        } catch (error) {
          throw new Error(`a claim that is refused: ${String(error)}`, { cause: error })
        }
        claims++
      }
    }
    return claims > 0
  },
}

export const configTargets: readonly FuzzTarget[] = [configTarget, urlTarget, keyFileTarget, debianTarget]
