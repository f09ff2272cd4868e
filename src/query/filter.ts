import { bytesEqual } from '../base/bytes.ts'
import type { Hlc } from '../base/hlc.ts'
import { valuesEqual } from '../lens/value.ts'
import { objectKindNumber, type Assertion, type ObjectValue } from '../record/assertion.ts'
import type { IndexEntry } from './candidate-source.ts'

/** What a candidate must be; what is undefined may be anything. */
export interface Filter {
  /** Bit n: lifecycle n is wanted. */
  readonly lifecycles: number | undefined
  /** Bit n: tier n is wanted. */
  readonly tiers: number | undefined
  /** Accepted at or after this HLC, and before that one. */
  readonly fromHlc: Hlc | undefined
  readonly untilHlc: Hlc | undefined
  readonly agent: Uint8Array | undefined
  readonly source: Uint8Array | undefined
  readonly epoch: Uint8Array | undefined
  /** By the agent's own clock, at or after and before. */
  readonly assertedFromMs: number | undefined
  readonly assertedUntilMs: number | undefined
  readonly confidenceMin: number | undefined
  readonly object: ObjectValue | undefined
  /** With which objects are compared, as lenses do. */
  readonly tolerance: number
}

export const ANYTHING: Filter = Object.freeze({
  lifecycles: undefined, tiers: undefined, fromHlc: undefined, untilHlc: undefined, agent: undefined, source: undefined,
  epoch: undefined, assertedFromMs: undefined, assertedUntilMs: undefined, confidenceMin: undefined, object: undefined, tolerance: 0,
})

/** Whether a filter asks for what only the claim says. */
export function readsClaims(filter: Filter): boolean {
  return filter.agent !== undefined || filter.source !== undefined || filter.epoch !== undefined || filter.assertedFromMs !== undefined
    || filter.assertedUntilMs !== undefined || filter.confidenceMin !== undefined || filter.object !== undefined
}

/** Whether a filter lets everything pass. */
export function passesAll(filter: Filter): boolean {
  return !readsClaims(filter) && filter.lifecycles === undefined && filter.tiers === undefined
    && filter.fromHlc === undefined && filter.untilHlc === undefined
}

/** What the index knows. The lifecycle is left to who knows whether another assertion has changed it. */
export function entryPasses(filter: Filter, entry: Pick<IndexEntry, 'sourceClass' | 'objectKind' | 'hlc'>): boolean {
  if (filter.tiers !== undefined && (filter.tiers >> entry.sourceClass & 1) === 0) return false
  if (filter.object !== undefined && entry.objectKind !== objectKindNumber(filter.object.kind)) return false
  if (filter.fromHlc !== undefined && entry.hlc < filter.fromHlc) return false
  return filter.untilHlc === undefined || entry.hlc < filter.untilHlc
}

/** @param lifecycle its number, as it is now. */
export const lifecyclePasses = (lifecycles: number, lifecycle: number): boolean => (lifecycles >> lifecycle & 1) === 1

/** What only the claim says. */
export function claimPasses(filter: Filter, assertion: Assertion): boolean {
  const { agent, source, epoch, assertedFromMs, assertedUntilMs, confidenceMin, object, tolerance } = filter
  if (agent !== undefined && !bytesEqual(agent, assertion.agent)) return false
  if (source !== undefined && !bytesEqual(source, assertion.sourceHash)) return false
  if (epoch !== undefined && (assertion.epoch === undefined || !bytesEqual(epoch, assertion.epoch))) return false
  if (assertedFromMs !== undefined && assertion.assertedAtMs < assertedFromMs) return false
  if (assertedUntilMs !== undefined && assertion.assertedAtMs >= assertedUntilMs) return false
  if (confidenceMin !== undefined && assertion.confidence < confidenceMin) return false
  return object === undefined || valuesEqual(object, assertion.object, tolerance)
}
