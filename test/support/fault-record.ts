import { appendFileSync } from 'node:fs'

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

/** Says what a fault test survived. Call it once a test, at its end, whatever the result. */
export function recordFault(record: FaultRecord): void {
  const path = process.env[FAULT_RECORD_VARIABLE]
  if (path !== undefined && path !== '') appendFileSync(path, `${JSON.stringify(record)}\n`)
}
