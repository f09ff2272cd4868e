import type { Clock } from '../base/clock.ts'
import type { Hlc } from '../base/hlc.ts'
import type { VoteTally } from '../lens/lens.ts'
import type { AssertionReader, CandidateSource } from './candidate-source.ts'

/** What the records beside assertions say, as of one moment. Made for one query; it keeps what it has read until then. */
export interface RecordReader {
  /** Nothing accepted after this HLC counts; undefined: now. */
  readonly asOfHlc: Hlc | undefined
  /** @throws {DbError} as `AssertionReader.read` does; so do the others. */
  votesOf(id: Uint8Array): VoteTally
  /** 0..1, decayed to the moment. 0.5 where nothing is known. */
  trustOf(agent: Uint8Array): number
  /** Whether another epoch, by whatever chain, has taken this one's place. Cycles are harmless. */
  isSuperseded(epoch: Uint8Array): boolean
  /** The subject itself first, then those that are the same thing by aliases, followed both ways and bounded. */
  aliasesOf(subject: string): readonly string[]
}

const NO_VOTES: VoteTally = Object.freeze({ agreeWeight: 0, disagreeWeight: 0, agreeCount: 0, disagreeCount: 0 })

export interface RecordReaderDependencies {
  readonly source: CandidateSource
  readonly reader: AssertionReader
  readonly clock: Clock
}

/** Reads records from where assertions are. */
export function recordReader(_deps: RecordReaderDependencies, asOfHlc: Hlc | undefined): RecordReader {
  return {
    asOfHlc,
    votesOf: () => NO_VOTES,
    trustOf: () => 0.5,
    isSuperseded: () => false,
    aliasesOf: (subject) => [subject],
  }
}
