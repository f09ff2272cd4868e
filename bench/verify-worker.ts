import { randomBytes } from 'node:crypto'
import { parentPort, workerData } from 'node:worker_threads'
import { must } from '../src/base/assert.ts'
import { systemClock } from '../src/base/clock.ts'
import { PreparedSource } from '../src/cli/load/source.ts'
import { FrameMaker } from '../src/cli/load/template.ts'
import { nodeSigner } from '../src/cli/node-signer.ts'
import { configWith } from '../src/config/load.ts'
import { realmHashOf } from '../src/merkle/signed-message.ts'
import { initHash } from '../src/record/claim.ts'
import { BatchVerifier } from '../src/verify/verify-batch.ts'
import type { VerifyAlone } from './lib/verify-alone.ts'

const port = must(parentPort, 'parent port')
const { seconds, frames } = workerData as VerifyAlone

await initHash()
const config = configWith({})
const realmHash = realmHashOf(config.realm)
const signer = nodeSigner(new Uint8Array(randomBytes(32)))
const maker = new FrameMaker({
  runId: randomBytes(8).toString('hex'), batch: 1, sign: 'single', recordBytes: 300, agent: signer.publicKey, assertedAtMs: systemClock.wallMs(),
})
const source = new PreparedSource(maker)
for (let i = 0; i < frames; i++) source.prepareOne(signer, realmHash)
const payloads: Uint8Array[] = []
for (let run = source.take(frames); run !== undefined; run = source.take(frames)) {
  for (let i = 0; i < run.count; i++) {
    const end = (i + 1) * maker.frameBytes
    payloads.push(run.bytes.slice(end - maker.payloadBytes, end))
  }
}
const verifier = new BatchVerifier({
  signaturesRequired: true, realmHash, batchAssertionsMax: config.batchAssertionsMax, vectorLengthMax: config.vectorLengthMax,
  hlcDriftMaxMs: config.hlcDriftMaxMs,
})
const nowMs = systemClock.wallMs()
const start = systemClock.monoMs()
let done = 0
while (systemClock.monoMs() - start < seconds * 1000) {
  for (let i = 0; i < 64; i++) {
    const payload = payloads[done++ % payloads.length]!
    const { refused, codes } = verifier.verify(payload, 0, payload.length, nowMs)
    if (refused !== 0 || codes[0] !== 0) throw new Error(`refused with ${refused || codes[0]}: ${verifier.detail}`)
  }
}
port.postMessage(done / ((systemClock.monoMs() - start) / 1000))
