import { isDbError } from '../../src/base/errors.ts'
import { examineWal } from '../../src/wal/recovery.ts'
import { NEXT_NAME } from '../../src/wal/wal-files.ts'
import { claimSource } from '../support/history.claims.ts'
import { Clients } from './clients.ts'
import { drawTroubles } from './life-disk.ts'
import { Life } from './life.ts'
import { Violation } from './oracle.ts'
import { poisoned } from './poison.ts'
import { START_WALL_MS } from './sim-clock.ts'
import { Trace } from './trace.ts'
import { World, newCounts, type Counts } from './world.ts'

/** When all trouble is over, everybody has an answer within so many virtual milliseconds. */
const REST_MS_MAX = 60_000
/** Power cuts of a copy of the disk, at the end of each life. */
const OTHER_CUTS = 8
const DAY_MS = 86_400_000

export interface Outcome {
  readonly seed: number
  readonly hash: string
  readonly events: number
  /** What was broken; undefined where nothing was. */
  readonly broken: string | undefined
  readonly virtualMs: number
}

const errorText = (error: unknown): string => {
  const text = error instanceof Error ? error.stack ?? String(error) : String(error)
  return isDbError(error) ? `${text}\n${JSON.stringify(error.details)}` : text
}

/**
 * One node over several lives, its clients and its machine, all by one seed; at the end a quiet life in which everything
 * is answered and read back. Nothing in it knows of the real time, chance or disk: a call of these is a failure.
 */
export async function simulate(seed: number, counts: Counts = newCounts(), listener?: (event: string) => void): Promise<Outcome> {
  const source = await claimSource(seed, START_WALL_MS - DAY_MS, 8)
  const trace = new Trace(listener)
  const { result, leaks } = await poisoned(async () => {
    const world = new World(seed, counts, trace)
    try {
      await live(world, new Clients(world, source))
      return { broken: undefined, virtualMs: world.clock.monoMs() }
    } catch (error) {
      return { broken: error, virtualMs: world.clock.monoMs() }
    }
  })
  const broken = leaks.length > 0 ? `leaked: ${leaks.join(', ')}` : result.broken === undefined ? undefined : errorText(result.broken)
  return { seed, hash: trace.hash, events: trace.eventCount, broken, virtualMs: result.virtualMs }
}

async function live(world: World, clients: Clients): Promise<void> {
  for (let life = 0; life < world.swarm.lives; life++) {
    const process = new Life(world, clients, drawTroubles(world))
    if (world.hasLostPages && world.rarely(2)) fillUp(world)
    if (await process.start()) {
      world.hasLostPages = false
      end(world, process)
    }
    process.kill()
    world.trace.note('dead')
    tryCuts(world)
    cutPower(world)
  }
  await rest(world, clients)
}

/** Not a byte is free, and the segment in reserve is gone: the store has taken its place, which opens first. */
function fillUp({ disk, walDir }: World): void {
  if (disk.exists(`${walDir}/${NEXT_NAME}`)) disk.unlink(`${walDir}/${NEXT_NAME}`)
  disk.capacityBytes = Number.MAX_SAFE_INTEGER
  disk.capacityBytes -= disk.freeBytes('/')
}

/** It runs for a while, and then it is stopped or killed, if it has not died by itself. */
function end(world: World, process: Life): void {
  const turns = world.below(world.swarm.turnsMax)
  if (!process.run(turns)) return
  if (world.rarely(4)) pause(world, process)
  if (world.rarely(4)) process.stop()
  else world.count('kills')
}

/** All trouble ends for a while, and the same process comes to rest. */
function pause(world: World, process: Life): void {
  const { capacityBytes } = world.disk
  world.isCalm = true
  world.disk.capacityBytes = Infinity
  process.settle(REST_MS_MAX)
  world.disk.capacityBytes = capacityBytes
  world.isCalm = false
  world.count('rests')
}

/** Other ends that this moment could have had: after each, all that was on the disk for certain is found. */
function tryCuts(world: World): void {
  for (let cut = 0; cut < OTHER_CUTS; cut++) {
    const { manifest, tail } = examineWal(world.disk.crash(world.random), world.walDir, { nodeId: world.walNodeId })
    const lastLsn = tail?.sealed.lsnLast ?? manifest?.sealed.at(-1)?.lsnLast ?? 0
    if (lastLsn < world.oracle.durableCount) throw new Violation(`a power cut leaves LSN ${lastLsn} of ${world.oracle.durableCount}`)
  }
}

function cutPower(world: World): void {
  if (!world.swarm.powerCuts || world.rarely(3)) return
  world.count('powerCuts')
  world.disk = world.disk.crash(world.random)
  world.hasLostPages = false
  world.count('storeWritesLost', world.store.powerCut(world.random))
  world.trace.note('power cut')
}

/** No more trouble: what was open is answered, and everything that is on the disk can be read, and nothing else. */
async function rest(world: World, clients: Clients): Promise<void> {
  world.isCalm = true
  world.disk.capacityBytes = Infinity
  const process = new Life(world, clients, [])
  if (!await process.start()) throw new Violation('the last start failed without a fault')
  process.settle(REST_MS_MAX)
  for (const id of world.oracle.durableIds()) {
    while (!clients.askId(id)) process.settle(REST_MS_MAX)
  }
  process.settle(REST_MS_MAX)
  checkAnswered(world, clients)
  checkSubjects(clients, process)
}

/** Whatever was ever sent has been sent again until it was acked. */
function checkAnswered(world: World, clients: Clients): void {
  for (const { id } of clients.claims) {
    if (world.oracle.stampOf(id) === undefined) throw new Violation(`${id} was never stored`)
  }
}

/** The index by subject and predicate has each assertion once. */
function checkSubjects(clients: Clients, process: Life): void {
  const wanted = new Map<string, number>()
  for (const { assertion: { subject, predicate } } of clients.claims) {
    wanted.set(`${subject} ${predicate}`, (wanted.get(`${subject} ${predicate}`) ?? 0) + 1)
  }
  clients.subjectAnswers.length = 0
  for (const subject of new Set(clients.claims.map((claim) => claim.assertion.subject))) {
    while (!clients.ask(subject)) process.settle(REST_MS_MAX)
  }
  process.settle(REST_MS_MAX)
  for (const { subject, predicate, candidates } of clients.subjectAnswers) {
    const count = wanted.get(`${subject} ${predicate}`)
    if (count !== candidates) throw new Violation(`${candidates} assertions of ${subject} ${predicate}, there are ${count ?? 0}`)
    wanted.delete(`${subject} ${predicate}`)
  }
  if (wanted.size > 0) throw new Violation(`no answer for ${[...wanted.keys()].join(', ')}`)
}
