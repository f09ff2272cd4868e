import { join } from 'node:path'
import type { Disk, DiskFile } from '../../src/base/disk.ts'
import { SECTOR_BYTES } from '../support/memory-disk.ts'

/** What a program does to a folder of its own before the power goes, and what may be there afterwards. */
export interface DiskScript {
  readonly name: string
  /** Stands, synced with its names, before `act`. */
  readonly before: (on: Bench) => void
  readonly act: (on: Bench) => void
  /** Outcomes as {@link stateOf} tells them. A disk that keeps its promises gives no other, if `only`. */
  readonly outcomes: readonly string[]
  readonly only?: boolean
}

/** File calls in few words. Everything that is opened is closed by `end`. */
export class Bench {
  readonly disk: Disk
  readonly dir: string
  readonly #open: DiskFile[] = []
  readonly #inner: Bench[] = []

  constructor(disk: Disk, dir: string) {
    this.disk = disk
    this.dir = dir
  }

  path(name: string): string {
    return join(this.dir, name)
  }

  create(name: string): DiskFile {
    return this.#kept(this.disk.open(this.path(name), 'create'))
  }

  open(name: string): DiskFile {
    return this.#kept(this.disk.open(this.path(name), 'write'))
  }

  /** Sectors full of these letters, one each. */
  write(file: DiskFile, letters: string, sector = 0): void {
    const bytes = new Uint8Array(letters.length * SECTOR_BYTES)
    for (let i = 0; i < letters.length; i++) bytes.fill(letters.charCodeAt(i), i * SECTOR_BYTES, (i + 1) * SECTOR_BYTES)
    file.pwrite(bytes, 0, bytes.length, sector * SECTOR_BYTES)
  }

  /** A file that is there for ever, name and all. */
  synced(name: string, letters: string): void {
    const file = this.create(name)
    this.write(file, letters)
    file.fsync()
    this.syncDir()
  }

  rename(from: string, to: string): void {
    this.disk.rename(this.path(from), this.path(to))
  }

  syncDir(): void {
    this.disk.syncDir(this.dir)
  }

  /** A new folder in it, without a sync of its name. */
  folder(name: string): Bench {
    this.disk.mkdir(this.path(name))
    const inner = new Bench(this.disk, this.path(name))
    this.#inner.push(inner)
    return inner
  }

  end(): void {
    for (const file of this.#open.splice(0)) file.close()
    for (const inner of this.#inner) inner.end()
  }

  #kept(file: DiskFile): DiskFile {
    this.#open.push(file)
    return file
  }
}

/** A sector's letter; `0` for zeros, `?` for anything mixed. */
function letterOf(sector: Uint8Array): string {
  const first = sector[0]!
  if (!sector.every((byte) => byte === first)) return '?'
  return first === 0 ? '0' : /[A-Z]/.test(String.fromCharCode(first)) ? String.fromCharCode(first) : '?'
}

function contentOf(disk: Disk, path: string): string {
  const file = disk.open(path, 'read')
  const bytes = new Uint8Array(file.size())
  file.pread(bytes, 0, bytes.length, 0)
  file.close()
  let letters = ''
  for (let at = 0; at < bytes.length; at += SECTOR_BYTES) letters += letterOf(bytes.subarray(at, at + SECTOR_BYTES))
  return letters
}

/** `f=AA g=` and so on: names in order, a letter a sector; `nothing` for an empty folder. */
export function stateOf(disk: Disk, dir: string, folders: readonly string[] = ['d']): string {
  const parts: string[] = []
  for (const name of disk.list(dir)) {
    const path = join(dir, name)
    parts.push(folders.includes(name) ? `${name}/(${stateOf(disk, path)})` : `${name}=${contentOf(disk, path)}`)
  }
  return parts.length === 0 ? 'nothing' : parts.join(' ')
}

const nothing = (): void => undefined

export const SCRIPTS: readonly DiskScript[] = [
  {
    name: 'a new file, nothing synced', before: nothing, outcomes: ['nothing', 'f=', 'f=00', 'f=AA'],
    act: (on) => on.write(on.create('f'), 'AA'),
  },
  {
    name: 'a new file, synced with its name', before: nothing, outcomes: ['f=AA'], only: true,
    act: (on) => on.synced('f', 'AA'),
  },
  {
    name: 'a new file, synced without its name', before: nothing, outcomes: ['nothing', 'f=AA'], only: true,
    act(on) {
      const file = on.create('f')
      on.write(file, 'AA')
      file.fsync()
    },
  },
  {
    name: 'written over, not synced', before: (on) => on.synced('f', 'AA'), outcomes: ['f=AA', 'f=BB', 'f=AB', 'f=BA', 'f=?A'],
    act: (on) => on.write(on.open('f'), 'BB'),
  },
  {
    name: 'written over, fdatasync', before: (on) => on.synced('f', 'AA'), outcomes: ['f=BB'], only: true,
    act(on) {
      const file = on.open('f')
      on.write(file, 'BB')
      file.fdatasync()
    },
  },
  {
    name: 'written behind the end, fdatasync', before: (on) => on.synced('f', 'A'), outcomes: ['f=AB'], only: true,
    act(on) {
      const file = on.open('f')
      on.write(file, 'B', 1)
      file.fdatasync()
    },
  },
  {
    name: 'written behind the end, not synced', before: (on) => on.synced('f', 'A'), outcomes: ['f=A', 'f=A0', 'f=AB'],
    act: (on) => on.write(on.open('f'), 'B', 1),
  },
  {
    name: 'renamed over another, folder not synced', outcomes: ['f=A g=B', 'f=B'], only: true,
    before(on) {
      on.synced('f', 'A')
      on.synced('g', 'B')
    },
    act: (on) => on.rename('g', 'f'),
  },
  {
    name: 'renamed over another, folder synced', outcomes: ['f=B'], only: true,
    before(on) {
      on.synced('f', 'A')
      on.synced('g', 'B')
    },
    act(on) {
      on.rename('g', 'f')
      on.syncDir()
    },
  },
  {
    name: 'renamed with the folder synced and the file not', before: (on) => on.synced('f', 'A'), outcomes: ['f=', 'f=0', 'f=B'],
    act(on) {
      on.write(on.create('g'), 'B')
      on.rename('g', 'f')
      on.syncDir()
    },
  },
  {
    name: 'removed, folder not synced', before: (on) => on.synced('f', 'A'), outcomes: ['f=A', 'nothing'], only: true,
    act: (on) => on.disk.unlink(on.path('f')),
  },
  {
    name: 'cut short, not synced', before: (on) => on.synced('f', 'AA'), outcomes: ['f=AA', 'f=A'], only: true,
    act: (on) => on.open('f').truncate(SECTOR_BYTES),
  },
  {
    name: 'a new folder, its files synced and its own name not', before: nothing, outcomes: ['nothing', 'd/(f=A)'], only: true,
    act: (on) => on.folder('d').synced('f', 'A'),
  },
  {
    name: 'two files, one synced', before: nothing, outcomes: ['f=A', 'f=A g=', 'f=A g=B'],
    act(on) {
      on.write(on.create('g'), 'B')
      const file = on.create('f')
      on.write(file, 'A')
      file.fsync()
    },
  },
]
