import { AGENT_BYTES, HASH_BYTES } from '../record/limits.ts'

const ABSENT = -1

/**
 * Flyweight over one VERIFIED Assertion that lies anywhere in a bigger buffer: byte ranges and scalars, no strings, no
 * allocation. Offsets count from the start of `bytes`. An absent field's offset is -1 and its length 0.
 * Verified means that `verifyBuffer('Assertion', ...)` or that of a buffer around it said 0; rules of the model (text,
 * ranges) are checked by `claimIdInto` only.
 */
export class AssertionView {
  bytes: Uint8Array = new Uint8Array(0)
  view: DataView = new DataView(this.bytes.buffer)
  /** Of the whole Assertion buffer. */
  start = 0
  length = 0

  subjectStart = ABSENT
  subjectLength = 0
  predicateStart = ABSENT
  predicateLength = 0
  /** 1 text, 2 number, 3 boolean, 4 reference; 0 where it is absent. */
  objectKind = 0
  objectTextStart = ABSENT
  objectTextLength = 0
  /** Of the f64. */
  objectNumberStart = ABSENT
  /** Of the byte. */
  objectBooleanStart = ABSENT
  /** Of the f64; absent means 0. */
  confidenceStart = ABSENT
  sourceClass = 0
  /** 32 bytes each. */
  sourceHashStart = ABSENT
  epochStart = ABSENT
  parentStart = ABSENT
  agentStart = ABSENT
  sourceUriStart = ABSENT
  sourceUriLength = 0
  /** 1..6; 0 where it is absent. */
  lifecycle = 0
  /** Of the u64; absent means 0. */
  assertedAtStart = ABSENT
  noteStart = ABSENT
  noteLength = 0
  /** Of the first f32; the length counts elements. */
  vectorStart = ABSENT
  vectorLength = 0
  /** Slots that a newer schema may have set. No claim can carry them yet. */
  unknownFields = false

  /** Looks at the Assertion buffer of `length` bytes at `start`. */
  reset(bytes: Uint8Array, start = 0, length = bytes.length): this {
    if (bytes !== this.bytes) {
      this.bytes = bytes
      this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    }
    this.start = start
    this.length = length
    const view = this.view
    const table = start + view.getUint32(start, true)
    const vtable = table - view.getInt32(table, true)
    const vtableBytes = view.getUint16(vtable, true)
    let field = fieldStart(view, table, vtable, vtableBytes, 0)
    this.subjectStart = targetStart(view, field)
    this.subjectLength = targetLength(view, this.subjectStart)
    field = fieldStart(view, table, vtable, vtableBytes, 1)
    this.predicateStart = targetStart(view, field)
    this.predicateLength = targetLength(view, this.predicateStart)
    field = fieldStart(view, table, vtable, vtableBytes, 2)
    this.objectKind = field < 0 ? 0 : view.getUint8(field)
    field = fieldStart(view, table, vtable, vtableBytes, 3)
    this.objectTextStart = targetStart(view, field)
    this.objectTextLength = targetLength(view, this.objectTextStart)
    this.objectNumberStart = fieldStart(view, table, vtable, vtableBytes, 4)
    this.objectBooleanStart = fieldStart(view, table, vtable, vtableBytes, 5)
    this.confidenceStart = fieldStart(view, table, vtable, vtableBytes, 6)
    field = fieldStart(view, table, vtable, vtableBytes, 7)
    this.sourceClass = field < 0 ? 0 : view.getUint8(field)
    this.sourceHashStart = fieldStart(view, table, vtable, vtableBytes, 8)
    field = fieldStart(view, table, vtable, vtableBytes, 9)
    this.sourceUriStart = targetStart(view, field)
    this.sourceUriLength = targetLength(view, this.sourceUriStart)
    field = fieldStart(view, table, vtable, vtableBytes, 10)
    this.lifecycle = field < 0 ? 0 : view.getUint8(field)
    this.epochStart = fieldStart(view, table, vtable, vtableBytes, 11)
    this.parentStart = fieldStart(view, table, vtable, vtableBytes, 12)
    this.agentStart = fieldStart(view, table, vtable, vtableBytes, 13)
    this.assertedAtStart = fieldStart(view, table, vtable, vtableBytes, 14)
    field = fieldStart(view, table, vtable, vtableBytes, 15)
    this.noteStart = targetStart(view, field)
    this.noteLength = targetLength(view, this.noteStart)
    field = fieldStart(view, table, vtable, vtableBytes, 16)
    this.vectorStart = targetStart(view, field)
    this.vectorLength = targetLength(view, this.vectorStart)
    this.unknownFields = false
    for (let slot = 17; 4 + 2 * slot < vtableBytes; slot++) if (fieldStart(view, table, vtable, vtableBytes, slot) >= 0) this.unknownFields = true
    return this
  }

