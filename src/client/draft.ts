import { DbError } from '../base/errors.ts'
import { HASH_BYTES } from '../record/limits.ts'
import type { Assertion, Lifecycle, ObjectValue, SourceClass } from '../record/assertion.ts'

/** An assertion as a caller writes it: what can be known from elsewhere may be left out. */
export interface AssertionDraft {
  /** A concept path (`drug/aspirin/safety`) or a scheme URI. */
  readonly subject: string
  readonly predicate: string
  /** A bare string, number or boolean stands for the object of that kind. */
  readonly object: ObjectValue | string | number | boolean
  /** 0..1 */
  readonly confidence: number
  /** 0 regulatory, 1 clinical, 2 observational, 3 expert, 4 community, 5 anecdotal (default). */
  readonly sourceClass?: SourceClass | undefined
  /** 32 bytes; default all zero. */
  readonly sourceHash?: Uint8Array | undefined
  readonly sourceUri?: string | undefined
  /** Default `proposed`. */
  readonly lifecycle?: Lifecycle | undefined
  readonly epoch?: Uint8Array | undefined
  readonly parent?: Uint8Array | undefined
  /** Default: the signer's public key. */
  readonly agent?: Uint8Array | undefined
  /** Unix milliseconds; default now. Leaving it out makes a retry from outside another assertion. */
  readonly assertedAtMs?: number | undefined
  readonly note?: string | undefined
  readonly vector?: Float32Array | undefined
}

const NO_SOURCE = new Uint8Array(HASH_BYTES)

function objectOf(object: AssertionDraft['object']): ObjectValue {
  switch (typeof object) {
    case 'string': return { kind: 'text', value: object }
    case 'number': return { kind: 'number', value: object }
    case 'boolean': return { kind: 'boolean', value: object }
    default: return object
  }
}

/**
 * Fills in what a draft leaves out. The encoder checks the rules.
 * @throws {DbError} `field_missing` where there is no agent and no signer either.
 */
export function completeDraft(draft: AssertionDraft, signerKey: Uint8Array | undefined, nowMs: number): Assertion {
  const agent = draft.agent ?? signerKey
  if (agent === undefined) {
    throw new DbError('field_missing', 'agent is missing, and there is no signer to take it from', { pointer: '/agent' })
  }
  return {
    subject: draft.subject,
    predicate: draft.predicate,
    object: objectOf(draft.object),
    confidence: draft.confidence,
    sourceClass: draft.sourceClass ?? 5,
    sourceHash: draft.sourceHash ?? NO_SOURCE,
    lifecycle: draft.lifecycle ?? 'proposed',
    agent,
    assertedAtMs: draft.assertedAtMs ?? nowMs,
    ...(draft.sourceUri === undefined ? {} : { sourceUri: draft.sourceUri }),
    ...(draft.epoch === undefined ? {} : { epoch: draft.epoch }),
    ...(draft.parent === undefined ? {} : { parent: draft.parent }),
    ...(draft.note === undefined ? {} : { note: draft.note }),
    ...(draft.vector === undefined ? {} : { vector: draft.vector }),
  }
}
