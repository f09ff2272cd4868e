import { accessSync, constants, existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { Test } from 'tap'

/** Tools that tests need beyond Node, and the Debian package of each; .ci/run installs all of them. */
const PACKAGES = {
  curl: 'curl',
  fallocate: 'util-linux',
  fusermount3: 'fuse3',
  gcc: 'gcc libc6-dev',
  jq: 'jq',
  losetup: 'mount',
  mke2fs: 'e2fsprogs',
  'mkfs.ext4': 'e2fsprogs',
  'mkfs.xfs': 'xfsprogs',
  mount: 'mount',
  nbdfuse: 'libnbd-bin',
  nbdkit: 'nbdkit',
  openssl: 'openssl',
  prlimit: 'util-linux',
  prometheus: 'prometheus',
  promtool: 'prometheus',
  strace: 'strace',
  umount: 'mount',
  unshare: 'util-linux',
  xfs_io: 'xfsprogs',
} as const
export type Tool = keyof typeof PACKAGES

/** Where libeatmydata puts the library that turns fsync into nothing. */
const EATMYDATA_PATHS = ['x86_64-linux-gnu', 'aarch64-linux-gnu'].map((triple) => `/usr/lib/${triple}/libeatmydata.so`)

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Administrators' tools stand in sbin, which a plain user's PATH leaves out. */
function findTool(tool: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin']
  return folders.map((folder) => join(folder, tool)).find(isExecutable)
}

/**
 * Says that the test can not run here. In CI (`CI=true`) that is a failure: a skipped test there would look green.
 * @param missing what is not there; the runner lists it under SKIPPED.
 */
export function missing(t: Test, what: string): false {
  const reason = `missing tool: ${what}`
  if (process.env['CI'] === 'true') t.fail(reason)
  else t.pass(what, { skip: reason })
  return false
}

/** Whether a tool is there; where not, the test is skipped (in CI: failed), and the caller returns. */
export function requireTool(t: Test, ...tools: readonly Tool[]): boolean {
  for (const tool of tools) {
    if (findTool(tool) === undefined) return missing(t, `${tool} (apt-get install ${PACKAGES[tool]})`)
  }
  return true
}

/** Whether this process may mount file systems and use loop devices. */
export function requireRoot(t: Test): boolean {
  return process.getuid?.() === 0 || missing(t, 'root (run the tests with sudo)')
}

/** The library that turns fsync into nothing, or undefined after the test has been skipped. */
export function requireEatmydata(t: Test): string | undefined {
  const path = EATMYDATA_PATHS.find((candidate) => existsSync(candidate))
  if (path === undefined) missing(t, 'libeatmydata.so (apt-get install libeatmydata1)')
  return path
}
