import { Session } from 'node:inspector'

/**
 * What code has run, by V8's own block counters: what makes the fuzzer keep an input that got further than any before
 * it. A look costs about a millisecond, so one is taken for many inputs, and for single ones only where it saw something new.
 *
 * Counters are compiled in: start before the modules that are to be counted are loaded.
 */
interface FunctionCoverage {
  readonly functionName: string
  readonly ranges: readonly { readonly startOffset: number, readonly endOffset: number, readonly count: number }[]
}
interface CoverageResult {
  readonly result: readonly { readonly url: string, readonly functions: readonly FunctionCoverage[] }[]
}

type Interval = readonly [start: number, end: number]

/** What one look saw: by function, the stretches of it that did not run. */
export type Sample = ReadonlyMap<string, readonly Interval[]>

/** The parts of a function that did not run: ranges nest, and an inner one's count is its own. */
function unseenOf({ ranges }: FunctionCoverage): Interval[] {
  const unseen: Interval[] = []
  const stack: { end: number, count: number }[] = []
  let at = ranges[0]!.startOffset
  const upTo = (end: number): void => {
    const last = unseen.at(-1)
    if (stack.at(-1)?.count === 0 && end > at) {
      if (last !== undefined && last[1] === at) unseen[unseen.length - 1] = [last[0], end]
      else unseen.push([at, end])
    }
    at = Math.max(at, end)
  }
  for (const { startOffset, endOffset, count } of ranges) {
    while (stack.length > 0 && stack.at(-1)!.end <= startOffset) upTo(stack.pop()!.end)
    upTo(startOffset)
    stack.push({ end: endOffset, count })
  }
  while (stack.length > 0) {
    upTo(stack.at(-1)!.end)
    stack.pop()
  }
  return unseen
}

/** What is in both lists; each is ascending. */
function intersect(a: readonly Interval[], b: readonly Interval[]): Interval[] {
  const both: Interval[] = []
  for (let i = 0, k = 0; i < a.length && k < b.length;) {
    const [start, end] = [Math.max(a[i]![0], b[k]![0]), Math.min(a[i]![1], b[k]![1])]
    if (start < end) both.push([start, end])
    if (a[i]![1] < b[k]![1]) i++
    else k++
  }
  return both
}

const lengthOf = (intervals: readonly Interval[]): number => intervals.reduce((sum, [start, end]) => sum + end - start, 0)

export class Coverage {
  readonly #session = new Session()
  readonly #counts: (url: string) => boolean
  /** By function: what has never run. */
  readonly #unseen = new Map<string, readonly Interval[]>()

  /** @param counts which scripts count, by their URL. */
  constructor(counts: (url: string) => boolean) {
    this.#counts = counts
    this.#session.connect()
    this.#post('Profiler.enable')
    this.#post('Profiler.startPreciseCoverage', { callCount: true, detailed: true })
  }

  /** What ran since the last look. */
  take(): Sample {
    const { result } = this.#post('Profiler.takePreciseCoverage') as CoverageResult
    const sample = new Map<string, readonly Interval[]>()
    for (const { url, functions } of result) {
      if (!this.#counts(url)) continue
      for (const one of functions) {
        const whole = one.ranges[0]!
        if (whole.count > 0) sample.set(`${url}:${whole.startOffset}:${one.functionName}`, unseenOf(one))
      }
    }
    return sample
  }

  /** Whether a sample has something that never ran before. */
  isNews(sample: Sample): boolean {
    for (const [key, unseen] of sample) {
      const before = this.#unseen.get(key)
      if (before === undefined || (before.length > 0 && lengthOf(intersect(before, unseen)) < lengthOf(before))) return true
    }
    return false
  }

  /** From now on it is no news. */
  learn(sample: Sample): void {
    for (const [key, unseen] of sample) {
      const before = this.#unseen.get(key)
      this.#unseen.set(key, before === undefined ? unseen : intersect(before, unseen))
    }
  }

  /** Functions that ran, and characters of them that never did. */
  totals(): { functions: number, unseenCharacters: number } {
    let unseenCharacters = 0
    for (const unseen of this.#unseen.values()) unseenCharacters += lengthOf(unseen)
    return { functions: this.#unseen.size, unseenCharacters }
  }

  /** Everything is news again; what ran until now does not count. */
  forget(): void {
    this.#unseen.clear()
    this.take()
  }

  stop(): void {
    this.#post('Profiler.stopPreciseCoverage')
    this.#session.disconnect()
  }

  /** A session of this very thread answers before `post` returns. */
  #post(method: string, parameters?: object): unknown {
    let answer: unknown
    this.#session.post(method, parameters, (error, result) => {
      if (error !== null) throw new Error(`${method}: ${error.message}`)
      answer = result
    })
    return answer
  }
}
