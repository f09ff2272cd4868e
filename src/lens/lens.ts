import type { Hlc } from '../base/hlc.ts'
import type { Assertion } from '../record/assertion.ts'

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

/** What is the same for all candidates of one query. Votes, epochs and trust will join here. */
export interface LensContext {
  /** The moment that the question is about: the node's wall clock, or that of `as_of`. */
  readonly nowMs: number
}

export interface Resolution<C extends Candidate> {
  /**
   * By rank, the best first; empty for an empty set and for nothing else. Most lenses give one. Those that show a
   * conflict give one for each side: a tier, a cluster of equal values.
   */
  readonly answers: readonly LensAnswer<C>[]
  /** 0: all agree; 1: they could not disagree more. Absent where the lens does not say. */
  readonly conflict?: number
}

export interface LensAnswer<C extends Candidate> {
  /** Which side this is (a tier, a value); empty where there is one answer only. */
  readonly label: string
  readonly winner: C
  /**
   * What the lens could not tell from the winner, the winner among them: what the next lens of a chain chooses from. No
   * order is promised.
   */
  readonly supporters: readonly C[]
  /** Why it won, in a sentence that a person understands. */
  readonly why: string
}
