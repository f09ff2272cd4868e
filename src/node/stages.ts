import type { Machine } from './machine.ts'
import type { ThreadKind } from '../base/thread-kinds.ts'
import type { ThreadStart } from './thread.messages.ts'
import type { HostedStage } from './workplace.ts'

type Builder = (start: ThreadStart, machine?: Machine) => Promise<HostedStage>

/**
 * By kind, what the threads and the inline mode build alike. Loaded when they are asked for: a thread that loaded the parts of all others
 * would take most of a start's time for them.
 */
export const STAGE_BUILDERS: Readonly<Record<ThreadKind, Builder>> = {
  ingest: async (start, machine) => (await import('./stage-ingest.ts')).buildIngestStage(start, machine),
  wal: async (start, machine) => (await import('./stage-wal.ts')).buildWalStage(start, machine),
  verify: async (start, machine) => (await import('./stage-verify.ts')).buildVerifyStage(start, machine),
  merkle: async (start) => (await import('./stage-merkle.ts')).buildMerkleStage(start),
  lens: async (start, machine) => (await import('./stage-lens.ts')).buildLensStage(start, machine),
  feed: async (start, machine) => (await import('./feed.ts')).buildFeedStage(start, machine),
  scrub: async (start) => (await import('./scrub.ts')).buildScrubStage(start),
  tlog: async (start, machine) => (await import('./tlog.ts')).buildTlogStage(start, machine),
}
