import { weighedClustersOf, weightsOf } from './columns.ts'
import { distinct } from './id-table.ts'
import type { Candidate, LeftOut, Lens, LensContext, Resolution } from './lens.ts'
import { isLater } from './order.ts'
import { rank } from './rank.ts'
import { valueText, type Cluster } from './value.ts'
import { claimOf, shareText, weightOf, weightText } from './weight.ts'

/** Votes are summed in whole multiples of 2^-20 (about one millionth), so that sums of thousands of millions are exact. */
const VOTE_ONE = 2 ** 20

function netVotes(candidate: Candidate, context: LensContext): number {
  const tally = context.votesOf?.(candidate.id)
  return tally === undefined ? 0 : Math.round((tally.agreeWeight - tally.disagreeWeight) * VOTE_ONE)
}

interface Box<C extends Candidate> {
  readonly cluster: Cluster<C>
  /** Votes for the value, less those against it. */
  net: number
  best: C
  bestNet: number
}

function boxOf<C extends Candidate>(cluster: Cluster<C>, context: LensContext): Box<C> {
  const box: Box<C> = { cluster, net: 0, best: cluster.best, bestNet: -Infinity }
  for (const member of cluster.members) {
    const net = netVotes(member, context)
    box.net += net
    if (net < box.bestNet || (net === box.bestNet && !isBetter(member, box.best, context))) continue
    box.best = member
    box.bestNet = net
  }
  return box
}

function isBetter(a: Candidate, b: Candidate, context: LensContext): boolean {
  const difference = weightOf(a, context) - weightOf(b, context)
  return difference > 0 || (difference === 0 && isLater(a, b))
}

/** Those whose value has as many votes as the one that won: consensus has settled it, and `whyLost` would not know. */
function losersOfTie<C extends Candidate>(best: Box<C>, boxes: readonly Box<C>[]): LeftOut<C>[] {
  return boxes.filter((box) => box !== best && box.net === best.net).flatMap(({ cluster }) => {
    const than = cluster.weight < best.cluster.weight ? 'less behind it' : 'as much behind it, heard earlier'
    const why = `Says ${valueText(claimOf(cluster.best).object)}, which has as many votes as ${valueText(claimOf(best.best).object)}, and ${than}.`
    return cluster.members.map((candidate) => ({ candidate, why }))
  })
}

/**
 * Vote-aware consensus (the ballot box of the reference): votes decide. A value has the weights of those who agree with its assertions, less
 * the weights of those who disagree; the highest wins. Ties, and so every pair on which nobody has voted, go by consensus
 * (decayed confidence), then to the value with the latest candidate. The winner is that value's assertion with
 * the highest net vote. Certainty is the winner's part of all positive net votes; 0 where nobody voted.
 */
export const ballotLens: Lens = {
  name: 'ballot',
  description: 'The value with the most votes for it, less those against it, wins; without votes, consensus.',
  reads: 'claims',
  byValue: true,
  needs: ['votes'],
  resolve<C extends Candidate>(candidates: readonly C[], context: LensContext): Resolution<C> {
    if (candidates.length === 0) return { answers: [] }
    const all = distinct(candidates, context)
    // By consensus first, which a stable sort leaves to settle ties.
    const boxes = rank(weighedClustersOf(all, context, weightsOf(all, context))).clusters.map((cluster) => boxOf(cluster, context))
    boxes.sort((a, b) => b.net - a.net)
    const first = boxes[0]!
    const { cluster, net, best } = first
    let total = 0
    for (const box of boxes) total += Math.max(0, box.net)
    const share = total > 0 ? Math.max(0, net) / total : 0
    const why = total > 0
      ? `Net votes of ${weightText(net / VOTE_ONE)}, ${shareText(share)} of all that stand for a value.`
      : 'No value has more votes for it than against it; this one has the most behind it.'
    return {
      answers: [{ label: valueText(claimOf(best).object), winner: best, supporters: cluster.members, weight: net / VOTE_ONE, share, why }],
      certainty: share,
      outranked: losersOfTie(first, boxes),
    }
  },
  weigh: (candidate, context) => netVotes(candidate, context) / VOTE_ONE,
  whyLost: (candidate, winner, context) =>
    `Says ${valueText(claimOf(candidate).object)}, which has fewer votes than ${valueText(claimOf(winner).object)};`
    + ` its own net vote is ${weightText(netVotes(candidate, context) / VOTE_ONE)}.`,
}
