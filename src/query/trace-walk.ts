import { bytesEqual, toHex } from '../base/bytes.ts'
import type { Hlc } from '../base/hlc.ts'
import { contradictionsOf, equivocationsOf, equivocatorsOf, type Equivocation } from '../lens/equivocation.ts'
import { MiB } from '../base/units.ts'
import { standing } from '../lens/standing.ts'
import { agentToDidKey } from '../record/agent-key.ts'
import { assertionToJson } from '../record/assertion.json.ts'
import {
  EPOCH_PREDICATE, SOURCE_PREDICATE, VOTE_PREDICATE, epochSubject, recordOf, sourceSubject, voteSubject, type StemeRecord,
} from '../record/records.ts'
import type { KindDependencies } from './kinds/kind.ts'
import { PAIR_BYTES_MAX, PAIR_CLAIMS_MAX, readPair, type PairClaim, type PairClaims } from './pair-claims.ts'
import type { RecordReader } from './record-reader.ts'
import { signedByText, type ReadAssertion } from './statement.ts'
import { TraceGraph, type AssertionNode, type TraceNode, type VotesJson } from './trace-graph.ts'

/** Claims that one trace reads, over all pairs together. */
export const TRACE_CLAIMS_READ_MAX = 3_000
/** And bytes of theirs that are kept until its end. */
export const TRACE_CLAIM_BYTES_MAX = 32 * MiB
/** Votes on one assertion that become nodes: the last ones. The tally counts all. */
export const TRACE_VOTES_MAX = 32
/** Agents whose trust is looked up. */
export const TRACE_AGENTS_MAX = 64
/** A text or note is shortened to so many UTF-16 units: `GET /v1/assertions/{id}` has the whole. */
export const TRACE_TEXT_LENGTH_MAX = 1024

const utf8 = new TextEncoder()

/** A pair that has been read, with what contradicts itself in it. */
interface TracedPair extends PairClaims {
  readonly equivocations: readonly Equivocation<PairClaim>[]
  readonly equivocators: ReadonlySet<string>
}

/** An assertion in the graph that is to be looked around from. */
interface Visit {
  readonly node: TraceNode
  /** Of an assertion; of a source, the one that cites it. */
  readonly of: ReadAssertion
}

/**
 * Walks from an assertion to all that bears on it, breadth first: to its parents, to the versions and changes that name it, to who
 * asserted it, its source and what else of its pair cites that, its epoch and what has superseded it, the votes on it, and to what the same key
 * said otherwise at the same time. Everything is as of one moment.
 */
export class TraceWalk {
  readonly graph: TraceGraph
  /** Assertions and sources that were not looked around from, because that is as far as was asked. */
  unexpanded = 0
  readonly #deps: KindDependencies
  readonly #asOfHlc: Hlc | undefined
  readonly #records: RecordReader
  readonly #pairs = new Map<string, TracedPair>()
  /** What those that were looked around from contradict, in the order of their visit. */
  readonly #twins = new Map<string, Equivocation<PairClaim>>()
  #queue: Visit[] = []
  #claimsLeft = TRACE_CLAIMS_READ_MAX
  #bytesLeft = TRACE_CLAIM_BYTES_MAX
  #agentsLeft = TRACE_AGENTS_MAX

  constructor(deps: KindDependencies, asOfHlc: Hlc | undefined, bytesMax: number) {
    this.#deps = deps
    this.#asOfHlc = asOfHlc
    this.#records = deps.records(asOfHlc)
    this.graph = new TraceGraph(bytesMax)
  }

  /** False where there is no such assertion. @throws {DbError} as reads do */
  walk(id: Uint8Array, depthMax: number): boolean {
    const start = this.#load(id)
    if (start === undefined) return false
    this.#assertion(start, 0)
    while (this.#queue.length > 0) {
      const visits = this.#queue
      this.#queue = []
      for (const visit of visits) {
        if (visit.node.depth === depthMax) this.unexpanded++
        else if (visit.node.node === 'source') this.#aroundSource(visit)
        else this.#aroundAssertion(visit)
      }
    }
    this.#tellStanding()
    for (const node of this.graph.nodes) {
      if (node.node === 'agent') node.equivocates = [...this.#pairs.values()].some(({ equivocators }) => equivocators.has(node.id))
    }
    return true
  }

  #tellStanding(): void {
    for (const { claims } of this.#pairs.values()) {
      const { standing: those, leftOut } = standing(claims)
      for (const { id } of those) this.#tell(id, true)
      for (const { candidate: { id }, why } of leftOut) this.#tell(id, false, why)
    }
  }

