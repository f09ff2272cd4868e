import { systemClock } from '../base/clock.ts'
import type { Config } from '../config/options.ts'
import { createLog, errorFields, resolveLogFormat } from '../observe/log.ts'
import { EXIT, actionOf, exitCodeOf } from '../base/exit-codes.ts'
import { startNode, type Node } from './node.ts'

/** After a second signal, or when a drain hangs: time from the first signal to an exit all the same, beyond the drain's own limit. */
const DRAIN_GRACE_MS = 4000

/**
 * Runs a node until a signal or a failure ends it, and returns the process's exit code. Prints one JSON line on standard
 * output once the node serves, which is what programs wait for; everything else goes to the log on standard error.
 */
export async function runNode(config: Config): Promise<number> {
  const log = createLog({ level: config.logLevel, format: resolveLogFormat(config.logFormat), clock: systemClock })
  const [signal, secondSignal] = nextSignals()
  let begun: Node | NodeJS.Signals
  try {
    begun = await Promise.race([startNode(config, log), signal])
  } catch (error) {
    log.fatal('the node did not start', { ...errorFields(error), action: actionOf(error) })
    return exitCodeOf(error)
  }
  if (typeof begun === 'string') {
    // Nothing was taken yet, and whatever a start does holds if it ends at any point of it.
    log.info('asked to end before it served', { signal: begun })
    return EXIT.ok
  }
  const node = begun
  process.stdout.write(`${JSON.stringify(node.readyLine)}\n`)

  const ended = await Promise.race([node.failed, signal])
  if (typeof ended === 'object') {
    log.fatal('the node ends', { ...errorFields(ended.error), action: actionOf(ended.error) })
    await node.abort()
    return exitCodeOf(ended.error)
  }
  log.info('draining', { signal: ended, drainTimeoutMs: config.drainTimeoutMs })
  const timeUp = new Promise<'late'>((resolve) => systemClock.timer(config.drainTimeoutMs + DRAIN_GRACE_MS, () => resolve('late')))
  const outcome = await Promise.race([node.stop().then(() => 'stopped' as const), node.failed, timeUp, secondSignal])
  if (outcome === 'stopped') {
    log.info('stopped')
    return EXIT.ok
  }
  log.error('the drain did not finish; acknowledged assertions are safe', typeof outcome === 'object' ? errorFields(outcome.error) : { outcome })
  return typeof outcome === 'object' ? exitCodeOf(outcome.error) : EXIT.internal
}

/** The first and the second of the signals that end a node. From the call on, none of them ends the process by itself. */
function nextSignals(): readonly [first: Promise<NodeJS.Signals>, second: Promise<NodeJS.Signals>] {
  const waiting: ((signal: NodeJS.Signals) => void)[] = []
  const next = (): Promise<NodeJS.Signals> => new Promise((resolve) => waiting.push(resolve))
  const both = [next(), next()] as const
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => waiting.shift()?.(signal))
  return both
}
