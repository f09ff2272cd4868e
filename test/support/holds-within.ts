import { systemClock } from '../../src/base/clock.ts'

/** Whether something comes to hold within `msMax`: it is asked at once, and then every `everyMs`. */
export async function holdsWithin(msMax: number, holds: () => boolean | Promise<boolean>, everyMs = 50): Promise<boolean> {
  const end = systemClock.monoMs() + msMax
  while (!(await holds())) {
    if (systemClock.monoMs() > end) return false
    await new Promise((resolve) => setTimeout(resolve, everyMs))
  }
  return true
}
