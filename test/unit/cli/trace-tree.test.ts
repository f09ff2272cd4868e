import t from 'tap'
import { COLOURS, PLAIN, treeOf } from '../../../src/cli/trace-tree.ts'
import type { Trace } from '../../../src/client/client.ts'

type Node = Trace['nodes'][number]

const AGENT = 'did:key:z6MkfirstAgent'
const hex = (digit: string): string => digit.repeat(64)

function assertion(digit: string, depth: number, change: object = {}, more: object = {}): Node {
  return {
    node: 'assertion', id: hex(digit), depth, lsn: 1, hlc: '1', signed_by: 'assertion', ...more,
    assertion: {
      subject: 'drug/aspirin', predicate: 'dose', object: { type: 'number', value: 500 }, confidence: 0.9, source_class: 'clinical', source_hash: hex('0'),
      lifecycle: 'proposed', agent: AGENT, asserted_at: 0, ...change,
    },
  } as Node
}

const traceOf = (nodes: Node[], edges: [string, string, string][]): Trace => ({
  id: nodes[0]?.id ?? '', depth: 3, nodes, edges: edges.map(([from, to, kind]) => ({ from, to, kind })) as Trace['edges'],
  equivocations: [], unexpanded: 0, truncated: false, bounds: [],
})

t.test('each node once, below one that is a step nearer, with what joins them', async (t) => {
  const nodes: Node[] = [
    assertion('a', 0, {}, { votes: { agree: 1, disagree: 2, agree_weight: 0.5, disagree_weight: 1.256 } }),
    { node: 'agent', id: hex('1'), depth: 1, did: AGENT, trust: 0.5, equivocates: true },
    assertion('b', 1, { object: { type: 'number', value: 250 } }),
    assertion('c', 2, { lifecycle: 'retracted' }),
    { node: 'source', id: hex('5'), depth: 1, uris: ['https://example.org'] },
    assertion('d', 2, { object: { type: 'text', value: 'cites it too' } }),
    assertion('e', 1, { object: { type: 'number', value: 0.5 } }, { record: 'vote' }),
    assertion('f', 1, { object: { type: 'text', value: 'label of 2025' }, note: 'why' }, { record: 'epoch', superseded: true }),
    { node: 'missing', id: hex('9'), depth: 1 },
  ]
  const ref = (node: Node): string => `${node.node}:${node.id}`
  const [a, agent, b, c, source, d, e, f, missing] = nodes.map(ref) as [string, string, string, string, string, string, string, string, string]
  const trace = traceOf(nodes, [
    [a, source, 'cites'], [d, source, 'cites'], [b, a, 'parent'], [c, b, 'parent'], [e, a, 'votes_on'], [a, f, 'in_epoch'], [a, agent, 'asserted_by'],
    [b, agent, 'asserted_by'], [a, missing, 'parent'], [a, b, 'equivocates'],
  ])
  t.strictSame(treeOf(trace, PLAIN), [
    'drug/aspirin  dose  500  0.9  proposed  z6Mkfirs…  1 for (0.5), 2 against (1.26)  aaaaaaaaaaaa…',
    '├─ CONTRADICTS ITSELF, followed by drug/aspirin  dose  250  0.9  proposed  z6Mkfirs…  bbbbbbbbbbbb…',
    '│  └─ retracted by drug/aspirin  dose  500  0.9  retracted  z6Mkfirs…  cccccccccccc…',
    `├─ asserted by ${AGENT}  trust 0.50  contradicts itself`,
    '├─ follows 999999999999…  (not on this node)',
    '├─ in epoch label of 2025  superseded  ffffffffffff…  why',
    '├─ vote +0.5 by z6Mkfirs…  eeeeeeeeeeee…',
    '└─ cites source 555555555555…  https://example.org',
    '   └─ also cited by drug/aspirin  dose  cites it too  0.9  proposed  z6Mkfirs…  dddddddddddd…',
  ])
})

t.test('colours are asked for, and texts of strangers drive no terminal', async (t) => {
  const trace = traceOf([assertion('a', 0, { subject: 'x\u001b[31m', object: { type: 'text', value: 'a\nb\u0007' }, note: '\u001b]0;title' })], [])
  const [line] = treeOf(trace, PLAIN)
  // eslint-disable-next-line no-control-regex
  t.notMatch(line, /[\u0000-\u001f\u007f-\u009f]/)
  // eslint-disable-next-line no-control-regex
  t.match(treeOf(trace, COLOURS)[0], /\u001b\[1m/)
  t.strictSame(treeOf(traceOf([], []), PLAIN), [])
})
