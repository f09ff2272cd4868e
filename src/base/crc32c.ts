import { createRequire } from 'node:module'
import type { crc32c as Crc32c } from '@node-rs/crc32'

// By `require`: an import makes Node look through a CommonJS file for what it exports, in each thread, and that takes
// longer than loading it.
const binding = createRequire(import.meta.url)('@node-rs/crc32') as { readonly crc32c: typeof Crc32c }

/** CRC-32C (Castagnoli, RFC 3720 appendix B.4) of `bytes`, going on from `crc` where that is given. */
export const { crc32c } = binding
