import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { LoadOptions, LoadReport } from '../../src/cli/load/load.types.ts'
import type { ChildWork, FillReport, ReadReport, ReadWork } from './query-child.types.ts'

const pathOf = (name: string): string => fileURLToPath(new URL(`../${name}.js`, import.meta.url))

/** Runs the load generator in a process of its own, as a client would be. @throws {Error} with what it said. */
export const runLoadProcess = (options: Omit<LoadOptions, 'onProgress' | 'secretKey'>): Promise<LoadReport> =>
  runChild('load-child', options) as Promise<LoadReport>

/** The same for the readers and the filler of bench/query.ts. */
export const runReads = (work: ReadWork): Promise<ReadReport> => runChild('query-child', work) as Promise<ReadReport>
export const runFill = (work: Exclude<ChildWork, ReadWork>): Promise<FillReport> => runChild('query-child', work) as Promise<FillReport>

/** Runs a program of bench/ that takes its work as JSON and prints its report as one line. */
function runChild(name: string, work: object): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--max-old-space-size=8192', pathOf(name), JSON.stringify(work)], { stdio: ['ignore', 'pipe', 'pipe'] })
    let out = ''
    let errors = ''
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      out += chunk
      // The report is whole with its newline: the process may take its time to give its memory back.
      const end = out.indexOf('\n')
      if (end >= 0) resolve(JSON.parse(out.slice(0, end)))
    })
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => { errors = (errors + chunk).slice(-4000) })
    child.once('error', reject)
    child.once('close', (code) => reject(new Error(`${name} ended with ${String(code)}: ${errors}`)))
  })
}

/** @throws {Error} where a run is not what its figure says it is. */
export function checkClean(report: LoadReport): void {
  const wrong = [
    report.unacked > 0 ? `${report.unacked} were never acked` : '',
    report.duplicates > 0 ? `${report.duplicates} were duplicates` : '',
    report.connectionErrors.length > 0 ? `connections closed: ${report.connectionErrors[0]}` : '',
    report.accepted === 0 ? `nothing was accepted (${JSON.stringify(report.refusedBy)})` : '',
  ].filter((text) => text !== '')
  if (wrong.length > 0) throw new Error(wrong.join('; '))
}
