import { toHex } from '../../src/base/bytes.ts'
import type { Shown, ShownAnswer } from '../unit/query/ask.ts'
import type { ModelAnswer, Question } from './model.query.ts'

/** The engine adds in whole units, the model in floats. */
const NEAR = 1e-6

/** What a lens does not say is -1 on the wire, and undefined in the model. */
function isNear(found: number, expected: number | undefined): boolean {
  return Math.abs(found - (expected ?? -1)) <= NEAR
}

function differenceOf(found: ShownAnswer, { subject, predicate, candidates, verdict, givenTo }: ModelAnswer): string | undefined {
  const { sides, conflict, certainty, status } = verdict
  const [first] = sides
  if (found.subject !== subject || found.predicate !== predicate) return `${found.subject} ${found.predicate} is answered, not ${subject} ${predicate}`
  if (found.candidates !== candidates.length) return `candidates: ${found.candidates}, not ${candidates.length}`
  if (found.id !== (first?.winner.id ?? '')) return `winner: ${found.id.slice(0, 8)}, not ${first?.winner.id.slice(0, 8)}`
  const lifecycle = first === undefined ? 0 : givenTo(first.winner)
  if (found.lifecycle !== lifecycle) return `lifecycle: ${found.lifecycle}, not ${lifecycle}`
  if (found.why === '') return 'no reason'
  if (!isNear(found.conflict, conflict)) return `conflict: ${found.conflict}, not ${conflict}`
  if (!isNear(found.certainty, certainty)) return `certainty: ${found.certainty}, not ${certainty}`
  if (found.status !== (status ?? '')) return `status: ${found.status}, not ${status}`
  // One side alone is not shown as such.
  if (found.sides.length !== sides.length && !(sides.length <= 1 && found.sides.length === 0)) return `sides: ${found.sides.length}, not ${sides.length}`
  for (const [i, side] of found.sides.entries()) {
    const { winner, supporters, weight, share, sources, conflict: inside } = sides[i]!
    if (side.id !== winner.id) return `side ${i}: ${side.id.slice(0, 8)}, not ${winner.id.slice(0, 8)}`
    if (side.lifecycle !== givenTo(winner)) return `lifecycle of side ${i}: ${side.lifecycle}, not ${givenTo(winner)}`
    if (side.candidates !== supporters.length) return `candidates of side ${i}: ${side.candidates}, not ${supporters.length}`
    if (weight !== undefined && !isNear(side.weight, weight)) return `weight of side ${i}: ${side.weight}, not ${weight}`
    if (share !== undefined && !isNear(side.share, share)) return `share of side ${i}: ${side.share}, not ${share}`
    if (sources !== undefined && side.sources !== sources) return `sources of side ${i}: ${side.sources}, not ${sources}`
    if (!isNear(side.conflict, inside)) return `conflict of side ${i}: ${side.conflict}, not ${inside}`
  }
  return undefined
}

/** Where the engine and the model disagree first; undefined where they do not. */
export function differenceBetween(found: Pick<Shown, 'refused' | 'detail' | 'answers'>, expected: readonly ModelAnswer[]): string | undefined {
  if (found.refused !== '') return `refused: ${found.refused} ${found.detail}`
  for (const [i, answer] of found.answers.entries()) {
    const one = expected[i]
    if (one === undefined) return `an answer too many: ${answer.subject} ${answer.predicate}`
    const difference = differenceOf(answer, one)
    if (difference !== undefined) return `${answer.subject} ${answer.predicate}: ${difference}`
  }
  const missing = expected[found.answers.length]
  return missing === undefined ? undefined : `no answer for ${missing.subject} ${missing.predicate}`
}

/** A question for a person, as it can be pasted into a test. */
export const shown = (question: Question): string => JSON.stringify(question, (_, value: unknown) => {
  if (typeof value === 'bigint') return `${value}n`
  return value instanceof Uint8Array ? toHex(value) : value
})
