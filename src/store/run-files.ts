import { dirname, join } from 'node:path'
import { assert } from '../base/assert.ts'
import { grownBytes, writeU32Be } from '../base/bytes.ts'
import { crc32c } from '../base/crc32c.ts'
import type { Disk, DiskFile } from '../base/disk.ts'
import { onDisk } from '../base/disk-files.ts'
import { DbError, errnoOf } from '../base/errors.ts'
import { readLsn, writeLsn } from '../base/lsn.ts'
import { MiB } from '../base/units.ts'
import {
  DIRECTORY_CRC, DIRECTORY_ENTRY_BYTES, DIRECTORY_LENGTH, DIRECTORY_OFFSET, ENTRY_FILES, FILE_RUN, FOOTER_BYTES, FOOTER_CRC, FOOTER_DIRECTORY,
  FOOTER_MAGIC, FOOTER_PAGES, FOOTER_RUN, FOOTER_VERSION, FOOTER_VERSION_VALUE, ID_FILES, RUN_FILE_SUFFIX, directoryStarts, isFileRun, type RunFileKind,
} from './run-file.layout.ts'

/** Nodes gather up to so many bytes for one write. */
const WRITE_BYTES = 1 * MiB
/** So much is synced at a time: one sync of a gigabyte would hold up those of the log for seconds. */
const SYNC_BYTES = 8 * MiB
/** Longest piece that is read at a time. */
const READ_BYTES_MAX = 4 * MiB
/** Files that one thread keeps open. */
const OPEN_MAX = 128

/** The columns that have runs in files. */
export interface ColumnRunFiles {
  readonly sp: RunFiles
  readonly ids: RunFiles
}

/** One thread's, of the store in `storeDir`: in folders beside RocksDB's own files, which whoever moves or removes the store takes along. */
export const runFilesOf = (disk: Disk, storeDir: string, entriesMin: number): ColumnRunFiles => ({
  sp: new RunFiles(disk, join(storeDir, 'runs'), entriesMin, ENTRY_FILES),
  ids: new RunFiles(disk, join(storeDir, 'id-runs'), entriesMin, ID_FILES),
})

const nameOf = (run: number): string => run.toString(16).padStart(8, '0') + RUN_FILE_SUFFIX

function runOfName(name: string): number | undefined {
  const run = /^[0-9a-f]{8}\.run$/.test(name) ? Number.parseInt(name.slice(0, 8), 16) : 0
  return isFileRun(run) ? run : undefined
}

const doing = <T>(what: string, path: string, work: () => T): T => onDisk(`${what} the run file ${path}`, path, work)

function damaged(path: string, why: string): DbError {
  return new DbError('store_corrupt', `the run file ${path} is damaged: ${why}; run "stemedb store rebuild"`, { path })
}

const identity = new Uint8Array(12)

/** Of a node and of the place that it stands for, so that no node is taken for another. */
function crcOf(run: number, level: number, number: number, node: Uint8Array): number {
  writeU32Be(identity, 0, run)
  writeU32Be(identity, 4, level)
  writeU32Be(identity, 8, number)
  return crc32c(node, crc32c(identity))
}

/**
 * The files of a column's large runs, for one thread: the nodes of a run that nobody changes any more, beside the keys of RocksDB, which would write
 * them to its log, to tables, and again with each compaction. One thread writes; a run is read by all from the moment that a list names it.
 */
export class RunFiles {
  /** Entries from which on a run is put into a file. */
  readonly #entriesMin: number
  readonly #disk: Disk
  readonly #dir: string
  readonly #kind: RunFileKind
  readonly #writers = new Map<number, RunFileWriter>()
  /** Those that this object has sealed and not removed. */
  readonly #sealed = new Set<number>()
  /** The one that was asked for last is the last. */
  readonly #readers = new Map<number, RunFileReader>()

  /** @param dir made by {@link list}, which whoever writes calls first */
  constructor(disk: Disk, dir: string, entriesMin: number, kind: RunFileKind) {
    this.#disk = disk
    this.#dir = dir
    this.#kind = kind
    this.#entriesMin = entriesMin
  }

  /** The number of a new run of so many entries, which says whether it is put into a file. @param number that no run has or had */
  runOf(number: number, entries: number): number {
    return entries < this.#entriesMin ? number : number + FILE_RUN
  }

