import { systemClock } from '../../base/clock.ts'
import { DbError } from '../../base/errors.ts'
import { toHex } from '../../base/bytes.ts'
import { systemSecrets } from '../../base/random.ts'
import { configWith } from '../../config/load.ts'
import { realmHashOf } from '../../merkle/signed-message.ts'
import { initHash } from '../../record/claim.ts'
import type { SignMode } from '../../client/seal.ts'
import { BatchVerifier } from '../../verify/verify-batch.ts'
import { PatchedSource, PreparedSource, type FrameSource } from '../load/source.ts'
import { FrameMaker } from '../load/template.ts'
import { nodeSigner } from '../node-signer.ts'

export interface VerifyRateOptions {
  readonly seconds: number
  /** Frames that are made beforehand and gone round in. */
  readonly frames: number
  readonly batch: number
  readonly sign: SignMode
  readonly recordBytes: number
}

/** Frames between two looks at the clock. */
const FRAMES_AT_ONCE = 64

function payloadsOf(source: FrameSource, maker: FrameMaker): Uint8Array[] {
  const payloads: Uint8Array[] = []
  for (let run = source.take(source.left); run !== undefined; run = source.take(source.left)) {
    for (let i = 1; i <= run.count; i++) payloads.push(run.bytes.slice(i * maker.frameBytes - maker.payloadBytes, i * maker.frameBytes))
    run.release?.()
  }
  return payloads
}

/**
 * Assertions a second that this thread checks when it does nothing but that: no ring, no socket, no disk. So many times the
 * verify threads is the ceiling of a node, where each has a core.
 */
export async function verifyRate(options: VerifyRateOptions): Promise<number> {
  await initHash()
  const { seconds, frames, batch, sign, recordBytes } = options
  const config = configWith({})
  const realmHash = realmHashOf(config.realm)
  const signer = nodeSigner(systemSecrets.bytes(32))
  const maker = new FrameMaker({ runId: toHex(systemSecrets.bytes(8)), batch, sign, recordBytes, agent: signer.publicKey, assertedAtMs: systemClock.wallMs() })
  const source = sign === 'none' ? new PatchedSource(maker, frames) : new PreparedSource(maker)
  if (source instanceof PreparedSource) for (let i = 0; i < frames; i++) source.prepareOne(signer, realmHash)
  const payloads = payloadsOf(source, maker)
  const verifier = new BatchVerifier({
    signaturesRequired: sign !== 'none', realmHash, batchAssertionsMax: Math.max(batch, config.batchAssertionsMax), vectorLengthMax: config.vectorLengthMax,
    hlcDriftMaxMs: config.hlcDriftMaxMs,
  })
  const nowMs = systemClock.wallMs()
  const perLook = Math.max(1, Math.ceil(FRAMES_AT_ONCE / batch))
  const startMs = systemClock.monoMs()
  let done = 0
  while (systemClock.monoMs() - startMs < seconds * 1000) {
    for (let i = 0; i < perLook; i++) {
      const payload = payloads[done++ % payloads.length]!
      const { refused, codes } = verifier.verify(payload, 0, payload.length, nowMs)
      if (refused !== 0 || codes[0] !== 0) throw new DbError('internal', `refused with ${refused || codes[0]}: ${verifier.detail}`)
    }
  }
  return (done * batch) / ((systemClock.monoMs() - startMs) / 1000)
}
