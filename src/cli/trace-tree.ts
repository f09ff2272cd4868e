import type { Trace } from '../client/client.ts'
import { cutText, objectText, printable, shortKey, shortId, type ShowId } from './words.ts'

/** A trace as a tree for people: pure, line by line. */

type Node = Trace['nodes'][number]
type Edge = Trace['edges'][number]
type Kind = Edge['kind']

/** How text is set off; each takes text and gives text. */
export interface Paint {
  readonly strong: (text: string) => string
  readonly faint: (text: string) => string
  readonly alarm: (text: string) => string
}

const escape = (on: number, off: number) => (text: string): string => `\u001b[${on}m${text}\u001b[${off}m`
export const COLOURS: Paint = Object.freeze({ strong: escape(1, 22), faint: escape(2, 22), alarm: escape(31, 39) })
const plain = (text: string): string => text
export const PLAIN: Paint = Object.freeze({ strong: plain, faint: plain, alarm: plain })

/** What an edge says, read from its start, and read from its end. */
const WORDS: Readonly<Record<Kind, readonly [forward: string, backward: string]>> = {
  parent: ['follows', 'followed by'],
  supersedes: ['takes the place of', 'its place was taken by'],
  asserted_by: ['asserted by', 'asserted'],
  cites: ['cites', 'also cited by'],
  in_epoch: ['in epoch', 'epoch of'],
  votes_on: ['votes on', 'vote'],
  registers: ['registers', 'registered as'],
  judges: ['judges', 'judged by'],
  equivocates: ['CONTRADICTS ITSELF', 'CONTRADICTS ITSELF'],
}
const ORDER: readonly Kind[] = ['equivocates', 'asserted_by', 'parent', 'supersedes', 'in_epoch', 'votes_on', 'cites', 'registers', 'judges']

interface Branch {
  readonly words: string
  readonly kind: Kind
  readonly name: string
}

const nameOf = ({ node, id }: Node): string => `${node}:${id}`

/** Edges by the names of both their ends, in the order in which they are shown. */
function branchesOf(edges: readonly Edge[]): Map<string, Branch[]> {
  const branches = new Map<string, Branch[]>()
  const put = (at: string, branch: Branch): void => void branches.set(at, [...(branches.get(at) ?? []), branch])
  for (const { from, to, kind } of edges) {
    // A newer node may know more kinds.
    const [forward, backward] = (WORDS as Readonly<Record<string, readonly [string, string]>>)[kind] ?? [printable(kind), printable(kind)]
    put(from, { words: forward, kind, name: to })
    put(to, { words: backward, kind, name: from })
  }
  for (const list of branches.values()) list.sort((a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind))
  return branches
}

/** Lines of the tree: each node once, below one that is a step nearer to the start. */
export function treeOf(trace: Trace, paint: Paint, showId: ShowId = shortId): string[] {
  const nodes = new Map(trace.nodes.map((node) => [nameOf(node), node]))
  const branches = branchesOf(trace.edges)
  const placed = new Set<string>()
  const lines: string[] = []
  const place = (node: Node, label: string, first: string, rest: string): void => {
    placed.add(nameOf(node))
    lines.push(first + label + describe(node, paint, showId))
    // Several edges may lead to one node: it stands once, with the words of all.
    const below = new Map<Node, string[]>()
    for (const branch of branches.get(nameOf(node)) ?? []) {
      const child = nodes.get(branch.name)
      if (child === undefined || child.depth !== node.depth + 1 || placed.has(branch.name)) continue
      const words = branch.kind === 'equivocates' ? paint.alarm(branch.words) : paint.faint(wordsFor(branch, child))
      below.set(child, [...(below.get(child) ?? []), words])
    }
    let left = below.size
    for (const [child, words] of below) {
      const isLast = --left === 0
      place(child, `${words.join(', ')} `, rest + (isLast ? '└─ ' : '├─ '), rest + (isLast ? '   ' : '│  '))
    }
  }
  const [start] = trace.nodes
  if (start !== undefined) place(start, '', '', '')
  return lines
}

/** What follows an assertion may be a version of it, or take it back. */
function wordsFor({ words, kind }: Branch, child: Node): string {
  if (kind !== 'parent' || words !== 'followed by' || child.node !== 'assertion') return words
  const { lifecycle } = child.assertion
  return ['deprecated', 'rejected', 'retracted'].includes(lifecycle) ? `${lifecycle} by` : words
}

function describe(node: Node, paint: Paint, showId: ShowId): string {
  switch (node.node) {
    case 'assertion': return describeAssertion(node, paint, showId)
    case 'agent': {
      const trust = node.trust === undefined ? '' : `  trust ${node.trust.toFixed(2)}`
      return `${printable(node.did)}${trust}${node.equivocates ? `  ${paint.alarm('contradicts itself')}` : ''}`
    }
    case 'source': return `source ${showId(node.id)}${node.uris.length === 0 ? '' : `  ${printable(node.uris.join(' '))}`}`
    case 'missing': return `${showId(node.id)}  ${paint.faint('(not on this node)')}`
  }
}

function describeAssertion(node: Node & { node: 'assertion' }, paint: Paint, showId: ShowId): string {
  const { subject, predicate, object, confidence, lifecycle, agent, note } = node.assertion
  const id = paint.faint(showId(node.id))
  const what = objectText(object)
  const reason = note === undefined ? '' : `  ${paint.faint(cutText(printable(note), 80))}`
  if (node.record === 'vote') return `${Number(object.value) > 0 ? '+' : ''}${what} by ${shortKey(agent)}  ${id}${reason}`
  if (node.record === 'epoch') return `${paint.strong(what)}${node.superseded === true ? paint.alarm('  superseded') : ''}  ${id}${reason}`
  if (node.record === 'source') return `${paint.strong(what)}  ${id}`
  const votes = node.votes === undefined || node.votes.agree + node.votes.disagree === 0 ? ''
    : `  ${node.votes.agree} for (${round(node.votes.agree_weight)}), ${node.votes.disagree} against (${round(node.votes.disagree_weight)})`
  const gone = node.stands === false ? `  ${paint.alarm(printable(node.why ?? 'does not count'))}` : ''
  return `${paint.strong(`${printable(subject)}  ${printable(predicate)}  ${what}`)}  ${printable(String(confidence))}  ${printable(lifecycle)}  ${shortKey(agent)}${votes}  ${id}${gone}${reason}`
}

const round = (value: number): string => String(Math.round(value * 100) / 100)
