import type { Bell } from '../ring/bell.ts'
import type { ThreadControl } from './control.ts'

/**
 * One stage of the pipeline, without a thread: the thread's loop, the inline mode and tests call `step`.
 * - `progress`: it did something; call again.
 * - `idle`: nothing came; wait for its bell.
 * - `blocked`: what comes after it has no room, or lags; wait for `blockedOn`.
 */
export interface Stage {
  step(): StepOutcome
  /** Longest sleep while idle, in milliseconds: when the stage has something to do by itself. */
  idleMs(): number
  /** The bell to wait for after `blocked`. */
  readonly blockedOn: Bell
  /** Called once, after the last step of a drain. */
  finish(): void
}
export type StepOutcome = 'progress' | 'idle' | 'blocked'

/** Longest sleep of a blocked stage: a bound, should a bell be missed; not a schedule. */
const BLOCKED_MS_MAX = 100

/**
 * The loop of a thread that hosts one stage: until told to stop and drained. A stage that throws ends the thread, and
 * the supervisor ends the process.
 * @param passed called after each step
 */
export function runStage(stage: Stage, bell: Bell, control: ThreadControl, passed: () => void): void {
  for (;;) {
    const prepared = bell.prepare()
    const blockedPrepared = stage.blockedOn.prepare()
    const stopping = control.stopping
    const outcome = stage.step()
    passed()
    if (outcome === 'idle') {
      if (stopping) break
      bell.wait(prepared, stage.idleMs())
    } else if (outcome === 'blocked') {
      stage.blockedOn.wait(blockedPrepared, BLOCKED_MS_MAX)
    }
  }
  stage.finish()
}
