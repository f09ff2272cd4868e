import { runBench, type Samples, type Work } from './lib/harness.ts'
import type { Figure } from './lib/report.ts'
import {
  ACK_BATCHES, ACK_SINGLES, FSYNC_P99, RATE_BATCHES, RATE_SIGNED, RATE_SINGLES, RATE_VERIFY, RESTART_APPLIED, RESTART_READY,
  ackBatches, ackSingles, restart, signedSingles, sustainedBatches, sustainedSingles,
} from './lib/works.ts'

// What one node takes, how fast it answers, how it comes back: bench/README.md.

const PARTS: ReadonlyMap<string, Work> = new Map([
  ['batches', sustainedBatches],
  ['singles', sustainedSingles],
  ['signed', signedSingles],
  ['ack-batches', ackBatches],
  ['ack-singles', ackSingles],
  ['restart', restart],
])

const FSYNC = '4 KiB write+fdatasync, p99 ms'

function figuresOf(samples: Samples): Figure[] {
  const rate = (name: string, aim?: number): Figure => ({
    name, value: samples.median(name), unit: 'assertions/s', better: 'higher', ...aim !== undefined && { aim }, spread: samples.spread(name),
    note: `last assertion indexed ${samples.median(`${name} lag ms`).toFixed(0)} ms after the last ack, which the rate counts`,
  })
  const ack = (name: string): Figure[] => [
    { name, value: samples.median(name), unit: 'ms', better: 'lower', spread: samples.spread(name) },
    {
      name: `${name}, against the disk`, value: samples.medianRatio(name, `${name}: ${FSYNC_P99}`), unit: 'x', better: 'lower', atLeast: 5, aim: 3,
      peer: FSYNC, peerValue: samples.median(`${name}: ${FSYNC_P99}`),
    },
  ]
  return [
    rate(RATE_BATCHES, 200_000),
    rate(RATE_SINGLES),
    rate(RATE_SIGNED),
    {
      name: `${RATE_SIGNED}, against the verify threads alone`, value: samples.medianRatio(RATE_SIGNED, RATE_VERIFY), unit: 'x', better: 'higher',
      atLeast: 0.8, aim: 0.95, peer: 'verify threads alone, assertions/s', peerValue: samples.median(RATE_VERIFY),
    },
    ...ack(ACK_BATCHES),
    ...ack(ACK_SINGLES),
    { name: `${RESTART_READY}, 1M assertions replayed`, value: samples.median(RESTART_READY), unit: 's', better: 'lower', atLeast: 10, aim: 3, spread: samples.spread(RESTART_READY) },
    { name: `${RESTART_APPLIED}, 1M assertions replayed`, value: samples.median(RESTART_APPLIED), unit: 's', better: 'lower', spread: samples.spread(RESTART_APPLIED) },
    {
      name: 'peak resident memory under batches', value: samples.median(`${RATE_BATCHES} peak MiB`), unit: 'MiB', better: 'lower', atLeast: 1024, aim: 512,
      spread: samples.spread(`${RATE_BATCHES} peak MiB`),
    },
  ]
}

await runBench('One node', PARTS, figuresOf)
