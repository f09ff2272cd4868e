import { seededRandom } from '../../src/base/random.ts'
import { QUERY_LIST } from '../../src/query/plan.ts'
import type { Shown } from '../unit/query/ask.ts'
import { differenceBetween, shown } from './compare.ts'
import { ESCALATION_COUNT, Engine, HALF_LIFE_DAYS, type Mutation, type Settings } from './engine.ts'
import { historyOf, type Accepted, type Step } from './history.ts'
import { answersOf, listOf, worldOf, type Question } from './model.query.ts'
import type { Moment } from './model.values.ts'
import { Questions } from './questions.ts'
import { hlcWallMs } from '../../src/base/hlc.ts'

/** Batches in a history, and how much is asked after each. */
const STEPS_MAX = 16
const ASKED_EACH_STEP = 3
/** Asked again about the past, when all has happened. */
const ASKED_AT_THE_END = 12

export interface TrialResult {
  readonly questions: number
  /** The first that was answered wrongly, with what is needed to ask it again. */
  readonly fault: string | undefined
}

class Fault extends Error {
  override name = 'Fault'
}

/** One history told to the engine and to the model, and questions to both. */
class Trial {
  readonly #settings: Settings
  readonly #engine: Engine
  readonly #questions: Questions
  readonly #world: Accepted[] = []
  /** What was asked when it was the present. */
  readonly #asked: { question: Question, asOfHlc: bigint, answer: Shown }[] = []
  count = 0

  constructor(seed: number, mutate: Mutation | undefined) {
    this.#settings = { halfLifeDays: HALF_LIFE_DAYS, tolerance: seed % 3 === 0 ? 0.01 : 0, escalationCount: ESCALATION_COUNT }
    this.#engine = new Engine(this.#settings, mutate)
    this.#questions = new Questions(seededRandom(seed).fork('questions'))
  }

  /** @throws {Fault} */
  run(steps: readonly Step[]): void {
    for (const [i, step] of steps.entries()) {
      this.#accept(step)
      for (let n = 0; n < ASKED_EACH_STEP; n++) this.#askNow()
      if (i === Math.floor(steps.length / 2)) return this.#walkWhile(steps.slice(i + 1))
    }
  }

  #accept(step: Step): void {
    this.#engine.accept(step)
    this.#world.push(...step.accepted)
  }

  #momentOf(question: Question, nowMs = this.#engine.nowMs): Moment {
    const { asOfHlc } = question
    return { ...this.#settings, world: worldOf(question, this.#world), nowMs: asOfHlc === undefined ? nowMs : hlcWallMs(asOfHlc) }
  }

  #askNow(): void {
    const question = this.#questions.next(this.#world)
    this.#asked.push({ question, asOfHlc: this.#world.at(-1)!.hlc, answer: this.#check(question) })
  }

  #check(question: Question): Shown {
    this.count++
    const answer = this.#engine.ask({ ...question, limit: 1000 })
    const difference = differenceBetween(answer, answersOf(question, this.#momentOf(question)))
    if (difference !== undefined) throw new Fault(`${shown(question)} after ${this.#world.length} assertions: ${difference}`)
    return answer
  }

  /** Walks through pages while the rest is written, and then looks back. */
  #walkWhile(steps: readonly Step[]): void {
    const rest = [...steps]
    const write = (): void => {
      const step = rest.shift()
      if (step !== undefined) this.#accept(step)
    }
    this.#walk(write)
    this.#walkList(write)
    while (rest.length > 0) write()
    this.#lookBack()
  }

  #walk(write: () => void): void {
    const question = { ...this.#questions.next(this.#world), aliases: false }
    const expected = answersOf(question, this.#momentOf(question))
    const limit = 1 + this.#questions.below(3)
    const answers: Shown['answers'] = []
    let cursor: Uint8Array | undefined
    do {
      this.count++
      const page = this.#engine.ask({ ...question, limit, ...cursor !== undefined && { cursor } })
      if (page.refused !== '') throw new Fault(`${shown(question)}: page refused: ${page.detail}`)
      if (page.answers.length > limit) throw new Fault(`${shown(question)}: ${page.answers.length} answers with a limit of ${limit}`)
      if (page.truncated !== (page.cursor !== undefined)) throw new Fault(`${shown(question)}: truncated without a cursor`)
      answers.push(...page.answers)
      cursor = page.cursor
      // A question about one pair alone is not fixed in time: it has one page.
      write()
    } while (cursor !== undefined)
    const difference = differenceBetween({ refused: '', detail: '', answers }, expected)
    if (difference !== undefined) throw new Fault(`${shown(question)} in pages of ${limit}, while more was written: ${difference}`)
  }

  #walkList(write: () => void): void {
    const question = { ...this.#questions.list(this.#world), aliases: false }
    const expected = listOf(question, this.#momentOf(question))
    const limit = 1 + this.#questions.below(5)
    const found: string[] = []
    let cursor: Uint8Array | undefined
    do {
      this.count++
      const page = this.#engine.ask({ ...question, kind: QUERY_LIST, limit, ...cursor !== undefined && { cursor } })
      if (page.refused !== '') throw new Fault(`list ${shown(question)}: page refused: ${page.detail}`)
      found.push(...page.listed)
      cursor = page.cursor
      write()
    } while (cursor !== undefined)
    if (found.join() !== expected.join()) throw new Fault(`list ${shown(question)} in pages of ${limit}: ${found.length} ids, expected ${expected.length}`)
  }

  /** What was the present is the past now: every answer of then again, and other questions about any moment. */
  #lookBack(): void {
    for (const { question, asOfHlc, answer } of this.#asked) {
      const again = this.#check({ ...question, asOfHlc })
      const [now, then] = [again, answer].map(({ answers }) => JSON.stringify(answers))
      if (now !== then) throw new Fault(`${shown(question)} as of ${asOfHlc} is answered otherwise than it was then`)
    }
    for (let n = 0; n < ASKED_AT_THE_END; n++) this.#check({ ...this.#questions.next(this.#world), asOfHlc: this.#questions.moment(this.#world) })
  }
}

/** One seed, one history, one verdict. */
export function trialOf(seed: number, mutate?: Mutation): TrialResult {
  const random = seededRandom(seed).fork('length')
  const { steps } = historyOf(seed, 4 + random.u32() % (STEPS_MAX - 3))
  const trial = new Trial(seed, mutate)
  try {
    trial.run(steps)
    return { questions: trial.count, fault: undefined }
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    return { questions: trial.count, fault: `seed ${seed}: ${error.message}` }
  }
}
