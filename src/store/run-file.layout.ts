import { assert } from '../base/assert.ts'
import { nodeCounts } from './entry-runs.layout.ts'

/**
 * A file of the nodes of one run of column `sp` or `ids` (docs/formats/run-file.md): the nodes one behind the other as they were written, a directory
 * of them by level and number, a footer. Little-endian.
 */
export const RUN_FILE_SUFFIX = '.run'
/** Highest bit of a run's number: its nodes lie in a file and not among the keys of the column. */
export const FILE_RUN = 0x8000_0000
export const isFileRun = (run: number): boolean => run >= FILE_RUN

/** One of the directory: where the node begins in the file (u64), its bytes (u32), CRC-32C of them behind its run, level and number (u32). */
export const DIRECTORY_OFFSET = 0
export const DIRECTORY_LENGTH = DIRECTORY_OFFSET + 8
export const DIRECTORY_CRC = DIRECTORY_LENGTH + 4
export const DIRECTORY_ENTRY_BYTES = DIRECTORY_CRC + 4

export const FOOTER_VERSION_VALUE = 1
export const FOOTER_MAGIC = 0
export const FOOTER_VERSION = FOOTER_MAGIC + 4
export const FOOTER_RUN = FOOTER_VERSION + 4
export const FOOTER_PAGES = FOOTER_RUN + 4
/** Where the directory begins; it ends where the footer does begin. */
export const FOOTER_DIRECTORY = FOOTER_PAGES + 4
/** CRC-32C of all before it. */
export const FOOTER_CRC = FOOTER_DIRECTORY + 8
export const FOOTER_BYTES = FOOTER_CRC + 4

/** What the runs of a column are made of. */
export interface RunFileKind {
  /** First word of the footer. */
  readonly magic: number
  /** Nodes of each level of a run with so many pages, the pages themselves first. */
  readonly nodeCounts: (pages: number) => readonly number[]
}

/** The index by subject and predicate: static B-trees. */
export const ENTRY_FILES: RunFileKind = { magic: 0x4e55_5253, nodeCounts }
/** Ids: pages alone, which are found by the bits of a fingerprint, so that one may be empty. */
export const ID_FILES: RunFileKind = { magic: 0x5344_4953, nodeCounts: (pages) => [pages] }

/** For each level, how many nodes stand before it in the directory; at the end, how many there are. */
export function directoryStarts(counts: readonly number[]): number[] {
  const starts = [0]
  for (const count of counts) starts.push(starts.at(-1)! + count)
  return starts
}

assert(DIRECTORY_ENTRY_BYTES === 16 && FOOTER_BYTES === 28, 'run file')
