import { compareBytes } from '../base/bytes.ts'
import type { Clock } from '../base/clock.ts'
import { ERROR_CODES } from '../base/error-codes.ts'
import { DbError } from '../base/errors.ts'
import { hlcWallMs, type Hlc } from '../base/hlc.ts'
import type { CandidateSource, EntryPosition, EntryRange, Place, WalkPosition } from './candidate-source.ts'
import { CUT } from '../wire/query-reply.codec.ts'
import { encodePageCursor } from './page-cursor.ts'
import type { ScanPlan } from './plan.ts'
import type { RecordReader } from './record-reader.ts'

/** The moment that a query is about. */
export interface Moment {
  /** Nothing accepted after it is seen. Undefined: everything. */
  readonly asOfHlc: Hlc | undefined
  /** What confidence has decayed to by now. */
  readonly nowMs: number
}

/**
 * The moment of a plan. Where there may be a next page, it is fixed by the first one, so that all pages are of one state, whatever
 * is written meanwhile.
 */
export function momentOf(plan: ScanPlan, source: CandidateSource, clock: Clock): Moment {
  if (plan.cursor !== undefined) return { asOfHlc: plan.cursor.asOf, nowMs: plan.cursor.nowMs }
  if (plan.asOf !== undefined) return { asOfHlc: plan.asOf, nowMs: hlcWallMs(plan.asOf) }
  const isOnePair = isLens(plan) && !plan.subjectIsPrefix && plan.predicate !== undefined
  let nowMs: number | undefined
  // Asked for when somebody wants it: an answer that does not depend on the time can be kept (dependencies.ts).
  return { asOfHlc: isOnePair ? undefined : source.appliedHlc?.(), get nowMs() { return nowMs ??= clock.wallMs() } }
}

const isLens = (plan: ScanPlan): boolean => 'lens' in plan

/** Whether an assertion whose place was found by its id is there at that moment, as the index has it. */
export function seesAt({ asOfHlc }: Moment, source: CandidateSource): (place: Place) => boolean {
  const appliedLsn = source.appliedLsn()
  return ({ lsn, hlc }) => asOfHlc === undefined ? lsn <= appliedLsn : hlc <= asOfHlc
}

const HLC_MAX = 2n ** 64n - 1n

/** What a client passes to get what begins at `position`. */
export function pageCursorAt(plan: ScanPlan, { asOfHlc, nowMs }: Moment, position: WalkPosition): Uint8Array {
  return encodePageCursor({ fingerprint: plan.fingerprint(), asOf: asOfHlc ?? HLC_MAX, nowMs, position })
}

const utf8 = new TextEncoder()
const fromUtf8 = new TextDecoder()

export interface SubjectParts {
  readonly records: () => RecordReader
  /** Told what was not looked at in full; bits of `CUT`. */
  readonly noteCut: (bits: number) => void
}

/** Subjects that one is looked for under, by ascending bytes: itself, and its aliases where the plan follows them. */
export function subjectsOf(plan: ScanPlan, { records, noteCut }: SubjectParts): Uint8Array[] {
  if (!plan.aliases) return [plan.subject]
  const reader = records()
  const subjects = reader.aliasesOf(fromUtf8.decode(plan.subject)).map((subject) => utf8.encode(subject)).sort(compareBytes)
  if (reader.takeCut?.() === true) noteCut(CUT.aliases)
  return subjects
}

export function rangeOf(plan: ScanPlan, subject: Uint8Array, { asOfHlc }: Moment, from: EntryPosition | undefined): EntryRange {
  return { subject, subjectIsPrefix: plan.subjectIsPrefix, predicate: plan.predicate, asOfHlc, from }
}

/** Not even the first thing fits into a reply. */
export function tooLong(): never {
  throw new DbError('frame_too_large', ERROR_CODES.frame_too_large.title, { what: 'reply' })
}
