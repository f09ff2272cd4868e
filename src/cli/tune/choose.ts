import { KiB, MiB } from '../../base/units.ts'
import type { Config, OptionName } from '../../config/options.ts'

/** A closed loop of writes against a node with so many verify threads. */
export interface WriteTrial {
  readonly verifyThreads: number
  readonly acceptedPerSecond: number
  /** Parts of the time, 0..1: of all verify threads together, and of the commit thread in fdatasync. */
  readonly verifyBusy: number
  readonly syncBusy: number
}
/** A closed loop of queries against a node with so many lens threads. */
export interface QueryTrial {
  readonly lensThreads: number
  readonly queriesPerSecond: number
  readonly p99Ms: number
}

export interface Measured {
  readonly cores: number
  readonly sync: { readonly p50Ms: number, readonly p99Ms: number }
  /** Assertions a second that one core checks. */
  readonly verifyPerCore: number
  /** Of one encoded assertion. */
  readonly recordBytes: number
  readonly writes: readonly WriteTrial[]
  readonly queries: readonly QueryTrial[]
}

export interface Choice {
  readonly setting: OptionName
  readonly value: number
  readonly why: string
}

/** More threads must bring more than this part, or they are not worth their memory and their switches. */
const WORTH = 0.05
/** What is left of the id and the header in the log beside an assertion's bytes. */
const LOG_OVERHEAD_BYTES = 48

/** Thread counts worth a try on so many cores, ascending. */
export function countsToTry(cores: number): number[] {
  return [...new Set([1, cores >> 1, cores - 1, cores].filter((count) => count >= 1))].sort((a, b) => a - b)
}

export function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const half = sorted.length >> 1
  if (sorted.length === 0) return Number.NaN
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2
}

/** Medians by count, ascending. */
function mediansOf<T>(trials: readonly T[], countOf: (trial: T) => number, rateOf: (trial: T) => number): { count: number, rate: number }[] {
  const counts = [...new Set(trials.map(countOf))].sort((a, b) => a - b)
  return counts.map((count) => ({ count, rate: medianOf(trials.filter((trial) => countOf(trial) === count).map(rateOf)) }))
}

/** The fewest threads whose rate is as good as the best one's. */
function fewest(rates: readonly { count: number, rate: number }[]): { count: number, rate: number } {
  const best = rates.reduce((a, b) => (b.rate > a.rate ? b : a))
  return rates.find(({ rate }) => rate >= best.rate * (1 - WORTH)) ?? best
}

const whole = (value: number): string => Math.round(value).toLocaleString('en-US')

function whyOf(chosen: { count: number, rate: number }, rates: readonly { count: number, rate: number }[], what: string): string {
  const others = rates.filter(({ count }) => count !== chosen.count).map(({ count, rate }) => `${count}: ${whole(rate)}`)
  const more = rates.some(({ count }) => count > chosen.count) ? `; more bring less than ${WORTH * 100} %` : ''
  return `${whole(chosen.rate)} ${what}${others.length > 0 ? ` (${others.join(', ')})` : ''}${more}`
}

/** The next power of two. */
const roundUp = (bytes: number): number => 2 ** Math.ceil(Math.log2(Math.max(1, bytes)))

/** The settings that what was measured speaks for. */
export function chooseSettings(measured: Measured, config: Config): Choice[] {
  const choices: Choice[] = []
  const writes = mediansOf(measured.writes, ({ verifyThreads }) => verifyThreads, ({ acceptedPerSecond }) => acceptedPerSecond)
  if (writes.length > 0) {
    const chosen = fewest(writes)
    choices.push({ setting: 'verifyThreads', value: chosen.count, why: whyOf(chosen, writes, 'assertions/s') })
    const perSync = chosen.rate * (measured.recordBytes + LOG_OVERHEAD_BYTES) * (measured.sync.p99Ms / 1000)
    const groupBytes = Math.min(config.walSegmentBytes, Math.max(64 * KiB, roundUp(perSync)))
    if (groupBytes > config.groupBytesMax) {
      choices.push({
        setting: 'groupBytesMax', value: groupBytes,
        why: `${(perSync / MiB).toFixed(1)} MiB arrive while one slow sync (p99 ${measured.sync.p99Ms.toFixed(1)} ms) lasts, and must share the next`,
      })
    }
  }
  const queries = mediansOf(measured.queries, ({ lensThreads }) => lensThreads, ({ queriesPerSecond }) => queriesPerSecond)
  if (queries.length > 0) {
    const chosen = fewest(queries)
    choices.push({ setting: 'lensThreads', value: chosen.count, why: whyOf(chosen, queries, 'queries/s') })
  }
  return choices
}

/** A stage that is busy for more of its time than this is what others wait for. */
const BUSY = 0.85

/** Which stage holds the writes back, in words. */
export function bottleneckOf({ verifyBusy, syncBusy, verifyThreads }: WriteTrial, cores: number): string {
  const percent = (part: number): string => `${Math.round(part * 100)} %`
  const shares = `verify threads busy ${percent(verifyBusy)}, commit in fdatasync ${percent(syncBusy)}`
  if (syncBusy >= BUSY) return `the disk's syncs: ${shares}`
  if (verifyBusy >= BUSY) return `checking${verifyThreads < cores ? '' : ', and every core has a thread'}: ${shares}`
  return `the cores that all threads and the load generator share: ${shares}`
}
