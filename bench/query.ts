import { DELIVERY_P99, WRITES_ALONE, WRITES_FED, WRITES_WAITING, subscribers } from './lib/feed-works.ts'
import { runBench, type Samples, type Work } from './lib/harness.ts'
import {
  AS_OF_LONG, AS_OF_SHORT, BESIDE_READS, BESIDE_WRITES, CONSENSUS, HOT, LENS_ONE, LENS_TWO, OPEN_P99, OPEN_SINGLES_P99, PG_CONSENSUS, PG_HOT, PG_RECENCY, RECENCY, SKEPTIC, SKEPTIC_FULL,
  asOf, besideWrites, consensus, endQueryWorks, hot, lensThreads, openLoop, recency,
} from './lib/query-works.ts'
import type { Figure } from './lib/report.ts'

// What questions cost, against PostgreSQL over the same claims in turns with our node: bench/README.md.

const PARTS: ReadonlyMap<string, Work> = new Map([
  ['recency', recency],
  ['consensus', consensus],
  ['hot', hot],
  ['open', openLoop],
  ['lens-threads', lensThreads],
  ['as-of', asOf],
  ['subscribers', subscribers],
  // The last one: what it writes is not what the others read.
  ['beside-writes', besideWrites],
])

function figuresOf(samples: Samples): Figure[] {
  const pair = (name: string, peerName: string, atLeast: number, aim: number): Figure[] => [
    { name, value: samples.median(name), unit: 'queries/s', better: 'higher', spread: samples.spread(name) },
    {
      name: `${name}, against PostgreSQL`, value: samples.medianRatio(name, peerName), unit: 'x', better: 'higher', atLeast, aim,
      peer: `${peerName}, queries/s`, peerValue: samples.median(peerName),
    },
  ]
  return [
    ...pair(RECENCY, PG_RECENCY, 2, 4),
    ...pair(CONSENSUS, PG_CONSENSUS, 3, 6),
    ...pair(SKEPTIC, PG_CONSENSUS, 3, 6),
    ...pair(SKEPTIC_FULL, PG_CONSENSUS, 3, 6),
    ...pair(HOT, PG_HOT, 5, 10),
    ...[OPEN_P99, OPEN_SINGLES_P99].map((name): Figure =>
      ({ name, value: samples.median(name), unit: 'ms', better: 'lower', atLeast: 5, aim: 2, spread: samples.spread(name) })),
    { name: DELIVERY_P99, value: samples.median(DELIVERY_P99), unit: 'ms', better: 'lower', atLeast: 100, spread: samples.spread(DELIVERY_P99) },
    {
      name: `${WRITES_FED}, against none`, value: samples.medianRatio(WRITES_FED, WRITES_ALONE), unit: 'x', better: 'higher', atLeast: 0.9,
      peer: `${WRITES_ALONE}, assertions/s`, peerValue: samples.median(WRITES_ALONE),
      note: 'the subscribers are on the same cores, and every delivery is a system call on either side: what that takes, a node that is asked for its most lacks',
    },
    {
      name: `${WRITES_WAITING}, against none`, value: samples.medianRatio(WRITES_WAITING, WRITES_ALONE), unit: 'x', better: 'higher', atLeast: 0.9,
      peer: `${WRITES_ALONE}, assertions/s`, peerValue: samples.median(WRITES_ALONE),
      note: 'what looking through everything costs, without deliveries',
    },
    { name: `${BESIDE_READS} at half of their maximum, of the rate alone`, value: samples.median(BESIDE_READS), unit: 'x', better: 'higher', atLeast: 0.6, aim: 0.8, spread: samples.spread(BESIDE_READS) },
    { name: `${BESIDE_WRITES}, of what was offered`, value: samples.median(BESIDE_WRITES), unit: 'x', better: 'higher', atLeast: 0.8, aim: 0.9, spread: samples.spread(BESIDE_WRITES) },
    {
      name: 'two lens threads against one', value: samples.medianRatio(LENS_TWO, LENS_ONE), unit: 'x', better: 'higher', atLeast: 1.6,
      peer: `${LENS_ONE}, queries/s`, peerValue: samples.median(LENS_ONE),
      note: 'where there are two cores only, the front and the client have the other one already: the pool has nothing to grow into',
    },
    { name: AS_OF_LONG, value: samples.median(AS_OF_LONG), unit: 'us', better: 'lower', spread: samples.spread(AS_OF_LONG) },
    {
      name: `${AS_OF_LONG}, against a pair with 10`, value: samples.medianRatio(AS_OF_LONG, AS_OF_SHORT), unit: 'x', better: 'lower',
      peer: `${AS_OF_SHORT}, us`, peerValue: samples.median(AS_OF_SHORT),
      note: 'the cost of a question about the past grows with the versions that it reads, not with all that there are',
    },
  ]
}

try {
  await runBench('Questions', PARTS, figuresOf)
} finally {
  await endQueryWorks()
}