  get objectNumber(): number {
    return this.objectNumberStart < 0 ? 0 : this.view.getFloat64(this.objectNumberStart, true)
  }

  get objectBoolean(): boolean {
    return this.objectBooleanStart >= 0 && this.view.getUint8(this.objectBooleanStart) !== 0
  }

  get confidence(): number {
    return this.confidenceStart < 0 ? 0 : this.view.getFloat64(this.confidenceStart, true)
  }

  /** Exact only up to 2^53; `claimIdInto` refuses what is above 2^48. */
  get assertedAtMs(): number {
    if (this.assertedAtStart < 0) return 0
    return this.view.getUint32(this.assertedAtStart + 4, true) * 2 ** 32 + this.view.getUint32(this.assertedAtStart, true)
  }

  /** The whole buffer, shared, not copied. */
  get buffer(): Uint8Array {
    return this.bytes.subarray(this.start, this.start + this.length)
  }

  /** 32 bytes, shared, not copied. */
  get agent(): Uint8Array {
    return this.bytes.subarray(this.agentStart, this.agentStart + AGENT_BYTES)
  }

  get sourceHash(): Uint8Array {
    return this.bytes.subarray(this.sourceHashStart, this.sourceHashStart + HASH_BYTES)
  }
}

// "steme://" (record/records.ts), as two words.
const STEM = 0x6d657473
const E_COLON_SLASHES = 0x2f2f3a65
const RECORD_SCHEME_BYTES = 8

/** Whether the subject begins with the scheme that is reserved for records: two comparisons of words, and nothing is decoded. */
export function isRecordSubjectAt({ view, subjectStart, subjectLength }: AssertionView): boolean {
  return subjectLength >= RECORD_SCHEME_BYTES && view.getUint32(subjectStart, true) === STEM
    && view.getUint32(subjectStart + 4, true) === E_COLON_SLASHES
}

function fieldStart(view: DataView, table: number, vtable: number, vtableBytes: number, slot: number): number {
  const entry = 4 + 2 * slot
  if (entry >= vtableBytes) return ABSENT
  const offset = view.getUint16(vtable + entry, true)
  return offset === 0 ? ABSENT : table + offset
}

/**
 * The few fields of a VERIFIED Assertion that the index by subject and subscriptions need, found at half the cost of {@link AssertionView}, whose members they
 * are named after.
 */
export class IndexedFieldsView {
  start = 0
  length = 0
  subjectStart = ABSENT
  subjectLength = 0
  predicateStart = ABSENT
  predicateLength = 0
  objectKind = 0
  sourceClass = 0
  lifecycle = 0
  parentStart = ABSENT
  agentStart = ABSENT

  /** Looks at the Assertion buffer of `length` bytes at `start` of `view`. */
  reset(view: DataView, start: number, length: number): this {
    this.start = start
    this.length = length
    const table = start + view.getUint32(start, true)
    const vtable = table - view.getInt32(table, true)
    const vtableBytes = view.getUint16(vtable, true)
    this.subjectStart = targetStart(view, fieldStart(view, table, vtable, vtableBytes, 0))
    this.subjectLength = targetLength(view, this.subjectStart)
    this.predicateStart = targetStart(view, fieldStart(view, table, vtable, vtableBytes, 1))
    this.predicateLength = targetLength(view, this.predicateStart)
    let field = fieldStart(view, table, vtable, vtableBytes, 2)
    this.objectKind = field < 0 ? 0 : view.getUint8(field)
    field = fieldStart(view, table, vtable, vtableBytes, 7)
    this.sourceClass = field < 0 ? 0 : view.getUint8(field)
    field = fieldStart(view, table, vtable, vtableBytes, 10)
    this.lifecycle = field < 0 ? 0 : view.getUint8(field)
    this.parentStart = fieldStart(view, table, vtable, vtableBytes, 12)
    this.agentStart = fieldStart(view, table, vtable, vtableBytes, 13)
    return this
  }
}

/** First element of the string or vector that the field points to. */
function targetStart(view: DataView, field: number): number {
  return field < 0 ? ABSENT : field + view.getUint32(field, true) + 4
}

function targetLength(view: DataView, target: number): number {
  return target < 0 ? 0 : view.getUint32(target - 4, true)
}
