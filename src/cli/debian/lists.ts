import { spawn } from 'node:child_process'
import { createReadStream, existsSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { createGunzip } from 'node:zlib'
import { DbError, errnoOf } from '../../base/errors.ts'
import { MiB } from '../../base/units.ts'
import { sourceClassOf, type PackageList } from './claims.ts'

/** Where `apt-get update` leaves its lists. */
export const APT_LISTS_DIR = '/var/lib/apt/lists'
/** apt's own reader of everything that apt writes (lz4, xz, zstd ...). */
const APT_HELPER = '/usr/lib/apt/apt-helper'
const RELEASE_BYTES_MAX = 4 * MiB

const PACKAGES = /_Packages(\.(gz|lz4|xz|bz2|zst))?$/

/** The package lists of this machine. @throws {DbError} `not_found` where there is none. */
export function installedLists(dir = APT_LISTS_DIR): string[] {
  let names: string[]
  try {
    names = readdirSync(dir)
  } catch (error) {
    throw new DbError('not_found', `${dir} can not be read (${errnoOf(error) ?? String(error)}); name the Packages files`)
  }
  const lists = names.filter((name) => PACKAGES.test(name)).sort().map((name) => join(dir, name))
  if (lists.length === 0) throw new DbError('not_found', `${dir} has no package lists; run apt-get update, or name the Packages files`)
  return lists
}

/** Name, time and tier of a list, from its file's name and the release file that lies beside it. */
export function describeList(path: string): PackageList {
  const name = basename(path).replace(/\.(gz|lz4|xz|bz2|zst)$/, '')
  return { name, releasedAtMs: releasedAtMs(path, name), sourceClass: sourceClassOf(name) }
}

/** `Date:` of the release that the list belongs to, else the file's own time. */
function releasedAtMs(path: string, name: string): number {
  const suite = /^(.*_dists_[^_]+(?:_updates)?)_/.exec(name)?.[1]
  const stems = suite === undefined ? [] : [suite, suite.replace(/_updates$/, '')]
  for (const stem of stems) {
    for (const kind of ['InRelease', 'Release']) {
      const release = join(dirname(path), `${stem}_${kind}`)
      if (!existsSync(release) || statSync(release).size > RELEASE_BYTES_MAX) continue
      const date = /^Date: (.+)$/m.exec(readFileSync(release, 'latin1'))?.[1]
      const ms = date === undefined ? Number.NaN : Date.parse(date)
      if (!Number.isNaN(ms)) return ms
    }
  }
  return Math.floor(statOf(path).mtimeMs)
}

function statOf(path: string): { mtimeMs: number, size: number } {
  try {
    return statSync(path)
  } catch (error) {
    throw new DbError('parameter_invalid', `${path} can not be read: ${errnoOf(error) ?? String(error)}`, { path })
  }
}

export interface OpenedList {
  /** The list's text, decompressed. */
  readonly chunks: AsyncIterable<Uint8Array>
  readonly bytesTotal: number
  /** Of the file, so far: for progress. Where another program reads it: 0 until it is done. */
  bytesRead(): number
}

/** Opens a list, whatever it is packed with. @throws {DbError} `parameter_invalid` (also from the iteration). */
export function openList(path: string): OpenedList {
  const bytesTotal = statOf(path).size
  if (/\.(lz4|xz|bz2|zst)$/.test(path)) {
    let isDone = false
    const chunks = (async function* () {
      yield* readByApt(path)
      isDone = true
    })()
    return { chunks, bytesTotal, bytesRead: () => (isDone ? bytesTotal : 0) }
  }
  const file = createReadStream(path)
  const stream = path.endsWith('.gz') ? file.pipe(createGunzip()) : file
  // `pipe` does not carry errors over.
  if (stream !== file) file.on('error', (error) => stream.destroy(error))
  return { chunks: readable(stream, path), bytesTotal, bytesRead: () => file.bytesRead }
}

async function* readable(stream: AsyncIterable<Uint8Array>, path: string): AsyncGenerator<Uint8Array> {
  try {
    yield* stream
  } catch (error) {
    throw new DbError('parameter_invalid', `${path} can not be read: ${errnoOf(error) ?? (error as Error).message}`, { path })
  }
}

async function* readByApt(path: string): AsyncGenerator<Uint8Array> {
  if (!existsSync(APT_HELPER)) {
    throw new DbError('parameter_invalid', `${path}: only apt itself can unpack this, and ${APT_HELPER} is not here; unpack it first`, { path })
  }
  const child = spawn(APT_HELPER, ['cat-file', path], { stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => { said = (said + chunk.toString()).slice(-500) })
  const ended = new Promise<number | null>((resolve) => {
    child.once('error', () => resolve(null))
    child.once('close', (code) => resolve(code))
  })
  try {
    yield* child.stdout as AsyncIterable<Uint8Array>
    const code = await ended
    if (code !== 0) throw new DbError('parameter_invalid', `${path} can not be unpacked: ${said.trim() || `apt-helper ended with ${code}`}`, { path })
  } finally {
    child.kill()
  }
}
