/** Tiers of a source, the most authoritative first; the number is what formats carry. */
export const SOURCE_CLASSES = Object.freeze(
  ['regulatory', 'clinical', 'observational', 'expert', 'community', 'anecdotal'] as const,
)
export type SourceClassName = (typeof SOURCE_CLASSES)[number]
export type SourceClass = 0 | 1 | 2 | 3 | 4 | 5

/** Where a claim stands in its life; its number in formats is its place here plus 1 (0 is reserved). */
export const LIFECYCLES = Object.freeze(
  ['proposed', 'under_review', 'approved', 'deprecated', 'rejected', 'retracted'] as const,
)
export type Lifecycle = (typeof LIFECYCLES)[number]
/** Who says so says something no longer. */
export const TAKEN_BACK: ReadonlySet<Lifecycle> = new Set<Lifecycle>(['deprecated', 'rejected', 'retracted'])

/** Kinds of an object; the number in formats is the place here plus 1 (0 is reserved: null is refused). */
export const OBJECT_KINDS = Object.freeze(['text', 'number', 'boolean', 'reference'] as const)
export type ObjectKind = (typeof OBJECT_KINDS)[number]

export const OBJECT_TEXT = 1
export const OBJECT_NUMBER = 2
export const OBJECT_BOOLEAN = 3
export const OBJECT_REFERENCE = 4

export type ObjectValue =
  | { kind: 'text', value: string }
  | { kind: 'number', value: number }
  | { kind: 'boolean', value: boolean }
  | { kind: 'reference', value: string }

/**
 * One claim by one agent. Plain data for people and clients; the hot path reads buffers through `AssertionView`.
 * Its rules and limits stand in docs/formats/claim.md; `claimBytesOf` and the encoders check them all.
 */
export interface Assertion {
  /** Concept path (`drug/aspirin/safety`) or scheme URI (`rfc://9162/section/2`). */
  subject: string
  predicate: string
  object: ObjectValue
  /** 0..1 */
  confidence: number
  sourceClass: SourceClass
  /** 32 bytes; all zero where there is no source to hash. */
  sourceHash: Uint8Array
  sourceUri?: string
  lifecycle: Lifecycle
  /** 32 bytes */
  epoch?: Uint8Array
  /** 32 bytes: the id of the assertion that this one follows or retracts. */
  parent?: Uint8Array
  /** 32 bytes: an Ed25519 public key. */
  agent: Uint8Array
  /** Unix milliseconds, as the agent says. */
  assertedAtMs: number
  note?: string
  vector?: Float32Array
}

export const lifecycleNumber = (lifecycle: Lifecycle): number => LIFECYCLES.indexOf(lifecycle) + 1
export const lifecycleOf = (number: number): Lifecycle | undefined => LIFECYCLES[number - 1]
export const objectKindNumber = (kind: ObjectKind): number => OBJECT_KINDS.indexOf(kind) + 1
export const objectKindOf = (number: number): ObjectKind | undefined => OBJECT_KINDS[number - 1]
