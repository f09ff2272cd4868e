import type { AssertionJson } from '../record/assertion.json.ts'
import type { RecordKind } from '../record/records.ts'

/** Nodes and edges of one trace. */
export const TRACE_NODES_MAX = 256
export const TRACE_EDGES_MAX = 1024

/** Which bound cut a trace. `claims`: read for all pairs together; `pair`: of one of them. */
export type TraceBound = 'nodes' | 'edges' | 'claims' | 'pair' | 'votes' | 'agents' | 'records' | 'proofs' | 'bytes'

interface AnyNode {
  /** 64 hex digits: of an assertion its id, of an agent its key, of a source its hash. */
  readonly id: string
  /** Steps from the start. */
  readonly depth: number
}
export interface AssertionNode extends AnyNode {
  readonly node: 'assertion'
  readonly lsn: number
  readonly hlc: string
  readonly signed_by: string
  /** Under `steme://`: what kind of record it is. */
  readonly record?: RecordKind
  /** Of an epoch: another one has taken its place. */
  superseded?: boolean
  /** One vote an agent. Absent where the walk did not come to it. */
  votes?: VotesJson
  /** Whether it counts among the claims of its subject and predicate. Absent where the walk did not read those. */
  stands?: boolean
  /** Why it does not. */
  why?: string
  readonly assertion: Omit<AssertionJson, 'vector'>
  /** Members that were shortened or left out. */
  readonly abridged?: readonly string[]
}
export interface VotesJson {
  readonly agree: number
  readonly disagree: number
  readonly agree_weight: number
  readonly disagree_weight: number
}
export interface AgentNode extends AnyNode {
  readonly node: 'agent'
  readonly did: string
  /** 0..1; absent where it was not looked up. */
  readonly trust?: number
  /** It contradicts itself somewhere in this trace. */
  equivocates: boolean
}
export interface SourceNode extends AnyNode {
  readonly node: 'source'
  readonly uris: readonly string[]
}
/** Named by another node, and not on this node or not at that moment. */
export interface MissingNode extends AnyNode {
  readonly node: 'missing'
}
export type TraceNode = AssertionNode | AgentNode | SourceNode | MissingNode

/**
 * What the edge from one node to another says: that it has this parent, takes this epoch's place, was asserted by, cites, belongs to
 * this epoch, is a vote on, registers this source, judges this agent, or contradicts what the same key said of the same time.
 */
export type TraceEdgeKind =
  | 'parent' | 'supersedes' | 'asserted_by' | 'cites' | 'in_epoch' | 'votes_on' | 'registers' | 'judges' | 'equivocates'

export interface TraceEdge {
  /** A node's `node` and `id`, with a colon between them: a source may have the hash of an assertion. */
  readonly from: string
  readonly to: string
  readonly kind: TraceEdgeKind
}

export const nameOf = ({ node, id }: Pick<TraceNode, 'node' | 'id'>): string => `${node}:${id}`

/** Grows within its bounds, and remembers which of them it met. */
export class TraceGraph {
  readonly edges: TraceEdge[] = []
  readonly bounds = new Set<TraceBound>()
  readonly #nodes = new Map<string, TraceNode>()
  readonly #edgeKeys = new Set<string>()
  #bytesLeft: number

  /** @param bytesMax of all nodes and edges, as JSON */
  constructor(bytesMax: number) {
    this.#bytesLeft = bytesMax
  }

  get nodes(): TraceNode[] {
    return [...this.#nodes.values()]
  }

  get(name: string): TraceNode | undefined {
    return this.#nodes.get(name)
  }

  /** False where there is no room. The node must be new. */
  add(node: TraceNode): boolean {
    if (this.#nodes.size >= TRACE_NODES_MAX) return this.#refuse('nodes')
    if (!this.makeRoom(node)) return false
    this.#nodes.set(nameOf(node), node)
    return true
  }

  /** Between nodes that are there. */
  connect(from: TraceNode, to: TraceNode, kind: TraceEdgeKind): void {
    const edge = { from: nameOf(from), to: nameOf(to), kind }
    const key = `${edge.from} ${edge.to} ${kind}`
    if (this.#edgeKeys.has(key)) return
    if (this.edges.length >= TRACE_EDGES_MAX) {
      this.#refuse('edges')
      return
    }
    if (!this.makeRoom(edge)) return
    this.#edgeKeys.add(key)
    this.edges.push(edge)
  }

  /** Whether the document has room for it; then it is taken. */
  makeRoom(value: object): boolean {
    const bytes = Buffer.byteLength(JSON.stringify(value)) + 1
    if (bytes > this.#bytesLeft) return this.#refuse('bytes')
    this.#bytesLeft -= bytes
    return true
  }

  #refuse(bound: TraceBound): false {
    this.bounds.add(bound)
    return false
  }
}
