import type { AssertionDraft } from '../client/client.ts'
import { initHash } from '../record/claim.ts'
import { connectToWrite, type WriteOptions } from './connect.ts'
import type { Console, OutputOptions } from './console.ts'
import { claimsOf, type PackageList } from './debian/claims.ts'
import { describeList, installedLists, openList } from './debian/lists.ts'
import { stanzasOf } from './debian/stanzas.ts'
import { EXIT } from '../base/exit-codes.ts'
import { linesOf } from './lines.ts'
import { createProgress, type Progress } from './progress.ts'

export interface ImportOptions extends WriteOptions, OutputOptions {
  /** Packages of each list, at most. */
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
  await initHash()
  const paths = files.length > 0 ? files : installedLists()
  const lists = paths.map((path) => ({ path, list: describeList(path) }))
  const { client } = await connectToWrite(options, console, { batch: BATCH })
  const limit = options.limit === undefined ? Infinity : Math.max(0, Number.parseInt(options.limit, 10) || 0)
  const tallies: Tally[] = []
  try {
    for (const { path, list } of lists) {
      const tally: Tally = { list, packages: 0, accepted: 0, duplicates: 0, refused: 0 }
      tallies.push(tally)
      const progress = await createProgress(console, shortName(list.name), options.json)
      for await (const ack of client.stream(draftsOf(path, tally, limit, progress))) {
        tally.accepted += ack.accepted
        tally.duplicates += ack.duplicates
        tally.refused += ack.refused
        const refusal = ack.results.find((result) => !result.ok)
        if (refusal !== undefined && !refusal.ok && tally.refused === ack.refused) {
          console.err(`${list.name}: ${refusal.error.message} [${refusal.error.code}]`)
        }
      }
      progress.stop()
    }
    await client.close()
  } finally {
    client.abort()
  }
  await show(tallies, options, console)
  return tallies.every((tally) => tally.refused === 0) ? EXIT.ok : EXIT.failed
}

async function* draftsOf(path: string, tally: Tally, limit: number, progress: Progress): AsyncGenerator<AssertionDraft> {
  const list = openList(path)
  for await (const stanza of stanzasOf(linesOf(list.chunks))) {
    if (tally.packages >= limit) return
    tally.packages++
    if (tally.packages % 100 === 0) progress.update(list.bytesRead(), list.bytesTotal, `${tally.packages} packages, ${tally.accepted + tally.duplicates} acked`)
    yield* claimsOf(stanza, tally.list)
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
  const { default: Table } = await import('cli-table3')
  const table = new Table({ head: ['list', 'tier', 'of', 'packages', 'new', 'there', 'refused'], style: { head: [], border: [], compact: true } })
  for (const { list, packages, accepted, duplicates, refused } of tallies) {
    table.push([shortName(list.name), String(list.sourceClass), new Date(list.releasedAtMs).toISOString().slice(0, 10), ...[packages, accepted, duplicates, refused].map(String)])
  }
  console.out(table.toString())
  console.out('Try: stemedb query debian/bash version')
}
