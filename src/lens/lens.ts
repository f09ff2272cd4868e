import type { Hlc } from '../base/hlc.ts'
import type { Assertion } from '../record/assertion.ts'

/** What a lens looks at beside its candidates: records about them, and which agents contradict themselves, whatever is left of what they say. */
export type LensNeed = 'votes' | 'trust' | 'epochs' | 'equivocators'

/**
 * A lens decides at read time what contradicting claims come to. It is a pure function of the candidates and the context, so
 * that every node with the same assertions gives the same answer:
 *
 * - **order-independent**: any permutation, any duplication of the candidates gives the same resolution;
 * - **total**: an empty set and every tie have a defined answer; the last resort of a tie is the id;
 * - it never looks at an LSN, which is another one on every node.
 */
export interface Lens {
  /** What a query names. */
  readonly name: string
  /** How it decides, in a sentence for a person. */
  readonly description: string
  /**
   * `stamps`: it looks at HLC and id only, so that no claim has to be read but the winner's. `claims`: it looks at the
   * assertions too.
   */
  readonly reads: 'stamps' | 'claims'
  /** What must be in the context. Absent: nothing. */
  readonly needs?: readonly LensNeed[]
  /**
   * Predicates of one subject that belong together: a query that names none of them gives the lens the candidates of all as one set.
   */
  readonly gathers?: readonly string[]
  /** It looks at the newest candidates and no others, so that it has no use for older ones of a better tier. */
  readonly newestOnly?: true
  /** It counts sources, so that one more of another source matters more than a thousand of those that it has. */
  readonly countsSources?: true
  /** The answers do not compete: all hold together, and no candidate of one has lost to that of another. */
  readonly sidesHold?: true
  /** Supporters of an answer are those that give the winner's value. Otherwise: those that are as good by the lens's measure. */
  readonly byValue?: true
  /** What a candidate weighs by itself, for an explanation. Absent: the lens weighs nothing. */
  readonly weigh?: (candidate: Candidate, context: LensContext) => number
  /** Why a candidate lost to the winner, in a sentence, for an explanation. */
  readonly whyLost?: (candidate: Candidate, winner: Candidate, context: LensContext) => string
  /**
   * Set where `resolve` gives the latest candidate and nothing else, whatever the context: why it won. Who has the candidates in order need not
   * ask `resolve`.
   */
  readonly whyLatest?: (hlc: Hlc) => string
  /** Never throws. The winners are elements of `candidates`. */
  resolve<C extends Candidate>(candidates: readonly C[], context: LensContext): Resolution<C>
}

/** One assertion about the subject and predicate in question. */
export interface Candidate {
  /** Of a lens that reads `stamps`: at least the first 8 bytes, as many for all. Otherwise all 32. */
  readonly id: Uint8Array
  readonly hlc: Hlc
  /** Set for a lens that reads `claims`. */
  readonly assertion?: Assertion
}

/** What an assertion's votes come to: one vote an agent, its last. */
export interface VoteTally {
  /** Sums of the weights, 0..1 each, of those who agree and of those who disagree. */
  readonly agreeWeight: number
  readonly disagreeWeight: number
  readonly agreeCount: number
  readonly disagreeCount: number
}