  #tell(id: Uint8Array, stands: boolean, why?: string): void {
    const node = this.graph.get(`assertion:${toHex(id)}`)
    // Of a record it is not standing that counts, but whether it is the last word of its agent.
    if (node?.node !== 'assertion' || node.record !== undefined) return
    node.stands = stands
    if (why !== undefined) node.why = why
  }

  /** Pairs in which a node of the graph contradicts what its key has said: those of the start first. */
  equivocations(): Equivocation<PairClaim>[] {
    const isShown = ({ id }: PairClaim): boolean => this.graph.get(`assertion:${toHex(id)}`) !== undefined
    const all = new Map(this.#twins)
    for (const { equivocations } of this.#pairs.values()) {
      for (const pair of equivocations) if (isShown(pair.first) || isShown(pair.second)) all.set(keyOf(pair), pair)
    }
    return [...all.values()]
  }

  #aroundAssertion({ node, of }: Visit): void {
    const { assertion, stored: { id } } = of
    const depth = node.depth + 1
    const record = recordOf(assertion)
    const { parent, epoch, sourceHash } = assertion
    this.#link(node, this.#agent(assertion.agent, depth), 'asserted_by')
    if (parent !== undefined) this.#link(node, this.#byId(parent, depth), record?.kind === 'epoch' && !record.isWithdrawn ? 'supersedes' : 'parent')
    if (epoch !== undefined) this.#link(node, this.#byId(epoch, depth), 'in_epoch')
    if (sourceHash.some((byte) => byte !== 0)) this.#link(node, this.#source(of, depth), record?.kind === 'source' ? 'registers' : 'cites')
    this.#recordOf(node, record, id, depth)
    const pair = this.#pairOf(of)
    for (const claim of pair.claims) {
      if (claim.assertion.parent === undefined || !bytesEqual(claim.assertion.parent, id)) continue
      const child = this.#assertion(claim, depth)
      if (child !== undefined) this.graph.connect(child, node, 'parent')
    }
    this.#votes(node as AssertionNode, id, depth)
    for (const twins of contradictionsOf<PairClaim>({ ...of, id, hlc: of.stored.hlc }, pair.claims)) {
      this.#twins.set(keyOf(twins), twins)
      this.#connectTwins(node, this.#assertion(bytesEqual(twins.first.id, id) ? twins.second : twins.first, depth))
    }
  }

  /** One edge for both directions: from the smaller id. */
  #connectTwins(a: TraceNode, b: TraceNode | undefined): void {
    if (b === undefined) return
    if (a.id < b.id) this.graph.connect(a, b, 'equivocates')
    else this.graph.connect(b, a, 'equivocates')
  }

  /** Votes, outcomes or epochs were counted, of which there are more. */
  get areRecordsCut(): boolean {
    return this.#records.isCut === true
  }

  /** What only records have: what a vote is on, whom an outcome judges, which epochs have taken an epoch's place. */
  #recordOf(node: TraceNode, record: StemeRecord | undefined, id: Uint8Array, depth: number): void {
    if (record?.kind === 'vote') this.#link(node, this.#byId(record.assertion, depth), 'votes_on')
    if (record?.kind === 'outcome') this.#link(node, this.#agent(record.subjectAgent, depth), 'judges')
    if (record?.kind !== 'epoch') return
    for (const claim of this.#pair(epochSubject(id), EPOCH_PREDICATE).claims) {
      const later = recordOf(claim.assertion)
      if (later?.kind !== 'epoch' || later.isWithdrawn) continue
      const child = this.#assertion(claim, depth)
      if (child !== undefined) this.graph.connect(child, node, 'supersedes')
    }
  }

  /** The last vote of each agent, newest first, and the tally of all. */
  #votes(node: AssertionNode, id: Uint8Array, depth: number): void {
    const { agreeCount, disagreeCount, agreeWeight, disagreeWeight } = this.#records.votesOf(id)
    const votes: VotesJson = { agree: agreeCount, disagree: disagreeCount, agree_weight: agreeWeight, disagree_weight: disagreeWeight }
    node.votes = votes
    const voters = new Set<string>()
    let shown = 0
    for (const claim of this.#pair(voteSubject(id), VOTE_PREDICATE).claims) {
      const vote = recordOf(claim.assertion)
      const voter = toHex(claim.assertion.agent)
      if (vote?.kind !== 'vote' || voters.has(voter)) continue
      voters.add(voter)
      if (vote.isWithdrawn || vote.weight === 0) continue
      if (shown === TRACE_VOTES_MAX) return void this.graph.bounds.add('votes')
      const child = this.#assertion(claim, depth)
      if (child !== undefined) this.graph.connect(child, node, 'votes_on')
      shown++
    }
  }

  #aroundSource({ node, of }: Visit): void {
    const { sourceHash } = of.assertion
    const depth = node.depth + 1
    for (const claim of this.#pair(sourceSubject(sourceHash), SOURCE_PREDICATE).claims) {
      const registration = this.#assertion(claim, depth)
      if (registration !== undefined) this.graph.connect(registration, node, 'registers')
    }
    if (recordOf(of.assertion) !== undefined) return
    for (const claim of this.#pairOf(of).claims) {
      if (!bytesEqual(claim.assertion.sourceHash, sourceHash)) continue
      const citing = this.#assertion(claim, depth)
      if (citing !== undefined) this.graph.connect(citing, node, 'cites')
    }
  }

  #link(from: TraceNode, to: TraceNode | undefined, kind: Parameters<TraceGraph['connect']>[2]): void {
    if (to !== undefined) this.graph.connect(from, to, kind)
  }

  // ---- nodes: those that are there, or new ones where there is room ----

  #byId(id: Uint8Array, depth: number): TraceNode | undefined {
    const hex = toHex(id)
    const known = this.graph.get(`assertion:${hex}`) ?? this.graph.get(`missing:${hex}`)
    if (known !== undefined) return known
    const found = this.#load(id)
    if (found !== undefined) return this.#assertion(found, depth)
    return this.#added({ node: 'missing', id: hex, depth })
  }

  #assertion(of: ReadAssertion, depth: number): TraceNode | undefined {
    const id = toHex(of.stored.id)
    const known = this.graph.get(`assertion:${id}`)
    if (known !== undefined) return known
    const { lsn, hlc } = of.stored
    const record = recordOf(of.assertion)
    const node = this.#added({
      node: 'assertion', id, depth, lsn, hlc: String(hlc), signed_by: signedByText(of.stored),
      ...(record === undefined ? {} : { record: record.kind }),
      ...(record?.kind === 'epoch' ? { superseded: this.#records.isSuperseded(of.stored.id) } : {}),
      ...abridged(of),
    })
    if (node !== undefined) this.#queue.push({ node, of })
    return node
  }

  #agent(key: Uint8Array, depth: number): TraceNode | undefined {
    const id = toHex(key)
    const known = this.graph.get(`agent:${id}`)
    if (known !== undefined) return known
    if (this.#agentsLeft === 0) this.graph.bounds.add('agents')
    const trust = this.#agentsLeft > 0 ? { trust: this.#records.trustOf(key) } : {}
    this.#agentsLeft = Math.max(0, this.#agentsLeft - 1)
    return this.#added({ node: 'agent', id, depth, did: agentToDidKey(key), ...trust, equivocates: false })
  }

  #source(of: ReadAssertion, depth: number): TraceNode | undefined {
    const { sourceHash, sourceUri } = of.assertion
    const id = toHex(sourceHash)
    const known = this.graph.get(`source:${id}`)
    if (known !== undefined) return known
    const node = this.#added({ node: 'source', id, depth, uris: sourceUri === undefined ? [] : [sourceUri] })
    if (node !== undefined) this.#queue.push({ node, of })
    return node
  }

  #added(node: TraceNode): TraceNode | undefined {
    return this.graph.add(node) ? node : undefined
  }

  // ---- reads ----

  #load(id: Uint8Array): ReadAssertion | undefined {
    const place = this.#deps.source.byId(id)
    if (place === undefined || (this.#asOfHlc !== undefined && place.hlc > this.#asOfHlc)) return undefined
    const stored = this.#deps.reader.read(place)
    return { place, stored, assertion: stored.assertion }
  }

  #pairOf({ assertion: { subject, predicate } }: ReadAssertion): TracedPair {
    return this.#pair(subject, predicate)
  }

  #pair(subject: string, predicate: string): TracedPair {
    const key = `${subject}\0${predicate}`
    const known = this.#pairs.get(key)
    if (known !== undefined) return known
    const range = { subject: utf8.encode(subject), predicate: utf8.encode(predicate), asOfHlc: this.#asOfHlc }
    const read = readPair(this.#deps, range, { claimsMax: Math.min(PAIR_CLAIMS_MAX, this.#claimsLeft), bytesMax: Math.min(PAIR_BYTES_MAX, this.#bytesLeft) })
    this.#claimsLeft -= read.claims.length
    this.#bytesLeft -= read.bytes
    if (read.cut) this.graph.bounds.add(this.#claimsLeft === 0 || this.#bytesLeft <= 0 ? 'claims' : 'pair')
    const pair = { ...read, equivocations: equivocationsOf(read.claims).pairs, equivocators: equivocatorsOf(read.claims) }
    this.#pairs.set(key, pair)
    return pair
  }
}

const keyOf = ({ first, second }: Equivocation<PairClaim>): string => toHex(first.id) + toHex(second.id)

/** The claim as JSON, with what may be long cut down. */
function abridged({ assertion }: ReadAssertion): Pick<AssertionNode, 'assertion' | 'abridged'> {
  const { vector, ...json } = assertionToJson(assertion)
  const { value } = json.object
  const cut: string[] = []
  if (vector !== undefined) cut.push('vector')
  if (typeof value === 'string' && value.length > TRACE_TEXT_LENGTH_MAX) {
    json.object = { ...json.object, value: shortened(value) }
    cut.push('object')
  }
  if (json.note !== undefined && json.note.length > TRACE_TEXT_LENGTH_MAX) {
    json.note = shortened(json.note)
    cut.push('note')
  }
  return { assertion: json, ...(cut.length === 0 ? {} : { abridged: cut }) }
}

/** Not within a pair of surrogates. */
function shortened(text: string): string {
  const cut = text.slice(0, TRACE_TEXT_LENGTH_MAX)
  return /[\ud800-\udbff]$/.test(cut) ? cut.slice(0, -1) : cut
}
