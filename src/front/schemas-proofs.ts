import type { ParametersSchema } from './parameters.ts'

/** Schemas of `GET /v1/proofs/...` (docs/formats/tlog.md). */
type Schema = Readonly<Record<string, unknown>>

const hex = (bytes: number, description: string): Schema => ({ type: 'string', pattern: `^[0-9a-f]{${bytes * 2}}$`, description })
const whole = (description: string): Schema => ({ type: 'integer', minimum: 0, description })
const path = (description: string): Schema => ({ type: 'array', items: { type: 'string', pattern: '^[0-9a-f]{64}$' }, description })
const checkpoint: Schema = {
  type: ['string', 'null'], description: 'The signed tree head that the proof is against, where it is the last one (C2SP tlog-checkpoint).',
}

export const PROOF_SCHEMAS: Readonly<Record<string, Schema>> = Object.freeze({
  InclusionProof: {
    type: 'object',
    properties: {
      id: hex(32, 'The assertion\'s.'), index: whole('Leaf: its LSN less one.'), size: whole('Leaves of the tree.'),
      root: hex(32, 'Of that tree.'), path: path('Siblings from the leaf up (RFC 9162, 2.1.3).'), checkpoint,
    },
    required: ['id', 'index', 'size', 'root', 'path', 'checkpoint'],
  },
  ConsistencyProof: {
    type: 'object',
    properties: {
      from: whole('Leaves of the older tree.'), to: whole('Leaves of the newer one.'), root: hex(32, 'Of the newer one.'),
      path: path('As RFC 9162, 2.1.4, has it.'), checkpoint,
    },
    required: ['from', 'to', 'root', 'path', 'checkpoint'],
  },
  SignatureProof: {
    type: 'object',
    properties: {
      id: hex(32, 'The assertion\'s.'), agent: hex(32, 'Who signed.'), realm: { type: 'string' },
      signed_by: { enum: ['nobody', 'assertion', 'batch'] }, signature: hex(64, 'Ed25519, over the id or the batch\'s root (docs/formats/signatures.md).'),
      index: whole('Place in the batch.'), count: whole('Assertions in the batch, refused ones too.'), root: hex(32, 'Merkle root of the batch, BLAKE3.'),
      path: path('Siblings from the id up to the batch\'s root, BLAKE3.'),
    },
    required: ['id', 'agent', 'realm', 'signed_by'],
  },
})

export const INCLUSION_PARAMETERS: ParametersSchema = {
  type: 'object',
  properties: {
    size: { type: 'integer', minimum: 1, maximum: Number.MAX_SAFE_INTEGER, description: 'Leaves of the tree to prove against. Left out: those of the last signed head.' },
  },
  additionalProperties: false,
}

export const CONSISTENCY_PARAMETERS: ParametersSchema = {
  type: 'object',
  properties: {
    from: { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: 'Leaves of the head that you have.' },
    to: { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: 'Leaves of the newer one. Left out: those of the last signed head.' },
  },
  required: ['from'],
  additionalProperties: false,
}
