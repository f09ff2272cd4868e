import type { Candidate, LensAnswer, Resolution, RuleLinks } from '../lens/lens.ts'
import { CUT } from '../wire/query-reply.codec.ts'
import { LEAVE_OUT } from '../wire/query-request.codec.ts'
import type { StoredAssertion } from './candidate-source.ts'
import type { AnswerParts, RulesParts, SideParts } from './reply.codec.ts'

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

/** A winner for a reply. */
export interface WinnerParts {
  readonly stored: StoredAssertion
  /** Number of the lifecycle that its agent has given it since; undefined: it has its own. */
  readonly lifecycle?: number | undefined
}

/** An answer for a reply. */
export function answerPartsOf<C extends Candidate>(
  { subject, predicate, candidates, cut, leftOut, leaveOut }: Resolved, { answers, conflict, certainty, status, rules, leftOut: leftOutByLens }: Resolution<C>,
  winnerOf: (winner: C) => WinnerParts,
): AnswerParts {
  const best = answers[0]
  const winner = best === undefined ? undefined : winnerOf(best.winner)
  const sides = best !== undefined && (answers.length > 1 || best.label !== '')
    ? answers.map((answer) => sideOf(answer, leaveOut, () => answer === best ? winner : winnerOf(answer.winner))) : undefined
  return {
    subject, predicate, candidates, winner: winner?.stored, winnerLifecycle: winner?.lifecycle,
    why: leavesOut(leaveOut, LEAVE_OUT.reasons) ? undefined : `${best?.why ?? nobodyWon(leftOut, leftOutByLens)} ${countText(candidates, cut)}`,
    conflict, certainty, status, sides, cut, ...rules !== undefined && { rules: rulesOf(rules, leaveOut, winnerOf) },
  }
}

function rulesOf<C extends Candidate>({ rows, conflicts }: RuleLinks<C>, leaveOut: number, winnerOf: (winner: C) => WinnerParts): RulesParts {
  return { rows, conflicts: conflicts.map(({ holds, overruled }) => ({ holds, overruled: sideOf(overruled, leaveOut, () => winnerOf(overruled.winner)) })) }
}

export const leavesOut = (leaveOut: number, bit: number): boolean => (leaveOut & bit) !== 0

function sideOf<C extends Candidate>(
  { label, supporters, weight, share, sources, conflict, why }: LensAnswer<C>, leaveOut: number, winnerOf: () => WinnerParts | undefined,
): SideParts {
  const winner = leavesOut(leaveOut, LEAVE_OUT.sideClaims) ? undefined : winnerOf()
  return {
    label, winner: winner?.stored, winnerLifecycle: winner?.lifecycle,
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
