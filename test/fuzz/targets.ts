import { clientTargets } from './client.targets.ts'
import { configTargets } from './config.targets.ts'
import type { FuzzTarget } from './fuzzer.ts'
import { httpTargets } from './http.targets.ts'
import { jsonTargets } from './json.targets.ts'
import { storeTargets } from './store.targets.ts'
import { walTargets } from './wal.targets.ts'
import { wireTargets } from './wire.targets.ts'

/**
 * Every decoder of bytes from outside. A new one: a file `<part>.targets.ts` beside this one, and a line here; the smoke
 * run in `npm test` and `npm run test:fuzz` take it from there.
 */
export const TARGETS: readonly FuzzTarget[] = [
  ...wireTargets,
  ...jsonTargets,
  ...httpTargets,
  ...clientTargets,
  ...walTargets,
  ...storeTargets,
  ...configTargets,
]
