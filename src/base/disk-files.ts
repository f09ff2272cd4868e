import type { Disk } from './disk.ts'

export function removeIfThere(disk: Disk, path: string): void {
  if (disk.exists(path)) disk.unlink(path)
}

/** A new file with these bytes, synced; its name is not. Takes the place of a leftover. */
export function writeSynced(disk: Disk, path: string, bytes: Uint8Array): void {
  removeIfThere(disk, path)
  const file = disk.open(path, 'create')
  try {
    file.pwrite(bytes, 0, bytes.length, 0)
    file.fsync()
  } finally {
    file.close()
  }
}
