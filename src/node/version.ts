import { createRequire } from 'node:module'

/** The package's version. The package knows itself by name, wherever the built files lie. */
export const VERSION: string = (createRequire(import.meta.url)('stemedb/package.json') as { version: string }).version
