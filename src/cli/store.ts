import { DbError } from '../base/errors.ts'
import type { Console, OutputOptions } from './console.ts'

export interface StoreOptions extends OutputOptions {
  readonly dataDir: string
}

/** `stemedb store verify` */
export async function runStoreVerify(_options: StoreOptions, _console: Console): Promise<number> {
  throw new DbError('internal', 'not built in yet')
}

/** `stemedb store rebuild` */
export async function runStoreRebuild(_options: StoreOptions, _console: Console): Promise<number> {
  throw new DbError('internal', 'not built in yet')
}
