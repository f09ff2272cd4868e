import { ReceiptStage } from '../commit/receipt-stage.ts'
import { realmHashOf } from '../merkle/signed-message.ts'
import { threadMetrics } from '../observe/thread-metrics.ts'
import { initHash } from '../record/blake3.ts'
import { Bell } from '../ring/bell.ts'
import { RingReader, RingWriter } from '../ring/ring.ts'
import { signMessage } from '../verify/ed25519.ts'
import { keyPairOfSeed } from '../verify/keys.ts'
import type { ThreadStart } from './thread.messages.ts'
import type { HostedStage } from './workplace.ts'

export async function buildMerkleStage(start: ThreadStart): Promise<HostedStage> {
  await initHash()
  const { config, index, nodeId, nodeSeed, memory: { rings, bells, metrics } } = start
  const { secretKey } = keyPairOfSeed(nodeSeed)
  const stage = new ReceiptStage({
    requests: new RingReader(rings.receiptRequests[index]!),
    receipts: new RingWriter(rings.receipts[index]!, new Bell(bells.front)),
    nodeId,
    realmHash: realmHashOf(config.realm),
    sign: (message) => signMessage(secretKey, message),
    metrics: threadMetrics(metrics.merkle[index]!),
  })
  return { stage, bell: new Bell(bells.merkle[index]!) }
}
