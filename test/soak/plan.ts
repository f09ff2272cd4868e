import type { Proof, Times } from './proofs.ts'

/** Longest run of one file: every file has a time limit of its own, which a slow machine must not reach. */
export const RUN_SECONDS_MAX = 240
/** Fewer trials, and a file's own questions (did enough happen to mean anything?) have no answer. */
const TRIALS_MIN = 10

/**
 * How many trials to ask a file for, to fill `seconds`; undefined where their number is fixed. The first time no more than usual: until a
 * run has measured them, times are guesses, of another machine.
 */
export function countFor(proof: Proof, times: Times, seconds: number, isFirst: boolean): number | undefined {
  if (proof.usualCount === undefined) return undefined
  const runSeconds = times.inOneRun === true ? seconds : Math.min(seconds, RUN_SECONDS_MAX)
  const most = isFirst && times.inOneRun !== true ? proof.usualCount : Infinity
  return Math.min(most, Math.max(Math.min(TRIALS_MIN, proof.usualCount), Math.floor((runSeconds - times.restSeconds) / times.trialSeconds)))
}

/** Seconds that a run of so many trials takes, about. */
export const secondsOf = (times: Times, count: number | undefined): number => times.restSeconds + (count ?? 0) * times.trialSeconds

/** The times of a file after a run that took `seconds`. */
export function measuredTimes(times: Times, count: number | undefined, seconds: number): Times {
  if (count === undefined) return { ...times, restSeconds: seconds }
  const restSeconds = Math.min(times.restSeconds, seconds / 2)
  return { ...times, restSeconds, trialSeconds: Math.max(1e-6, (seconds - restSeconds) / count) }
}

/** Whether a file has anything new to say in another run. */
export const canRunAgain = (proof: Proof): boolean => proof.hasSeed && proof.times.inOneRun !== true
