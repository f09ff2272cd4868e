import t from 'tap'
import { findProofs, TIMES } from '../soak/proofs.ts'
import { projectFiles, readProjectFile } from '../support/tree.ts'

// A soak finds the fault tests by what they record. Whoever records must be found, with the ids that the source names.

const files = projectFiles()
const proofs = findProofs()
/** These say what is recorded, or show it, and are no fault tests. */
const OTHERS = ['test/support/', 'test/soak/', 'test/unit/soak/', 'test/tidy/']

t.test('every file that records is one that a soak runs, by the ids in its source', async (t) => {
  const recording = files.filter((path) => /^test\/.*\.ts$/.test(path) && !OTHERS.some((folder) => path.startsWith(folder)) && readProjectFile(path).includes('recordFault('))
  t.strictSame(proofs.map(({ file }) => `test/${file}.test.ts`).sort(), recording.sort())
  for (const { file, ids } of proofs) {
    const source = readProjectFile(`test/${file}.test.ts`)
    t.ok(ids.length > 0, `${file}: recordFault({ id: '...' as a literal`)
    t.equal(ids.length > 0 && [...source.matchAll(/recordFault\(\{/g)].length >= ids.length, true, file)
    for (const id of ids) t.ok(source.includes(`id: '${id}'`), `${file} records ${id}`)
  }
})

t.test('times are those of files that are there', async (t) => {
  const known = proofs.map(({ file }) => file)
  t.strictSame(Object.keys(TIMES).filter((file) => !known.includes(file)), [])
  for (const [file, { trialSeconds, restSeconds }] of Object.entries(TIMES)) t.ok(trialSeconds > 0 && restSeconds >= 0, file)
})

t.test('what a single node must survive, or answer rightly, has a test', async (t) => {
  const ids = new Set(proofs.flatMap(({ ids }) => ids))
  for (const id of ['C1', 'C2', 'D1', 'D3', 'D4', 'D5', 'D7', 'MODEL', 'O6', 'S1', 'S2', 'S3']) t.ok(ids.has(id), id)
})
