import t from 'tap'
import type { Disk } from '../../../src/base/disk.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { NEXT_NAME } from '../../../src/wal/wal-files.ts'
import { FaultyDisk, type DiskCall } from '../../support/faulty-disk.ts'
import { MemoryDisk } from '../../support/memory-disk.ts'
import { DIR, KiB, codeOf, openWal, optionsWith, payloadOf, readAll, realModules, stage, thrown, type WalModules } from './kit.ts'
import { loadMutant } from './mutant.ts'

// A sync of the log fails, the process ends, and the disk is full when it starts again: the kernel shows records that are not on the disk, and
// there is no room for a copy that would be. Whatever a start serves then must survive a power cut.

const GROUPS = 4
const SYNCS: readonly DiskCall[] = ['fdatasync', 'fsync']

interface Written {
  readonly disk: MemoryDisk
  /** Groups that were acked. */
  readonly acked: number
}

/** A log of a process that wrote groups until it was killed, or until its last sync failed; then the disk is full, without a segment in reserve. */
function written(syncFails: boolean, modules: WalModules): Written {
  const disk = new MemoryDisk()
  disk.mkdir('/data')
  disk.syncDir('/')
  let isFailing = false
  const faulty = new FaultyDisk(disk, ({ call }) => (isFailing && SYNCS.includes(call) ? 'EIO' : undefined))
  const { wal } = openWal(faulty, { segmentBytes: 64 * KiB }, modules)
  const random = seededRandom(1)
  let acked = 0
  for (let group = 1; group <= GROUPS; group++) {
    stage(wal, payloadOf(random))
    isFailing = syncFails && group === GROUPS
    if (thrown(() => wal.commit()) === undefined) acked++
  }
  if (disk.exists(`${DIR}/${NEXT_NAME}`)) disk.unlink(`${DIR}/${NEXT_NAME}`)
  disk.capacityBytes = Number.MAX_SAFE_INTEGER
  disk.capacityBytes -= disk.freeBytes('/')
  return { disk, acked }
}

const recover = (disk: Disk, { recovery }: WalModules) => recovery.recoverWal(disk, DIR, optionsWith({ segmentBytes: 64 * KiB }))

/** What a start on the full disk shows, that no power cut may take. @returns a violation, or what became of the start. */
function startOnFull({ disk, acked }: Written, modules: WalModules): string {
  let recovered: ReturnType<typeof recover>
  try {
    recovered = recover(disk, modules)
  } catch (error) {
    return `refused: ${codeOf(error)}`
  }
  const shown = readAll(disk, recovered.first, recovered.end, modules).length
  if (shown < acked) return `lost: ${shown} of ${acked}`
  for (let seed = 1; seed <= 20; seed++) {
    const after = disk.crash(seededRandom(seed))
    after.capacityBytes = Infinity
    const again = recover(after, modules)
    const kept = readAll(after, again.first, again.end, modules).length
    if (kept < shown) return `shown ${shown}, and a power cut leaves ${kept}`
  }
  return `served: ${shown}`
}

t.test('killed, and the disk is full: it can be read', async (t) => {
  t.equal(startOnFull(written(false, realModules), realModules), `served: ${GROUPS}`)
})

t.test('a sync failed, and the disk is full: the start is refused, until there is room for a copy', async (t) => {
  const { disk, acked } = written(true, realModules)
  t.equal(acked, GROUPS - 1)
  const before = disk.readFile(`${DIR}/0000000001.wal`)
  for (let attempt = 0; attempt < 3; attempt++) {
    t.match(thrown(() => recover(disk, realModules)), { code: 'disk_full', message: /a sync of the log has failed.*free \d+ bytes/ })
  }
  t.same(disk.readFile(`${DIR}/0000000001.wal`), before, 'nothing was touched')
  disk.capacityBytes += 64 * KiB
  const recovered = recover(disk, realModules)
  t.ok(recovered.lastLsn >= acked, 'a little room is enough to be read')
  t.equal(recovered.tail, undefined)
  const cut = disk.crash(seededRandom(3))
  t.equal(recover(cut, realModules).lastLsn, recovered.lastLsn, 'and what is read then is on the disk')
  t.equal(startOnFull({ disk, acked }, realModules), `served: ${recovered.lastLsn}`, 'from then on it is trusted again')
})

t.test('a sync failed, the power went: what is read is on the disk, full or not', async (t) => {
  for (let seed = 1; seed <= 20; seed++) {
    const { disk, acked } = written(true, realModules)
    t.match(startOnFull({ disk: disk.crash(seededRandom(seed)), acked }, realModules), /^(served: [34]|refused: disk_full)$/)
  }
})

const MUTANTS = {
  'a full disk is reason enough to trust': { file: 'recovery.js', from: 'if (!examined.isTrusted)', to: 'if (false)' },
  'a failed sync is told to nobody': { file: 'wal-writer.js', from: 'distrust(this.#disk, this.#dir);', to: '' },
}

for (const [name, mutation] of Object.entries(MUTANTS)) {
  t.test(`tooth: ${name}`, async (t) => {
    const { modules, remove } = await loadMutant([mutation])
    t.teardown(remove)
    t.match(startOnFull(written(true, modules), modules), /^shown 4, and a power cut leaves 3$/)
  })
}
