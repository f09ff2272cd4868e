import type { Clock } from '../../src/base/clock.ts'
import { hlcWallMs, type Hlc } from '../../src/base/hlc.ts'
import { QueryExecutor, type QueryDependencies } from '../../src/query/execute.ts'
import { LogAssertionReader } from '../../src/query/log-assertion-reader.ts'
import { recordReader } from '../../src/query/record-reader.ts'
import { StoreSource } from '../../src/query/store-source.ts'
import { ask, requestOf, type Ask, type Shown } from '../unit/query/ask.ts'
import { TestLog } from '../unit/query/test-log.ts'
import { START_MS, type Step } from './history.ts'
import type { Moment } from './model.values.ts'

export const HALF_LIFE_DAYS: readonly number[] = [Infinity, 730, 365, 180, 90, 30]
export const ESCALATION_COUNT = 2
const REPLY_BYTES_MAX = 1 << 22

export type Settings = Pick<Moment, 'halfLifeDays' | 'tolerance' | 'escalationCount'>

/** Wraps what the engine is made of, for a mutant of it. */
export type Mutation = (deps: QueryDependencies) => QueryDependencies

/** The engine under test: the node's executor over its indexes and log, in memory. The clock stands at the last assertion. */
export class Engine {
  readonly #log = new TestLog()
  readonly #executor: QueryExecutor
  #lastHlc: Hlc = 0n

  constructor(settings: Settings, mutate: Mutation = (deps) => deps) {
    const log = this.#log
    const clock: Clock = { wallMs: () => this.nowMs, monoMs: () => 0, timer: () => () => {} }
    const source = new StoreSource({ store: log.store, find: log.find, readLog: log.readRange, appliedLsn: () => log.nextLsn - 1, durableLsn: () => log.nextLsn - 1 })
    const reader = new LogAssertionReader(log.readRange)
    const deps: QueryDependencies = {
      source, reader, clock, limitMax: 1000, replyBytesMax: REPLY_BYTES_MAX, records: (asOfHlc) => recordReader({ source, reader, clock }, asOfHlc),
      lensSettings: settings, durableHlc: () => this.#lastHlc,
    }
    this.#executor = new QueryExecutor(mutate(deps))
  }

  get nowMs(): number {
    return this.#lastHlc === 0n ? START_MS : hlcWallMs(this.#lastHlc)
  }

  accept({ accepted, hlcFirst }: Step): void {
    this.#log.nextHlc = hlcFirst
    this.#log.append(accepted.map(({ assertion }) => assertion))
    this.#lastHlc = accepted.at(-1)!.hlc
  }

  ask(question: Ask): Shown {
    return ask(this.#executor, requestOf(question))
  }
}
