import { VerifyStage } from '../commit/verify-stage.ts'
import type { Config } from '../config/options.ts'
import { realmHashOf } from '../merkle/signed-message.ts'
import { initHash } from '../record/blake3.ts'
import { Bell } from '../ring/bell.ts'
import { RingReader, RingWriter } from '../ring/ring.ts'
import { BatchVerifier, type VerifyPolicy } from '../verify/verify-batch.ts'
import { thisMachine } from './machine.ts'
import type { ThreadStart } from './thread.messages.ts'
import { type HostedStage, Workplace } from './workplace.ts'

const verifyPolicyOf = (config: Config): VerifyPolicy => ({
  signaturesRequired: config.signatures === 'required',
  realmHash: realmHashOf(config.realm),
  batchAssertionsMax: config.batchAssertionsMax,
  vectorLengthMax: config.vectorLengthMax,
  hlcDriftMaxMs: config.hlcDriftMaxMs,
})

export async function buildVerifyStage(start: ThreadStart, machine = thisMachine): Promise<HostedStage> {
  await initHash()
  const place = new Workplace(start, machine)
  const { config, index, memory: { rings, bells } } = start
  const stage = new VerifyStage({
    submitted: new RingReader(rings.submitted[index]!),
    verified: new RingWriter(rings.verified[index]!, new Bell(bells.commit)),
    batchAssertionsMax: config.batchAssertionsMax,
    verifier: new BatchVerifier(verifyPolicyOf(config)),
    ids: place.ids().lookup,
    durableLsn: () => place.marks.durableLsn,
    clock: place.clock,
    metrics: place.metrics('verify'),
  })
  return { stage, bell: new Bell(bells.verify[index]!) }
}
