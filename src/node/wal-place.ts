import { join } from 'node:path'
import type { Config } from '../config/options.ts'
import { NODE_ID_BYTES } from '../wal/segment.layout.ts'

export const walDirOf = (config: Config): string => join(config.dataDir, 'wal')

/** Files of the log of proofs. */
export const tlogDirOf = (config: Config): string => join(config.dataDir, 'tlog')

/** Files of the store. */
export const storeDirOf = (config: Config): string => join(config.dataDir, 'db')

/** The WAL knows its node by the first bytes of the node's public key. */
export const walNodeIdOf = (nodeId: Uint8Array): Uint8Array => nodeId.slice(0, NODE_ID_BYTES)
