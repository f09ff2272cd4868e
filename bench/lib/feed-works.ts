import type { FeedReport } from './feed-child.types.ts'
import { startFeed, type FeedProcess } from './feed-process.ts'
import type { Work, WorkContext } from './harness.ts'
import { checkClean, runLoadProcess } from './load-process.ts'
import { startNode, untilApplied } from './node-process.ts'
import { BATCHES } from './works.ts'

/** The work of the subscribers' row of bench/README.md. */

const SUBSCRIBERS = 1000
const RATE = 10_000
const WARMUP_MS = 3000
/** Of the open loop, at most: its tail needs many deliveries, not long. */
const OPEN_SECONDS_MAX = 20

export const DELIVERY_P99 = '1,000 subscribers at 10,000 assertions/s: p99 of delivery'
export const WRITES_FED = 'writes at most, 1,000 subscribers with 18,800 deliveries/s'
export const WRITES_WAITING = 'writes at most, 1,000 subscribers to something else'
export const WRITES_ALONE = 'writes at most, no subscribers'

interface Audience {
  readonly subscribers: number
  readonly isMatched: boolean
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

const audienceOf = ({ options }: WorkContext, isMatched: boolean): Audience => ({ subscribers: options.quick ? SUBSCRIBERS / 20 : SUBSCRIBERS, isMatched })

/** A fresh node with its stream of claims and its subscribers, for as long as `during` takes. */
async function withFeed<T>(context: WorkContext, audience: Audience, during: (feed: FeedProcess, url: string) => Promise<T>): Promise<T> {
  const { options } = context
  const node = await startNode(options.dir, { signatures: 'optional' })
  let feed: FeedProcess | undefined
  try {
    const { url } = node.server
    feed = await startFeed({ url, ...audience, rate: options.quick ? RATE / 10 : RATE, warmupMs: options.quick ? 200 : WARMUP_MS })
    return await during(feed, url)
  } finally {
    feed?.kill()
    await node.remove()
  }
}

const describe = ({ assertions, perSecond, deliveries, p50Ms, p99Ms, maxMs, cpuSeconds }: FeedReport): string =>
  `${assertions} assertions at ${Math.round(perSecond)}/s, ${deliveries} deliveries, each once and in order; p50 ${p50Ms.toFixed(1)}, p99 ${p99Ms.toFixed(1)}, `
  + `at most ${maxMs.toFixed(0)} ms; client ${cpuSeconds.toFixed(1)} CPU s`

async function delivery(context: WorkContext): Promise<void> {
  const { options, samples, progress } = context
  await withFeed(context, audienceOf(context, true), async (feed) => {
    const ms = (options.quick ? 200 : WARMUP_MS) + Math.min(OPEN_SECONDS_MAX, options.seconds) * 1000
    await Promise.race([sleep(ms), feed.failed])
    const report = await feed.stop()
    progress(describe(report))
    samples.add(DELIVERY_P99, report.p99Ms)
  })
}

/** What a closed loop of others writes at most, until it is indexed, beside the stream that is subscribed to. */
async function writesBeside(context: WorkContext, audience: Audience, name: string): Promise<void> {
  const { options, samples, progress } = context
  await withFeed(context, audience, async (feed, url) => {
    await Promise.race([sleep(options.quick ? 200 : WARMUP_MS), feed.failed])
    const load = await Promise.race([runLoadProcess({ url, ...BATCHES, sign: 'none', durationMs: options.seconds * 1000 }), feed.failed])
    const lagMs = await untilApplied({ url })
    const report = await feed.stop()
    checkClean(load)
    const rate = load.accepted / (load.seconds + lagMs / 1000)
    progress(`${name}: ${Math.round(rate)}/s; beside it ${describe(report)}`)
    samples.add(name, rate)
  })
}

/** All in turns, each over a fresh node, and who is first changes. */
export const subscribers: Work = async (context) => {
  await delivery(context)
  const turns = [[audienceOf(context, true), WRITES_FED], [audienceOf(context, false), WRITES_WAITING], [{ subscribers: 0, isMatched: true }, WRITES_ALONE]] as const
  for (const [audience, name] of context.repetition % 2 === 0 ? turns : turns.toReversed()) await writesBeside(context, audience, name)
}