/** What is the same for all candidates of one query. */
export interface LensContext {
  /** The moment that the question is about: the node's wall clock, or that of `as_of`. */
  readonly nowMs: number
  /** Days until confidence of a tier has halved, by tier; Infinity: it never does. Absent: no decay. */
  readonly halfLifeDays?: readonly number[]
  /** Numbers this far apart, relative to the greater magnitude, are one value. Absent: 0. */
  readonly tolerance?: number
  /** What is known of the candidates beforehand (columns.ts). It says nothing of other sets, of parts of theirs for example. */
  readonly columns?: CandidateColumns | undefined
  /** Tier 5 candidates from which a pair without any of tiers 0 to 2 is to be looked at by a person. */
  readonly escalationCount?: number
  /** Set for a lens that needs `votes`. */
  readonly votesOf?: (id: Uint8Array) => VoteTally
  /** 0..1, 0.5 where nothing is known. Set for a lens that needs `trust`. */
  readonly trustOf?: (agent: Uint8Array) => number
  /** Whether another epoch has taken this one's place. Set for a lens that needs `epochs`. */
  readonly isSuperseded?: (epoch: Uint8Array) => boolean
  /**
   * Keys, as 64 hex digits, that contradict themselves on the subject and predicate in question (equivocation.ts). Set for a lens that needs
   * `equivocators`; where it is not, that lens looks for them among its candidates.
   */
  readonly equivocators?: ReadonlySet<string> | undefined
}

/** What is the same of a set of candidates whenever it is resolved, by place. */
export interface CandidateColumns {
  /** The set: each assertion once. */
  readonly of: readonly Candidate[]
  /** With which values were compared. */
  readonly tolerance: number
  /** Candidates of one number give one value; numbers from 0 to `groupCount`. */
  readonly groups: Uint16Array
  readonly groupCount: number
  readonly confidence: Float64Array
  /** From when on a claim decays: the earlier of when it was asserted and when it was accepted. */
  readonly sinceMs: Float64Array
  /** Source classes. */
  readonly tiers: Uint8Array
  /** Independent sources (origins.ts). */
  readonly origins: Int32Array
}

export interface Resolution<C extends Candidate> {
  /**
   * By rank, the best first; empty for an empty set, and where a lens has left out every candidate. Most lenses give one. Those that show a
   * conflict give one for each side: a tier, a cluster of equal values.
   */
  readonly answers: readonly LensAnswer<C>[]
  /** 0: all agree; 1: they could not disagree more. Absent where the lens does not say. */
  readonly conflict?: number
  /** 0..1: how sure the resolution is. Absent where the lens does not say. */
  readonly certainty?: number
  /** `unanimous`, `agreed`, `contested` or `escalate`. Absent where the lens does not say. */
  readonly status?: ConflictStatus
  /** Candidates that the lens did not weigh, and why. */
  readonly leftOut?: readonly LeftOut<C>[]
  /** Where the answers are rules (constraints.ts). */
  readonly rules?: RuleLinks<C>
  /** Candidates that lost in a way that neither an answer nor `whyLost` tells: to an earlier lens of a chain, for example. */
  readonly outranked?: readonly LeftOut<C>[]
}

/** How rules belong together; each is named by its place among the answers. */
export interface RuleLinks<C extends Candidate> {
  /** What must be used, or what is forbidden, or the one instead of the other. */
  readonly rows: readonly { readonly mustUse: number | undefined, readonly forbidden: number | undefined, readonly reason: string | undefined }[]
  /** Values that are demanded and forbidden: the rule that holds, and the one that it has overruled, with the reason for that. */
  readonly conflicts: readonly { readonly holds: number, readonly overruled: LensAnswer<C> }[]
}

export interface LeftOut<C extends Candidate> {
  readonly candidate: C
  readonly why: string
}

export type ConflictStatus = 'unanimous' | 'agreed' | 'contested' | 'escalate'

export interface LensAnswer<C extends Candidate> {
  /** Which side this is (a tier, a value); empty where there is one answer only. */
  readonly label: string
  readonly winner: C
  /**
   * What the lens could not tell from the winner, the winner among them: what the next lens of a chain chooses from. No
   * order is promised.
   */
  readonly supporters: readonly C[]
  /** What this side weighs, and its part of all sides (0..1). */
  readonly weight?: number
  readonly share?: number
  /** Independent sources among the supporters. */
  readonly sources?: number
  /** Conflict inside this side, 0..1. */
  readonly conflict?: number
  /** Why it won, in a sentence that a person understands. */
  readonly why: string
}
