import t from 'tap'
import { DbError } from '../../src/base/errors.ts'
import { MiB } from '../../src/base/units.ts'
import { recordFault } from '../support/fault-record.ts'
import { readCorpus } from './corpus.ts'
import { Coverage } from './coverage.ts'
import { fuzz, runInput, type Finding, type FuzzOptions, type FuzzTarget } from './fuzzer.ts'
import type { Mutation } from './mutations.ts'
import { TARGETS } from './targets.ts'

const SECONDS_MAX = 1
const INPUTS_MAX = 4000
const now = (): number => performance.now()
let inputsTotal = 0
let findingsTotal = 0

for (const target of TARGETS) {
  t.test(`${target.name} holds`, async (t) => {
    const { inputs, taken, findings } = await fuzz(target, { seconds: SECONDS_MAX, inputsMax: INPUTS_MAX, seed: 1, now })
    inputsTotal += inputs
    findingsTotal += findings.length
    t.ok(inputs > target.seeds().length, 'something was tried')
    t.ok(taken > 0, 'some inputs are taken')
    t.strictSame(findings.map(({ why, input }) => ({ why, input: Buffer.from(input).toString('base64') })), [])
    for (const seed of target.seeds()) t.notOk(typeof await runInput(target, seed) === 'string')
  })
}

t.test('what was found once stays found', async (t) => {
  for (const { target: name, name: file, input } of readCorpus()) {
    const target = TARGETS.find((one) => one.name === name)
    if (target === undefined) t.fail(`${name}/${file} belongs to no target`)
    else t.strictSame((await fuzz({ ...target, seeds: () => [input] }, { seconds: 60, inputsMax: 1, seed: 1, now })).findings.map(({ why }) => why), [], `${name}/${file}`)
  }
})

const planted = (name: string, run: FuzzTarget['run']): FuzzTarget => ({ name, seeds: () => [new Uint8Array(24)], run })
const find = async (target: FuzzTarget, more: Partial<FuzzOptions> = {}): Promise<readonly Finding[]> =>
  (await fuzz(target, { seconds: 20, inputsMax: 20_000, seed: 1, now, ...more })).findings

t.test('the fuzzer finds what is there to be found', async (t) => {
  t.match((await find(planted('throws', (input) => new DataView(input.buffer, input.byteOffset, input.length).getUint32(input[8]!, true) === 0)))[0], { why: /RangeError/ })
  t.match((await find(planted('rejects', async (input) => {
    if (input[3] === 1) throw new TypeError('later')
    return true
  })))[0], { why: /TypeError/ })
  t.match((await find(planted('writes', (input) => {
    input[0] = 1
    return true
  })))[0], { why: /wrote/ })
  t.match((await find(planted('beside', (input) => {
    if (input.length > 4) new Uint8Array(input.buffer)[input.byteOffset + input.length] = 0
    return true
  })))[0], { why: /wrote/ })
  let held = new Uint8Array(0)
  const hoards = await find(planted('hoards', (input) => {
    if (input[5] === 7) held = new Uint8Array(40 * MiB)
    return held.length > 0
  }), { inputsMax: 5000 })
  t.ok(hoards.some(({ why }) => /MiB/.test(why)))
  t.strictSame(await find(planted('refuses', () => {
    throw new DbError('malformed_frame', 'no')
  })), [])
})

t.test('coverage leads to what chance does not find', async (t) => {
  const url = new URL('deep.js', import.meta.url).href
  const coverage = new Coverage((script) => script === url)
  t.teardown(() => coverage.stop())
  // Loaded now, so that its code has counters.
  const { deep } = await import(url) as typeof import('./deep.ts')
  const oneByte: Mutation = (bytes, random) => {
    bytes[random.u32() % bytes.length] = random.u32()
    return bytes
  }
  const target = { ...planted('deep', deep), seeds: () => [new Uint8Array(3)], mutations: [oneByte] }
  t.strictSame(await find(target, { inputsMax: 20_000 }), [], 'blind')
  t.match((await find(target, { inputsMax: 20_000, seconds: 60, seed: 3, coverage }))[0], { why: /the bottom/ }, 'guided')
  recordFault({
    id: 'S7', title: `mutated input for ${TARGETS.length} decoders`, trials: inputsTotal, unit: 'inputs', failures: findingsTotal, seed: 1,
    tooth: 'planted defects are found: throws, rejects, writes, takes memory; one behind three bytes by coverage, and not without it',
  })
})
