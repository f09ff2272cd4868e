import { systemClock } from '../../base/clock.ts'
import { DbError } from '../../base/errors.ts'
import { GetConnection } from '../load/get-connection.ts'
import { LatencyRecorder } from '../load/latency.ts'

export interface QueryLoadOptions {
  readonly url: string
  readonly seconds: number
  readonly connections: number
  /** The nth path to ask for. */
  readonly pathOf: (n: number) => string
}

/** A closed loop of GET requests. @throws {DbError} `unreachable` as rejection where an answer is no 200. */
export async function runQueryLoad({ url, seconds, connections, pathOf }: QueryLoadOptions): Promise<{ perSecond: number, p99Ms: number }> {
  const latency = new LatencyRecorder()
  const base = new URL(url)
  const startMs = systemClock.monoMs()
  let asked = 0
  await Promise.all(Array.from({ length: connections }, async () => {
    const connection = new GetConnection(base)
    try {
      while (systemClock.monoMs() - startMs < seconds * 1000) {
        const sentMs = systemClock.monoMs()
        const { status } = await connection.get(pathOf(asked++))
        if (status !== 200) throw new DbError('unreachable', `a query was answered with ${status}`)
        latency.record(systemClock.monoMs() - sentMs)
      }
    } finally {
      connection.close()
    }
  }))
  const { count, p99Ms } = latency.summary()
  return { perSecond: count / ((systemClock.monoMs() - startMs) / 1000), p99Ms }
}
