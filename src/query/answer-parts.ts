import type { Candidate, LensAnswer, Resolution } from '../lens/lens.ts'
import { CUT } from '../wire/query-reply.codec.ts'
import { LEAVE_OUT } from '../wire/query-request.codec.ts'
import type { StoredAssertion } from './candidate-source.ts'
import type { AnswerParts, SideParts } from './reply.codec.ts'

/** What a resolution is of. */
export interface Resolved {
  readonly subject: Uint8Array
  readonly predicate: Uint8Array
  /** Candidates that the lens was given. */
  readonly candidates: number
  /** What was not looked at in full: bits of `CUT`. */
  readonly cut: number
  /** What would have been a candidate, had nobody changed it. */
  readonly leftOut: number
  /** What the answer comes without: bits of `LEAVE_OUT`. */
  readonly leaveOut: number
}

/** An answer for a reply. @param storedOf the claim of a winner. */
export function answerPartsOf<C extends Candidate>(
  { subject, predicate, candidates, cut, leftOut, leaveOut }: Resolved, { answers, conflict, certainty, status, leftOut: leftOutByLens }: Resolution<C>,
  storedOf: (winner: C) => StoredAssertion,
): AnswerParts {
  const best = answers[0]
  const winner = best === undefined ? undefined : storedOf(best.winner)
  const sides = best !== undefined && (answers.length > 1 || best.label !== '')
    ? answers.map((answer) => sideOf(answer, leaveOut, () => answer === best ? winner : storedOf(answer.winner))) : undefined
  return {
    subject, predicate, candidates, winner,
    why: leavesOut(leaveOut, LEAVE_OUT.reasons) ? undefined : `${best?.why ?? nobodyWon(leftOut, leftOutByLens)} ${countText(candidates, cut)}`,
    conflict, certainty, status, sides, cut,
  }
}

export const leavesOut = (leaveOut: number, bit: number): boolean => (leaveOut & bit) !== 0

function sideOf<C extends Candidate>(
  { label, supporters, weight, share, sources, conflict, why }: LensAnswer<C>, leaveOut: number, winner: () => StoredAssertion | undefined,
): SideParts {
  return {
    label, winner: leavesOut(leaveOut, LEAVE_OUT.sideClaims) ? undefined : winner(),
    weight, share, candidates: supporters.length, sources, conflict, why: leavesOut(leaveOut, LEAVE_OUT.reasons) ? undefined : why,
  }
}

function nobodyWon(leftOutBefore: number, leftOut: Resolution<Candidate>['leftOut'] = []): string {
  const count = leftOut.length === 0 ? leftOutBefore : leftOut.length
  const why = leftOut[0]?.why
  return `Nothing is left to choose from: ${count} ${count === 1 ? 'was' : 'were'} left out.${why === undefined ? '' : ` ${why}`}`
}

/** How many candidates there were, and what was not looked at. */
export function countText(count: number, cut: number): string {
  const records = (cut & CUT.records) === 0 ? '' : ' Of votes, outcomes or epochs only the newest were looked at.'
  return `${candidatesText(count, (cut & CUT.candidates) !== 0)}${records}`
}

function candidatesText(count: number, isCut: boolean): string {
  if (isCut) return `Only the newest ${count} candidates were looked at.`
  if (count === 0) return 'There is no candidate.'
  return count === 1 ? 'It is the only candidate.' : `There are ${count} candidates.`
}
