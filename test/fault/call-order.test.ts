import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import { recordFault } from '../support/fault-record.ts'
import { Trial, sleep, trialSeed } from '../support/history.trial.ts'
import { buildRoot } from '../support/root.ts'
import { LINT_CALLS, OrderLint, type LintResult } from '../support/strace.lint.ts'
import { recordPlaces } from '../support/strace.records.ts'
import { straceCommand, systemCalls } from '../support/strace.ts'
import { within, type Settings } from '../support/server.ts'
import { requireTool } from '../support/tools.ts'

t.setTimeout(600_000)

// Every system call of a whole run, from an empty folder over many rotations to the orderly end: no ack and no read leaves
// the process before a sync of what it stands on has returned, and no acked record is in a file whose name may be lost.

const ACKS_MIN = 10_000
const RUN_MS_MAX = 120_000
/** The store keeps an order of its own, which is RocksDB's. */
const IGNORED = ['db/', 'LOCK', 'lock']
/** Files that nothing depends on until they are renamed. */
const LOOSE = /\/wal\/NEXT(\.|$)/
const ROTATING: Settings = { walSegmentBytes: 2 ** 19, frameBytesMax: 2 ** 17, groupBytesMax: 2 ** 17 }

const seed = trialSeed()
const done = { acks: 0, early: 0, reads: 0, syncs: 0, tooth: [] as string[] }

t.teardown(() => recordFault({
  id: 'D4', title: 'every system call of a run: no ack or read before its sync, no acked record in a file without a durable name', trials: done.acks, unit: 'acks',
  failures: done.early, seed, figures: { readLsns: done.reads, logSyncs: done.syncs }, tooth: done.tooth.join('; '),
}))

const mutant = (name: string): string => pathToFileURL(join(buildRoot, 'test', 'fault', 'mutants', `${name}.js`)).href

async function traced(t: Test, acks: number, preload: readonly string[] = []): Promise<LintResult> {
  const folder = mkdtempSync(join(tmpdir(), 'stemedb-trace-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const dataDir = join(folder, 'data')
  const output = join(folder, 'trace')
  const trial = await Trial.create({ dataDir, settings: ROTATING }, seed)
  const server = await trial.start({ wrapper: straceCommand(output, LINT_CALLS, { fast: true }), preload, readyMsMax: 60_000 })
  const stream = await trial.beginStream(server, { connections: 64, batchMax: 4, claimsMax: 1_000_000 })
  for (let waited = 0; stream.acks.length < acks && waited < RUN_MS_MAX; waited += 50) await sleep(50)
  stream.pause()
  await stream.settle()
  t.same(stream.faults.slice(0, 3), [], 'no broken answers')
  trial.endStream()
  const exit = await within(server.stop(60_000), 60_000)
  t.equal(exit?.code, 0, 'an orderly end')
  const lint = new OrderLint(dataDir, recordPlaces(dataDir), IGNORED)
  for await (const call of systemCalls(output)) lint.feed(call)
  const result = lint.finish()
  t.comment(`seed ${seed}: ${JSON.stringify({ ...result, unsyncedNames: result.unsyncedNames.length })}`)
  t.same(result.blind, [], 'the trace tells everything')
  return result
}

t.test(`${ACKS_MIN} acks, each after the sync that covers it`, async (t) => {
  if (!requireTool(t, 'strace')) return
  const result = await traced(t, ACKS_MIN)
  Object.assign(done, { acks: result.acks, early: result.earlyAcks + result.earlyReads + result.namelessAcks, reads: result.reads, syncs: result.syncs })
  t.ok(result.acks >= ACKS_MIN, `${result.acks} acks`)
  t.equal(result.earlyAcks, 0, 'none is early')
  t.ok(result.reads > 0, `${result.reads} LSNs were read meanwhile`)
  t.equal(result.earlyReads, 0, 'none is early')
  t.equal(result.namelessAcks, 0, 'no acked record is in a file whose name may be lost')
  t.same(result.unsyncedNames.filter((path) => !LOOSE.test(path)), [], 'no name is left unsynced')
  t.ok(result.syncs > 100 && result.nameChanges > 10, `${result.syncs} syncs of the log, ${result.nameChanges} names made, changed or removed`)
  recordFault({
    id: 'D4', title: 'the order of system calls over a whole run', trials: result.acks, unit: 'acks', seed,
    failures: result.earlyAcks + result.earlyReads + result.namelessAcks, figures: { syncs: result.syncs, nameChanges: result.nameChanges },
    tooth: 'a server that acks before it syncs, and one that does not sync its folders',
  })
})

t.test('the tooth: a server that acks before it syncs', async (t) => {
  if (!requireTool(t, 'strace')) return
  const result = await traced(t, 500, [mutant('ack-early')])
  t.ok(result.acks >= 500, `${result.acks} acks`)
  t.ok(result.earlyAcks >= result.acks * 0.99, `${result.earlyAcks} of them are flagged`)
  done.tooth.push(`acks before the sync: ${result.earlyAcks} of ${result.acks} flagged`)
})

t.test('the tooth: a server that does not sync its folders', async (t) => {
  if (!requireTool(t, 'strace')) return
  const result = await traced(t, 500, [mutant('no-dirsync')])
  t.equal(result.namelessAcks, result.acks, `all of ${result.acks} acks are flagged`)
  done.tooth.push(`folders not synced: ${result.namelessAcks} of ${result.acks} flagged`)
})
