import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { TARGETS } from '../fuzz/targets.ts'
import { repoRoot } from '../support/root.ts'
import { CHART_NAME, CHART_TEXT, drawSamples, SAMPLES_PATH } from './samples.ts'
import { renderPage, shownRuns } from './page.ts'
import { findProofs } from './proofs.ts'
import { formatRecord, mergeRecords, readRecord, RECORD_PATH } from './record-file.ts'

/**
 * `npm run test:record`: docs/fault-record.md, and its chart, from what the runs have kept, here and, in docs/fault-record.jsonl, on machines that are gone.
 * Nothing else writes them.
 */
const docs = join(repoRoot, 'docs')
const keptPath = join(docs, 'fault-record.jsonl')
const runs = shownRuns(mergeRecords(readRecord(keptPath), readRecord(RECORD_PATH)))
if (runs.every((run) => run.records.length + run.fuzz.length === 0)) {
  console.error(`${RECORD_PATH} holds no record; run npm test or npm run test:soak first`)
  process.exitCode = 1
} else {
  if (existsSync(SAMPLES_PATH)) writeFileSync(join(docs, CHART_NAME), drawSamples(readFileSync(SAMPLES_PATH, 'utf8')))
  const charts = existsSync(join(docs, CHART_NAME)) ? [{ file: CHART_NAME, text: CHART_TEXT }] : []
  writeFileSync(keptPath, formatRecord(runs))
  writeFileSync(join(docs, 'fault-record.md'), renderPage({ runs, ids: findProofs().flatMap(({ ids }) => ids), targets: TARGETS.map(({ name }) => name), charts }))
  console.log('wrote docs/fault-record.md and docs/fault-record.jsonl')
}
