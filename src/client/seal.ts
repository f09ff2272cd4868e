import { concatBytes } from '../base/bytes.ts'
import { DbError, isDbError } from '../base/errors.ts'
import { SIGNATURE_BYTES } from '../record/limits.ts'
import { batchMessage, singleMessage } from '../merkle/signed-message.ts'
import { rootOfIds } from '../merkle/tree.ts'
import { BATCH_FLAG_RECEIPT, encodeBatch, type BatchItem } from '../wire/batch.codec.ts'
import type { Signer } from './signer.ts'

export type SignMode = 'batch' | 'single' | 'none'

export interface SealInput {
  readonly requestId: bigint
  readonly wantsReceipt: boolean
  readonly items: readonly { readonly id: Uint8Array, readonly encoded: Uint8Array }[]
  readonly mode: SignMode
  readonly signer: Signer | undefined
  readonly realmHash: Uint8Array
}

/**
 * Signs and encodes one batch.
 * @throws {DbError} `signature_malformed` where the signer's answer is no signature, `internal` where it throws.
 */
export async function sealBatch(input: SealInput): Promise<Uint8Array> {
  const { requestId, wantsReceipt, items, mode, signer, realmHash } = input
  const flags = wantsReceipt ? BATCH_FLAG_RECEIPT : 0
  const plain: BatchItem[] = items.map((item) => ({ assertion: item.encoded }))
  if (mode === 'none' || signer === undefined) return encodeBatch({ requestId, flags, items: plain })
  if (mode === 'batch') {
    const root = rootOfIds(concatBytes(...items.map((item) => item.id)))
    const signature = await signed(signer, batchMessage(realmHash, items.length, root))
    return encodeBatch({ requestId, flags, agent: signer.publicKey, signature, items: plain })
  }
  const signedItems: BatchItem[] = []
  for (const item of items) {
    signedItems.push({ assertion: item.encoded, signature: await signed(signer, singleMessage(realmHash, item.id)) })
  }
  return encodeBatch({ requestId, flags, items: signedItems })
}

async function signed(signer: Signer, message: Uint8Array): Promise<Uint8Array> {
  let signature: Uint8Array
  try {
    signature = await signer.sign(message)
  } catch (error) {
    if (isDbError(error)) throw error
    throw new DbError('internal', `the signer failed: ${error instanceof Error ? error.message : String(error)}`, {}, { cause: error })
  }
  if (!(signature instanceof Uint8Array) || signature.length !== SIGNATURE_BYTES) {
    throw new DbError('signature_malformed', `the signer answered with something that is no ${SIGNATURE_BYTES}-byte signature`)
  }
  return signature
}
