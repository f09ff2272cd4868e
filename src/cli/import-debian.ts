import { DbError, isDbError } from '../base/errors.ts'
import type { AssertionDraft, BatchAck } from '../client/client.ts'
import { initHash } from '../record/claim.ts'
import { connectToWrite, type WriteOptions } from './connect.ts'
import { reportError, type Console, type OutputOptions } from './console.ts'
import { claimsOf, type PackageList } from './debian/claims.ts'
import { describeList, installedLists, openList } from './debian/lists.ts'
import { stanzasOf } from './debian/stanzas.ts'
import { EXIT } from '../base/exit-codes.ts'
import { linesOf, UntilError } from './lines.ts'
import { createProgress, type Progress } from './progress.ts'
import { tableText } from './table.ts'
import { wholeNumber } from './values.ts'

export interface ImportOptions extends WriteOptions, OutputOptions {
  /** Packages of each list, at most: 1 or more. */
  readonly limit?: string
}

interface Tally {
  list: PackageList
  packages: number
  accepted: number
  duplicates: number
  refused: number
}

const BATCH = { assertionsMax: 512, bytesMax: 512 * 1024 }

/** `stemedb import debian`: claims of package lists, those of this machine where none is named. */
export async function runImportDebian(files: readonly string[], options: ImportOptions, console: Console): Promise<number> {
  const limit = wholeNumber('--limit', options.limit, 1) ?? Infinity
  await initHash()
  const paths = files.length > 0 ? files : installedLists()
  const lists = paths.map((path) => ({ path, list: describeList(path) }))
  const { client } = await connectToWrite(options, console, { batch: BATCH })
  const tallies: Tally[] = []
  let broken: DbError | undefined
  try {
    for (const { path, list } of lists) {
      const tally: Tally = { list, packages: 0, accepted: 0, duplicates: 0, refused: 0 }
      tallies.push(tally)
      const progress = await createProgress(console, shortName(list.name), options.json)
      const drafts = new UntilError(draftsOf(path, tally, limit, progress))
      try {
        for await (const ack of client.stream(drafts)) count(ack, tally, options, console)
      } finally {
        progress.stop()
      }
      broken = drafts.error
      if (broken !== undefined) break
    }
    await client.close()
  } finally {
    client.abort()
    // However it ends: what is stored, is.
    if (tallies.some(({ packages }) => packages > 0) || broken === undefined) await show(tallies, options, console)
  }
  if (broken !== undefined) throw broken
  if (options.json !== true) console.out('Try: stemedb query debian/bash version')
  return tallies.every((tally) => tally.refused === 0) ? EXIT.ok : EXIT.failed
}

/** Adds an ack to the tally of its list, of whose refusals the first is told. */
function count(ack: BatchAck, tally: Tally, options: ImportOptions, console: Console): void {
  tally.accepted += ack.accepted
  tally.duplicates += ack.duplicates
  const refusal = tally.refused === 0 ? ack.results.find((result) => !result.ok) : undefined
  tally.refused += ack.refused
  if (refusal === undefined || refusal.ok) return
  const { code, message, details } = refusal.error
  reportError(console, new DbError(code, `${tally.list.name}: ${message}`, details), options)
}

/** @throws {DbError} from the iteration, naming the file */
async function* draftsOf(path: string, tally: Tally, limit: number, progress: Progress): AsyncGenerator<AssertionDraft> {
  const list = openList(path)
  try {
    for await (const stanza of stanzasOf(linesOf(list.chunks))) {
      if (tally.packages >= limit) return
      if (!stanza.fields.has('package')) {
        throw new DbError('parameter_invalid', `line ${stanza.line}: no field Package; is this a list of packages?`, { line: stanza.line })
      }
      tally.packages++
      if (tally.packages % 100 === 0) progress.update(list.bytesRead(), list.bytesTotal, `${tally.packages} packages, ${tally.accepted + tally.duplicates} acked`)
      yield* claimsOf(stanza, tally.list)
    }
  } catch (error) {
    // An error that names no line names the file.
    if (!isDbError(error) || error.details['line'] === undefined) throw error
    throw new DbError(error.code, `${path}, ${error.message}`, { ...error.details, path }, { cause: error })
  }
}

/** `deb.debian.org_debian_dists_bookworm_main_binary-amd64_Packages` → `bookworm main` */
export function shortName(listName: string): string {
  const match = /_dists_([^_]+)_(.+?)(?:_binary-[^_]+)?_Packages$/.exec(listName)
  return match === null ? listName.slice(0, 32) : `${match[1]} ${match[2]!.replaceAll('_', '/')}`
}

async function show(tallies: readonly Tally[], options: ImportOptions, console: Console): Promise<void> {
  if (options.json === true) {
    for (const { list, ...counts } of tallies) {
      console.out(JSON.stringify({ list: list.name, source_class: list.sourceClass, released_at: new Date(list.releasedAtMs).toISOString(), ...counts }))
    }
    return
  }
  const head = ['list', 'tier', 'of', 'packages', 'new', 'there', 'refused']
  const rows = tallies.map(({ list, packages, accepted, duplicates, refused }) =>
    [shortName(list.name), String(list.sourceClass), new Date(list.releasedAtMs).toISOString().slice(0, 10), ...[packages, accepted, duplicates, refused].map(String)])
  console.out(await tableText({ head, rows }, console))
}