  /**
   * Takes the node of a run that is being written: nodes of a level come in order. One that was taken already is left alone, since a batch may be
   * written again.
   */
  put(run: number, level: number, number: number, node: Uint8Array): void {
    if (this.#sealed.has(run)) return
    let writer = this.#writers.get(run)
    if (writer === undefined) this.#writers.set(run, writer = new RunFileWriter(this.#disk, join(this.#dir, nameOf(run)), run, this.#kind))
    writer.put(level, number, node)
  }

  /** Writes out what has gathered. @throws {DbError} `disk_full`: call again; `io_error` */
  flush(): void {
    for (const writer of this.#writers.values()) writer.flush(WRITE_BYTES)
  }

  /**
   * All nodes of the run have been put: file and name are durable when it returns. Once they are, it does nothing: whoever can not write the list
   * that names the run comes by again. @throws {DbError} as {@link flush}
   */
  seal(run: number, pages: number): void {
    if (this.#sealed.has(run)) return
    const writer = this.#writers.get(run)
    assert(writer !== undefined, 'a run file that is being written')
    writer.seal(pages)
    doing('naming', writer.path, () => this.#disk.syncDir(this.#dir))
    writer.close()
    this.#writers.delete(run)
    this.#sealed.add(run)
  }

  /** Nodes of a level, from `number` on; undefined for those that are not there. @throws {DbError} `store_corrupt`, `io_error` */
  read(run: number, level: number, number: number, count: number): (Uint8Array | undefined)[] {
    const reader = this.#reader(run)
    return reader === undefined ? new Array<undefined>(count).fill(undefined) : reader.read(level, number, count)
  }

  /** The runs that have a file, whole or not. Makes the folder where it is missing. @throws {DbError} as {@link flush} */
  list(): number[] {
    return doing('looking for', this.#dir, () => {
      this.#disk.mkdir(this.#dir)
      // Whoever made it: an earlier life may have ended before its sync, and all files hang on this name.
      this.#disk.syncDir(dirname(this.#dir))
      return this.#disk.list(this.#dir).map(runOfName).filter((run) => run !== undefined)
    })
  }

  /** Removes a run's file, which no list names that a power cut could bring back. @throws {DbError} as {@link flush} */
  remove(run: number): void {
    this.#close(run)
    this.#sealed.delete(run)
    const path = join(this.#dir, nameOf(run))
    doing('removing', path, () => {
      if (!this.#disk.exists(path)) return
      // Another thread may have it open, and would keep its space taken.
      const file = this.#disk.open(path, 'write')
      try {
        file.truncate(0)
      } finally {
        file.close()
      }
      this.#disk.unlink(path)
    })
  }

  /** Closes the files of all other runs. */
  retain(runs: ReadonlySet<number>): void {
    for (const run of [...this.#readers.keys()]) if (!runs.has(run)) this.#close(run)
  }

  close(): void {
    this.retain(new Set())
    for (const writer of this.#writers.values()) writer.close()
    this.#writers.clear()
  }

  #close(run: number): void {
    this.#readers.get(run)?.close()
    this.#readers.delete(run)
  }

  #reader(run: number): RunFileReader | undefined {
    const open = this.#readers.get(run)
    const reader = open ?? this.#open(run)
    if (reader === undefined) return undefined
    if (open !== undefined) this.#readers.delete(run)
    else if (this.#readers.size >= OPEN_MAX) this.#close(this.#readers.keys().next().value!)
    this.#readers.set(run, reader)
    return reader
  }

  #open(run: number): RunFileReader | undefined {
    const path = join(this.#dir, nameOf(run))
    return doing('opening', path, () => {
      let file: DiskFile
      try {
        file = this.#disk.open(path, 'read')
      } catch (error) {
        if (errnoOf(error) === 'ENOENT') return undefined
        throw error
      }
      try {
        return RunFileReader.of(file, run, this.#kind)
      } catch (error) {
        file.close()
        throw error
      }
    })
  }
}

class RunFileWriter {
  readonly path: string
  readonly #disk: Disk
  readonly #run: number
  readonly #kind: RunFileKind
  #file: DiskFile | undefined
  #buffer = new Uint8Array(WRITE_BYTES * 2)
  #buffered = 0
  /** Where the buffer's first byte goes. */
  #position = 0
  #syncedPosition = 0
  /** Directory entries by level. */
  readonly #levels: { bytes: Uint8Array, count: number }[] = []

  constructor(disk: Disk, path: string, run: number, kind: RunFileKind) {
    this.#disk = disk
    this.path = path
    this.#run = run
    this.#kind = kind
  }

  put(level: number, number: number, node: Uint8Array): void {
    const directory = this.#levels[level] ??= { bytes: new Uint8Array(64 * DIRECTORY_ENTRY_BYTES), count: 0 }
    if (number < directory.count) return
    assert(number === directory.count, 'nodes of a run file in order')
    const at = directory.count++ * DIRECTORY_ENTRY_BYTES
    if (at === directory.bytes.length) directory.bytes = grownBytes(directory.bytes, at * 2)
    const view = new DataView(directory.bytes.buffer, at, DIRECTORY_ENTRY_BYTES)
    writeLsn(view, DIRECTORY_OFFSET, this.#position + this.#buffered)
    view.setUint32(DIRECTORY_LENGTH, node.length, true)
    view.setUint32(DIRECTORY_CRC, crcOf(this.#run, level, number, node), true)
    this.#append(node)
  }

  flush(bytesMin: number): void {
    if (this.#buffered < bytesMin) return
    doing('writing', this.path, () => {
      const file = this.#open()
      if (this.#buffered > 0) file.pwrite(this.#buffer, 0, this.#buffered, this.#position)
      this.#position += this.#buffered
      this.#buffered = 0
      if (this.#position - this.#syncedPosition < SYNC_BYTES) return
      file.fdatasync()
      this.#syncedPosition = this.#position
    })
  }

  seal(pages: number): void {
    const counts = this.#kind.nodeCounts(pages)
    assert(counts.length === this.#levels.length && counts.every((count, level) => this.#levels[level]!.count === count), 'all nodes of a run file')
    this.flush(0)
    const tail = this.#tail(pages)
    doing('sealing', this.path, () => {
      const file = this.#open()
      file.pwrite(tail, 0, tail.length, this.#position)
      file.fdatasync()
    })
  }

  close(): void {
    this.#file?.close()
    this.#file = undefined
  }

  #tail(pages: number): Uint8Array {
    const directoryBytes = directoryStarts(this.#kind.nodeCounts(pages)).at(-1)! * DIRECTORY_ENTRY_BYTES
    const tail = new Uint8Array(directoryBytes + FOOTER_BYTES)
    let at = 0
    for (const { bytes, count } of this.#levels) {
      tail.set(bytes.subarray(0, count * DIRECTORY_ENTRY_BYTES), at)
      at += count * DIRECTORY_ENTRY_BYTES
    }
    const footer = new DataView(tail.buffer, directoryBytes)
    footer.setUint32(FOOTER_MAGIC, this.#kind.magic, true)
    footer.setUint32(FOOTER_VERSION, FOOTER_VERSION_VALUE, true)
    footer.setUint32(FOOTER_RUN, this.#run, true)
    footer.setUint32(FOOTER_PAGES, pages, true)
    writeLsn(footer, FOOTER_DIRECTORY, this.#position)
    footer.setUint32(FOOTER_CRC, crc32c(tail.subarray(directoryBytes, directoryBytes + FOOTER_CRC)), true)
    return tail
  }

  #append(node: Uint8Array): void {
    if (this.#buffered + node.length > this.#buffer.length) this.#buffer = grownBytes(this.#buffer, (this.#buffered + node.length) * 2)
    this.#buffer.set(node, this.#buffered)
    this.#buffered += node.length
  }

  #open(): DiskFile {
    return this.#file ??= this.#disk.open(this.path, 'create')
  }
}

class RunFileReader {
  readonly #file: DiskFile
  readonly #run: number
  readonly #directory: number
  readonly #starts: readonly number[]

  private constructor(file: DiskFile, run: number, directory: number, starts: readonly number[]) {
    this.#file = file
    this.#run = run
    this.#directory = directory
    this.#starts = starts
  }

  /** Undefined where the file is being removed. @throws {DbError} `store_corrupt`, and what the disk throws */
  static of(file: DiskFile, run: number, kind: RunFileKind): RunFileReader | undefined {
    const size = file.size()
    const bytes = new Uint8Array(FOOTER_BYTES)
    if (size < FOOTER_BYTES || file.pread(bytes, 0, FOOTER_BYTES, size - FOOTER_BYTES) !== FOOTER_BYTES) {
      if (file.size() === 0) return undefined
      throw damaged(file.path, 'it is too short')
    }
    const footer = new DataView(bytes.buffer)
    if (footer.getUint32(FOOTER_MAGIC, true) !== kind.magic || footer.getUint32(FOOTER_CRC, true) !== crc32c(bytes.subarray(0, FOOTER_CRC))) {
      throw damaged(file.path, 'its footer is wrong')
    }
    const version = footer.getUint32(FOOTER_VERSION, true)
    if (version !== FOOTER_VERSION_VALUE) throw new DbError('format_unsupported', `the run file ${file.path} has format ${version}, this version knows ${FOOTER_VERSION_VALUE}`, { format: version })
    if (footer.getUint32(FOOTER_RUN, true) !== run) throw damaged(file.path, 'it is the file of another run')
    const directory = readLsn(footer, FOOTER_DIRECTORY)
    const starts = directoryStarts(kind.nodeCounts(footer.getUint32(FOOTER_PAGES, true)))
    if (directory + starts.at(-1)! * DIRECTORY_ENTRY_BYTES + FOOTER_BYTES !== size) throw damaged(file.path, 'its parts do not add up')
    return new RunFileReader(file, run, directory, starts)
  }

  read(level: number, number: number, count: number): (Uint8Array | undefined)[] {
    return doing('reading', this.#file.path, () => {
      try {
        return this.#read(level, number, count)
      } catch (error) {
        // It is being removed, since no list names it any more.
        if (this.#file.size() === 0) return new Array<undefined>(count).fill(undefined)
        throw error
      }
    })
  }

  close(): void {
    this.#file.close()
  }

  #read(level: number, number: number, count: number): (Uint8Array | undefined)[] {
    const nodes = new Array<Uint8Array | undefined>(count).fill(undefined)
    const there = level + 1 < this.#starts.length ? Math.min(count, this.#starts[level + 1]! - this.#starts[level]! - number) : 0
    if (there <= 0) return nodes
    const directory = this.#entries(level, number, there)
    // Nodes of a level stand in order, with a few of the levels above between them.
    for (let from = 0; from < there;) {
      const begin = readLsn(directory, from * DIRECTORY_ENTRY_BYTES + DIRECTORY_OFFSET)
      let to = from
      let end = begin
      for (; to < there; to++) {
        const next = readLsn(directory, to * DIRECTORY_ENTRY_BYTES + DIRECTORY_OFFSET) + directory.getUint32(to * DIRECTORY_ENTRY_BYTES + DIRECTORY_LENGTH, true)
        if (to > from && next - begin > READ_BYTES_MAX) break
        end = next
      }
      if (end > this.#directory || end < begin) throw damaged(this.#file.path, 'its directory is wrong')
      const piece = this.#bytes(begin, end - begin)
      for (let i = from; i < to; i++) nodes[i] = this.#node(directory, i, piece, begin, level, number + i)
      from = to
    }
    return nodes
  }

  #entries(level: number, number: number, count: number): DataView {
    const bytes = this.#bytes(this.#directory + (this.#starts[level]! + number) * DIRECTORY_ENTRY_BYTES, count * DIRECTORY_ENTRY_BYTES)
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  #node(directory: DataView, i: number, piece: Uint8Array, begin: number, level: number, number: number): Uint8Array {
    const at = readLsn(directory, i * DIRECTORY_ENTRY_BYTES + DIRECTORY_OFFSET) - begin
    const length = directory.getUint32(i * DIRECTORY_ENTRY_BYTES + DIRECTORY_LENGTH, true)
    const isWithin = at >= 0 && at + length <= piece.length
    const node = isWithin ? piece.subarray(at, at + length) : piece
    if (!isWithin || crcOf(this.#run, level, number, node) !== directory.getUint32(i * DIRECTORY_ENTRY_BYTES + DIRECTORY_CRC, true)) {
      throw damaged(this.#file.path, `node ${number} of level ${level} has a wrong checksum`)
    }
    return node
  }

  #bytes(position: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    const read = this.#file.pread(bytes, 0, length, position)
    if (read !== length) throw damaged(this.#file.path, 'it is too short')
    return bytes
  }
}
