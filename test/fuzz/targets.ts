import type { FuzzTarget } from './fuzzer.ts'
import { jsonTargets } from './json.targets.ts'
import { wireTargets } from './wire.targets.ts'

/**
 * Every decoder of bytes from outside. A new one: a file `<part>.targets.ts` beside this one, and a line here; the smoke
 * run in `npm test` and `npm run test:fuzz` take it from there.
 */
export const TARGETS: readonly FuzzTarget[] = [
  ...wireTargets,
  ...jsonTargets,
]
