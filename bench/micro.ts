import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { runBench, type Samples, type Work } from './lib/harness.ts'
import type { Figure } from './lib/report.ts'
import { MICROS } from './micro/all.ts'

// The parts of the write path, each alone on one thread: what a change of one part is measured by.

const PARTS: ReadonlyMap<string, Work> = new Map(MICROS.map((micro): [string, Work] => [micro.name, async ({ options, repetition, samples, progress }) => {
  const dir = join(options.dir, `${micro.name.replaceAll(' ', '-')}-${repetition}`)
  mkdirSync(dir)
  const { operations, ms, hash } = await micro.run(options.quick ? 'small' : 'large', dir)
  progress(`${Math.round(operations / ms * 1000)}/s, hash ${hash.toString(16)}`)
  samples.add(micro.name, operations / ms * 1000)
}]))

const figuresOf = (samples: Samples): Figure[] => MICROS.map(({ name, unit }) => {
  const rate = samples.median(name)
  return { name, value: rate, unit: '1/s', better: 'higher', spread: samples.spread(name), note: `${unit}: ${(1e9 / rate).toFixed(0)} ns` }
})

await runBench('Parts', PARTS, figuresOf)
