import { readFileSync } from 'node:fs'
import { arch, cpus, loadavg, totalmem } from 'node:os'
import { nodeDisk } from '../../src/base/disk-node.ts'
import { syncLatenciesMs } from '../../src/cli/tune/sync-probe.ts'
import { quantile } from './stats.ts'

/** {@link syncLatenciesMs} on the real disk. */
export const fsyncLatenciesMs = (dir: string, count: number): number[] => syncLatenciesMs(nodeDisk, dir, count)

/** What the figures were measured on, in one line: figures of different lines are not comparable. */
export function machineLine(dir: string, probes = 1000): string {
  const times = fsyncLatenciesMs(dir, probes)
  const cores = cpus()
  return [
    `${cores.length} x ${cores[0]?.model.trim() ?? 'unknown'} (${arch()})`,
    `${(totalmem() / 2 ** 30).toFixed(0)} GiB`,
    `Node ${process.version}`,
    `write+fdatasync of 4 KiB p50 ${(quantile(times, 0.5) * 1000).toFixed(0)} us, p99 ${(quantile(times, 0.99) * 1000).toFixed(0)} us`,
    `load average ${loadavg().map((l) => l.toFixed(2)).join(' ')}`,
  ].join('; ')
}

/** Peak resident memory of a process, in bytes, as the kernel counts it (VmHWM); undefined when it is gone. */
export function peakResidentBytes(pid: number): number | undefined {
  let status: string
  try {
    status = readFileSync(`/proc/${pid}/status`, 'utf8')
  } catch {
    return undefined // the process has ended
  }
  const match = /^VmHWM:\s+(\d+) kB$/m.exec(status)
  return match === null ? undefined : Number(match[1]) * 1024
}

/** CPU seconds that a process has used, user and system together; undefined when it is gone. */
export function cpuSeconds(pid: number): number | undefined {
  let stat: string
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch {
    return undefined // the process has ended
  }
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}
