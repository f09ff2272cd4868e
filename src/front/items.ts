import { fromHex } from '../base/bytes.ts'
import { DbError } from '../base/errors.ts'
import { assertionFromJson } from '../record/assertion.json.ts'
import { assertionIdOf } from '../record/claim.ts'
import { SIGNATURE_BYTES } from '../record/limits.ts'
import { checkRecord } from '../record/records.ts'
import { encodeAssertion } from '../wire/assertion.codec.ts'
import type { BatchItem } from '../wire/batch.codec.ts'

/** An assertion that came as JSON, ready to go into a batch. */
export interface Item extends BatchItem {
  readonly id: Uint8Array
}

const decoder = new TextDecoder('utf-8', { fatal: true })

/** @throws {DbError} `text_not_utf8` */
export function textOf(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes)
  } catch (cause) {
    throw new DbError('text_not_utf8', 'the body is not valid UTF-8', {}, { cause })
  }
}

/**
 * One assertion in its JSON form, with `signature` (128 hex digits over the id) beside its members.
 * @param pointer JSON pointer of `value` in the body.
 * @throws {DbError} as `assertionFromJson`, and `record_invalid`.
 */
export function itemFromJson(value: unknown, pointer: string, nowMs: number): Item {
  let claim = value
  let signature: Uint8Array | undefined
  if (typeof value === 'object' && value !== null && !Array.isArray(value) && 'signature' in value) {
    const { signature: given, ...rest } = value
    claim = rest
    signature = typeof given === 'string' ? fromHex(given, SIGNATURE_BYTES) : undefined
    if (signature === undefined && given !== null) {
      throw new DbError('field_invalid', `${pointer}/signature must be ${SIGNATURE_BYTES * 2} hex digits`, { pointer: `${pointer}/signature` })
    }
  }
  const assertion = assertionFromJson(claim, pointer, { assertedAtMs: nowMs })
  checkRecord(assertion, pointer)
  return { id: assertionIdOf(assertion), assertion: encodeAssertion(assertion), signature }
}
