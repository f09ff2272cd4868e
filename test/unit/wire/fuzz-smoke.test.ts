import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { DbError } from '../../../src/base/errors.ts'
import { fuzz, runInput, type FuzzTarget } from '../../fuzz/fuzzer.ts'
import { TARGETS } from '../../fuzz/targets.ts'
import { repoRoot } from '../../support/root.ts'

const SECONDS_MAX = 1
const INPUTS_MAX = 4000
const now = (): number => performance.now()

for (const target of TARGETS) {
  t.test(`${target.name} holds`, async (t) => {
    const { inputs, taken, findings } = fuzz(target, { seconds: SECONDS_MAX, inputsMax: INPUTS_MAX, seed: 1, now })
    t.ok(inputs > target.seeds().length, 'something was tried')
    t.ok(taken > 0, 'some inputs are taken')
    t.strictSame(findings.map(({ why, input }) => ({ why, input: Buffer.from(input).toString('base64') })), [])
    for (const seed of target.seeds()) t.notOk(typeof runInput(target, seed) === 'string')
  })
}

t.test('what was found once stays found', async (t) => {
  const corpus = join(repoRoot, 'test', 'fuzz', 'corpus')
  for (const file of existsSync(corpus) ? readdirSync(corpus) : []) {
    const target = TARGETS.find(({ name }) => file.startsWith(`${name}-`) && /^[0-9a-f]{12}\.bin$/.test(file.slice(name.length + 1)))
    t.ok(target !== undefined, `${file} belongs to a target`)
    if (target !== undefined) t.not(typeof runInput(target, readFileSync(join(corpus, file))), 'string', file)
  }
})

t.test('the fuzzer finds what is there to be found', async (t) => {
  const planted = (name: string, run: FuzzTarget['run']): FuzzTarget => ({ name, seeds: () => [new Uint8Array(24)], run })
  const find = (target: FuzzTarget): readonly { why: string }[] => fuzz(target, { seconds: 10, inputsMax: 20_000, seed: 1, now }).findings
  t.match(find(planted('throws', (input) => new DataView(input.buffer, input.byteOffset, input.length).getUint32(input[8]!, true) === 0))[0], { why: /RangeError/ })
  t.match(find(planted('writes', (input) => {
    input[0] = 1
    return true
  }))[0], { why: /wrote/ })
  t.match(find(planted('beside', (input) => {
    if (input.length > 4) new Uint8Array(input.buffer)[input.byteOffset + input.length] = 0
    return true
  }))[0], { why: /wrote/ })
  t.strictSame(find(planted('refuses', () => {
    throw new DbError('malformed_frame', 'no')
  })), [])
})
