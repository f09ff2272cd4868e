import type { Micro } from '../lib/micro.ts'
import { claimIdMicro } from './claim-id.micro.ts'
import { merkleMicro } from './merkle.micro.ts'
import { ringMicro } from './ring.micro.ts'
import { storeMicro } from './store.micro.ts'
import { verifyMicro } from './verify.micro.ts'
import { walMicro } from './wal.micro.ts'

export const MICROS: readonly Micro[] = [ringMicro, claimIdMicro, merkleMicro, verifyMicro, walMicro, storeMicro]
