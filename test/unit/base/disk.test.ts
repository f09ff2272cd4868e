import { statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Disk } from '../../../src/base/disk.ts'
import { explainingPaths, onDisk } from '../../../src/base/disk-files.ts'
import { nodeDisk } from '../../../src/base/disk-node.ts'
import { errnoOf } from '../../../src/base/errors.ts'

// Every Disk must pass this: the one in memory of a simulator too.
const disks: Record<string, Disk> = { node: nodeDisk }

for (const [name, disk] of Object.entries(disks)) {
  t.test(`${name}: what is written is read back, at any position`, async (t) => {
    const file = disk.open(join(t.testdir(), 'a'), 'create')
    file.pwrite(Uint8Array.of(1, 2, 3, 4), 1, 3, 10)
    t.equal(file.size(), 13)
    const read = new Uint8Array(8)
    t.equal(file.pread(read, 2, 6, 8), 5, 'fewer bytes only at the end of the file')
    t.strictSame([...read], [0, 0, 0, 0, 2, 3, 4, 0])
    t.equal(file.pread(read, 0, 8, 100), 0, 'nothing behind the end')
    file.fdatasync()
    file.fsync()
    file.truncate(11)
    t.equal(file.size(), 11)
    file.close()
  })

  t.test(`${name}: shared memory is written as it is`, async (t) => {
    const file = disk.open(join(t.testdir(), 'a'), 'create')
    file.pwrite(new Uint8Array(new SharedArrayBuffer(4)).fill(9), 0, 4, 0)
    const read = new Uint8Array(4)
    file.pread(read, 0, 4, 0)
    t.strictSame([...read], [9, 9, 9, 9])
    file.close()
  })

  t.test(`${name}: errors carry the operating system's code`, async (t) => {
    const dir = t.testdir({ there: 'x' })
    const codeOf = (action: () => unknown): string | undefined => {
      try {
        action()
        return 'no error'
      } catch (error) {
        return errnoOf(error)
      }
    }
    t.equal(codeOf(() => disk.open(join(dir, 'there'), 'create')), 'EEXIST')
    t.equal(codeOf(() => disk.open(join(dir, 'absent'), 'read')), 'ENOENT')
    t.equal(codeOf(() => disk.open(join(dir, 'absent'), 'write')), 'ENOENT')
    t.equal(codeOf(() => disk.unlink(join(dir, 'absent'))), 'ENOENT')
    t.equal(codeOf(() => disk.rename(join(dir, 'absent'), join(dir, 'x'))), 'ENOENT')
  })

  t.test(`${name}: folders`, async (t) => {
    const dir = t.testdir()
    disk.mkdir(join(dir, 'x/y'))
    disk.mkdir(join(dir, 'x/y'))
    for (const entry of ['b', 'a', 'c']) disk.open(join(dir, 'x', entry), 'create').close()
    t.strictSame(disk.list(join(dir, 'x')), ['a', 'b', 'c', 'y'])
    disk.rename(join(dir, 'x/c'), join(dir, 'x/a'))
    disk.unlink(join(dir, 'x/b'))
    disk.syncDir(join(dir, 'x'))
    t.strictSame(disk.list(join(dir, 'x')), ['a', 'y'])
    t.ok(disk.exists(join(dir, 'x/a')))
    t.notOk(disk.exists(join(dir, 'x/b')))
    t.ok(disk.freeBytes(dir) > 0)
  })
}

t.test('node: what may not be looked at is not taken for absent', async (t) => {
  const path = join(t.testdir({ file: 'x' }), 'file', 'MANIFEST')
  t.throws(() => nodeDisk.exists(path), { code: 'ENOTDIR' })
  const work = async (): Promise<unknown> => onDisk('looking', path, () => nodeDisk.exists(path))
  await t.rejects(work(), { code: 'io_error' })
  await t.rejects(explainingPaths(work), { code: 'config_invalid', message: /MANIFEST.*a file stands where a folder must be/, details: { errno: 'ENOTDIR', path } })
  const denied = async (): Promise<never> => { throw Object.assign(new Error("EACCES: permission denied, open '/x'"), { code: 'EACCES' }) }
  await t.rejects(explainingPaths(denied), { code: 'config_invalid', message: /'\/x'; run it as the node's user/ })
  const failing = async (): Promise<never> => { throw Object.assign(new Error('EIO: i/o error'), { code: 'EIO' }) }
  await t.rejects(explainingPaths(failing), { code: 'EIO' }, 'the disk itself is another matter')
})

t.test('node: files and folders are for their owner only', async (t) => {
  const dir = t.testdir()
  nodeDisk.mkdir(join(dir, 'd'))
  nodeDisk.open(join(dir, 'd/f'), 'create').close()
  t.equal(statSync(join(dir, 'd')).mode & 0o777, 0o700)
  t.equal(statSync(join(dir, 'd/f')).mode & 0o777, 0o600)
})
