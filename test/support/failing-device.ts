import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { closeSync, fsyncSync, ftruncateSync, mkdirSync, mkdtempSync, openSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MiB } from '../../src/base/units.ts'
import { run, unmountWhenFree } from './loop-fs.ts'

/** Programs that a failing device needs, for `requireTool`. */
export const FAILING_DEVICE_TOOLS = ['nbdkit', 'nbdfuse', 'fusermount3', 'losetup', 'mkfs.ext4', 'mke2fs', 'mount', 'umount', 'xfs_io'] as const

const JOURNAL_BYTES = 16 * MiB
const DEVICE_MS_MAX = 20_000

const pause = (ms: number): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)

/** Where ext4 keeps its log: on the failing device, or on one that does not fail. */
export type JournalPlace = 'inside' | 'elsewhere'

/**
 * An ext4 on a block device whose writes can be made to fail, and to work again. With its journal elsewhere, only what is in files
 * is lost: the file system goes on as if nothing had happened, and what was written meanwhile stands in the page cache, clean,
 * readable, and not on the device. With the journal inside, the file system gives up and turns read-only.
 *
 * Call `remove` in the test's teardown, whatever happened.
 */
export class FailingDevice {
  readonly #folder: string
  readonly #flag: string
  readonly mountDir: string
  #exporter: ChildProcess | undefined
  #loops: string[] = []
  #mountOptions = ''
  #mounted = false

  private constructor() {
    this.#folder = mkdtempSync(join(tmpdir(), 'stemedb-device-'))
    this.#flag = join(this.#folder, 'failing')
    this.mountDir = join(this.#folder, 'mnt')
  }

  static create(bytes: number, journal: JournalPlace): FailingDevice {
    const device = new FailingDevice()
    try {
      device.#export(bytes)
      device.#format(journal)
      device.mount()
    } catch (error) {
      device.remove()
      throw error
    }
    return device
  }

  /** A file that is a disk in memory; `heal` and `fail` are a flag file that it looks at with every write. */
  #export(bytes: number): void {
    const path = join(this.#folder, 'device')
    closeSync(openSync(path, 'wx'))
    mkdirSync(this.mountDir)
    this.#exporter = spawn('nbdfuse', [path, '[', 'nbdkit', '--exit-with-parent', '--filter=error', 'memory', String(bytes),
      'error-pwrite=EIO', 'error-pwrite-rate=100%', `error-pwrite-file=${this.#flag}`, ']'], { stdio: 'ignore' })
    for (let waitedMs = 0; statSync(path).size !== bytes; waitedMs += 20) {
      if (waitedMs > DEVICE_MS_MAX) throw new Error('nbdfuse does not export its device')
      pause(20)
    }
    this.#loops.push(run('losetup', '-f', '--show', path).trim())
  }

  #format(journal: JournalPlace): void {
    const [device] = this.#loops as [string]
    const options = ['-q', '-F', '-b', '4096', '-m', '0']
    if (journal === 'inside') {
      run('mkfs.ext4', ...options, device)
      this.#mountOptions = 'errors=remount-ro'
      return
    }
    const path = join(this.#folder, 'journal')
    const fd = openSync(path, 'wx')
    ftruncateSync(fd, JOURNAL_BYTES)
    closeSync(fd)
    const journalDevice = run('losetup', '-f', '--show', path).trim()
    this.#loops.push(journalDevice)
    run('mke2fs', '-q', '-F', '-O', 'journal_dev', '-b', '4096', journalDevice)
    run('mkfs.ext4', ...options, '-J', `device=${journalDevice}`, device)
    this.#mountOptions = `journal_path=${journalDevice}`
  }

  mount(): void {
    run('mount', '-o', this.#mountOptions, this.#loops[0]!, this.mountDir)
    this.#mounted = true
  }

  unmount(): void {
    unmountWhenFree(this.mountDir)
    this.#mounted = false
  }

  /** Every write to the device fails with EIO from now on. */
  fail(): void {
    writeFileSync(this.#flag, '')
  }

  /** While it fails: writes into a journal of its own until the file system gives up. @throws where it does not. */
  awaitReadOnly(): void {
    for (let attempt = 0; attempt < 200; attempt++) {
      try {
        const fd = openSync(join(this.mountDir, `attempt-${attempt}`), 'wx')
        try {
          fsyncSync(fd)
        } finally {
          closeSync(fd)
        }
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EROFS') return
      }
      pause(20)
    }
    throw new Error('the file system goes on although its journal can not be written')
  }

  heal(): void {
    rmSync(this.#flag, { force: true })
  }

  /** From now on nothing reaches the device any more, its log included: as when the power goes. */
  cutPower(): void {
    run('xfs_io', '-x', '-c', 'shutdown', this.mountDir)
  }

  /** Unmounts and deletes it all. Never throws for what is gone already. */
  remove(): void {
    this.heal()
    const attempt = (command: string, ...args: string[]): void => {
      try {
        execFileSync(command, args, { stdio: 'ignore' })
      } catch {
        // It was never there, or is gone.
      }
    }
    if (this.#mounted) {
      try {
        this.unmount()
      } catch {
        attempt('umount', '-l', this.mountDir)
      }
    }
    for (const loop of this.#loops) attempt('losetup', '-d', loop)
    attempt('fusermount3', '-u', '-z', join(this.#folder, 'device'))
    this.#exporter?.kill('SIGKILL')
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
