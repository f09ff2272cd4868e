import { join } from 'node:path'
import { explainingPaths } from '../base/disk-files.ts'
import { nodeDisk } from '../base/disk-node.ts'
import { DbError } from '../base/errors.ts'
import { hlcWallMs } from '../base/hlc.ts'
import { inspectWal, verifyWal, type InspectedRecord, type InspectOptions, type VerifyReport } from '../wal/inspect.ts'
import type { Console, OutputOptions } from './console.ts'
import { EXIT } from '../base/exit-codes.ts'
import { createProgress } from './progress.ts'

export interface WalOptions extends OutputOptions {
  readonly dataDir: string
}

export interface WalInspectOptions extends WalOptions {
  readonly fromLsn?: string
  readonly toLsn?: string
  readonly fromSegment?: string
  readonly limit: string
}

function numberOf(name: string, text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new DbError('parameter_invalid', `${name}: "${text}" is no whole number`, { parameter: name })
  return Number(text)
}

function inspectOptionsOf(options: WalInspectOptions): InspectOptions {
  return {
    limit: numberOf('--limit', options.limit),
    ...(options.fromLsn === undefined ? {} : { fromLsn: numberOf('--from-lsn', options.fromLsn) }),
    ...(options.toLsn === undefined ? {} : { toLsn: numberOf('--to-lsn', options.toLsn) }),
    ...(options.fromSegment === undefined ? {} : { fromSegmentId: numberOf('--from-segment', options.fromSegment) }),
  }
}

function recordLine(record: InspectedRecord): string {
  const lsns = record.lsnLast === undefined ? `(${record.lsnFirst})` : record.lsnLast === record.lsnFirst ? String(record.lsnFirst)
    : `${record.lsnFirst}..${record.lsnLast}`
  const hlcMs = hlcWallMs(BigInt(record.hlcFirst))
  return [
    `${record.segmentId}:${record.offset}`.padEnd(16), record.kind.padEnd(6), lsns.padStart(24), String(record.count).padStart(6),
    String(record.bytes).padStart(9), hlcMs === 0 ? '' : new Date(hlcMs).toISOString(), `durable ${record.durableLsn}`,
  ].join(' ')
}

/** `stemedb wal inspect`: the log's records, one a line. Read only, also beside a running node. */
export async function runWalInspect(options: WalInspectOptions, console: Console): Promise<number> {
  return explainingPaths(() => inspect(options, console))
}

async function inspect(options: WalInspectOptions, console: Console): Promise<number> {
  const asked = inspectOptionsOf(options)
  if (options.json !== true) console.err(`${'segment:offset'.padEnd(16)} ${'kind'.padEnd(6)} ${'LSNs'.padStart(24)} ${'count'.padStart(6)} ${'bytes'.padStart(9)} time`)
  let shown = 0
  for (const record of inspectWal(nodeDisk, join(options.dataDir, 'wal'), asked)) {
    console.out(options.json === true ? JSON.stringify(record) : recordLine(record))
    shown++
  }
  if (shown === asked.limit && options.json !== true) console.err(`Stopped after ${shown} records; --limit shows more, --from-lsn goes on elsewhere.`)
  return EXIT.ok
}

/** `stemedb wal verify`: reads every byte of the log. Read only. */
export async function runWalVerify(options: WalOptions, console: Console): Promise<number> {
  return explainingPaths(() => verify(options, console))
}

async function verify(options: WalOptions, console: Console): Promise<number> {
  const progress = await createProgress(console, 'wal verify', options.json)
  const steps = verifyWal(nodeDisk, join(options.dataDir, 'wal'))
  let step = steps.next()
  while (step.done !== true) {
    const { segmentsDone, segmentsTotal, bytesDone } = step.value
    progress.update(segmentsDone, segmentsTotal, `${Math.round(bytesDone / 2 ** 20)} MiB`)
    step = steps.next()
  }
  progress.stop()
  const report = step.value
  if (options.json === true) console.out(JSON.stringify(report))
  else showReport(report, console)
  return report.ok ? EXIT.ok : EXIT.data
}

function showReport(report: VerifyReport, console: Console): void {
  const { records } = report
  console.out(`node        ${report.nodeId}`)
  console.out(`segments    ${report.segments} (${(report.bytes / 2 ** 20).toFixed(1)} MiB)`)
  console.out(`records     ${records.batch} batches, ${records.mark} marks, ${records.seal} seals`)
  console.out(`assertions  ${report.assertions}${report.lsnLast === 0 ? '' : `, LSN ${report.lsnFirst} to ${report.lsnLast}`}`)
  console.out(`end         ${report.clean ? 'clean shutdown' : report.tornBytes > 0 ? `${report.tornBytes} bytes of a torn or unfinished group, which a start cuts off` : 'no clean shutdown, nothing torn'}`)
  if (report.damage === undefined) console.out('result      every record is as it was written')
  else console.out(`result      DAMAGED at segment ${report.damage.segmentId}, offset ${report.damage.offset} (LSN ${report.damage.lsn}): ${report.damage.message}`)
}
