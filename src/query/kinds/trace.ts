import { DbError } from '../../base/errors.ts'
import { toHex } from '../../base/bytes.ts'
import type { QueryRequest } from '../../fbs/stemedb/query-request.ts'
import type { EquivocationJson } from '../../merkle/statement.ts'
import { asOfField, idField, refuseParameter } from '../request-fields.ts'
import type { TraceBound, TraceEdge, TraceNode } from '../trace-graph.ts'
import { TraceWalk } from '../trace-walk.ts'
import { equivocationJson } from './equivocations.ts'
import type { KindDependencies } from './kind.ts'

export const TRACE_DEPTH_DEFAULT = 3
export const TRACE_DEPTH_MAX = 16
/** Equivocations whose proof is in the document; `GET /v1/equivocations` has all of a pair. */
export const TRACE_PROOFS_MAX = 8
/** Of all nodes and edges, as JSON. */
export const TRACE_BYTES_MAX = 1024 * 1024
/** Of the document, what the graph may fill; the rest is for its frame and for what nodes are told at the end. */
const GRAPH_PART = 0.5

export interface TraceDocument {
  readonly id: string
  /** How far it was looked. */
  readonly depth: number
  /** The start first, then by steps. */
  readonly nodes: readonly TraceNode[]
  readonly edges: readonly TraceEdge[]
  readonly equivocations: readonly EquivocationJson[]
  /** Assertions and sources at the edge, that more depth would look around from. */
  readonly unexpanded: number
  /** A bound cut it: there is more within this depth. */
  readonly truncated: boolean
  readonly bounds: readonly TraceBound[]
}

function depthField(request: QueryRequest): number {
  const depth = request.depth()
  if (depth === 0) return TRACE_DEPTH_DEFAULT
  return depth > TRACE_DEPTH_MAX ? refuseParameter('depth', `is ${depth}; the most is ${TRACE_DEPTH_MAX}`) : depth
}

/**
 * All that bears on an assertion, as a bounded graph (query/trace-walk.ts).
 * @throws {DbError} `not_found`, `parameter_invalid`, and as reads do
 */
export function traceDocument(request: QueryRequest, deps: KindDependencies): TraceDocument {
  const id = idField(request)
  const depth = depthField(request)
  const walk = new TraceWalk(deps, asOfField(request), Math.min(TRACE_BYTES_MAX, Math.floor(deps.documentBytesMax * GRAPH_PART)))
  if (!walk.walk(id, depth)) throw new DbError('not_found', 'no assertion has this id')
  const { graph, unexpanded } = walk
  const equivocations = proofsOf(walk, deps)
  if (walk.areRecordsCut) graph.bounds.add('records')
  const bounds = [...graph.bounds].sort()
  return { id: toHex(id), depth, nodes: graph.nodes, edges: graph.edges, equivocations, unexpanded, truncated: bounds.length > 0, bounds }
}

function proofsOf(walk: TraceWalk, { reader }: KindDependencies): EquivocationJson[] {
  const proofs: EquivocationJson[] = []
  for (const equivocation of walk.equivocations()) {
    if (proofs.length === TRACE_PROOFS_MAX) {
      walk.graph.bounds.add('proofs')
      break
    }
    const proof = equivocationJson(equivocation, reader)
    if (!walk.graph.makeRoom(proof)) break
    proofs.push(proof)
  }
  return proofs
}
