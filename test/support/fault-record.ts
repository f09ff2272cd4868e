import { appendFileSync } from 'node:fs'
import { relative } from 'node:path'
import { buildRoot } from './root.ts'

/** What one fault test survived, as `docs/fault-record.md` shows it. */
export interface FaultRecord {
  /** Of the table of faults: `D1`, `C3`, ... */
  readonly id: string
  /** What was done to the node, in a few words. */
  readonly title: string
  readonly trials: number
  /** What the trials were: `kills`, `power cuts`, `bit flips`. */
  readonly unit: string
  readonly failures: number
  /** From which the schedule can be run again; absent where nothing is left to chance. */
  readonly seed?: number
  /** Measured on the way; units in the names. */
  readonly figures?: Readonly<Record<string, number>>
  /** The mutant or control that the test must fail on, and how often it did. */
  readonly tooth?: string
}

/** The file that records are appended to, one JSON object a line; nothing is written where it is not set. */
export const FAULT_RECORD_VARIABLE = 'STEMEDB_FAULT_RECORD'

/** A line of that file: who says it, and when. */
export interface FaultRecordLine extends FaultRecord {
  /** Below `test/`: `fault/kill`. */
  readonly file: string
  readonly atMs: number
}

// What a test starts does not get the variable: a node refuses a `STEMEDB_` setting that it does not know.
export const faultRecordPath = process.env[FAULT_RECORD_VARIABLE] ?? ''
delete process.env[FAULT_RECORD_VARIABLE]

/** Says what a fault test survived. Call it once a test, at its end, whatever the result; without trials it says nothing. */
export function recordFault(record: FaultRecord): void {
  if (faultRecordPath === '' || record.trials === 0) return
  const file = relative(`${buildRoot}/test`, process.argv[1] ?? '').replace(/\.test\.js$/, '')
  const line: FaultRecordLine = { ...record, file, atMs: Date.now() }
  appendFileSync(faultRecordPath, `${JSON.stringify(line)}\n`)
}
