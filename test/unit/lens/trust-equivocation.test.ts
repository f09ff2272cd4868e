import fc from 'fast-check'
import t from 'tap'
import { toHex } from '../../../src/base/bytes.ts'
import { hlcOf } from '../../../src/base/hlc.ts'
import { equivocatorsOf } from '../../../src/lens/equivocation.ts'
import type { Candidate, LensContext } from '../../../src/lens/lens.ts'
import { trustAuthorityLens } from '../../../src/lens/lens-trust-authority.ts'
import { lensOf } from '../../../src/lens/registry.ts'
import { VERDICT_LEFT_OUT, VERDICT_WON, verdictsOf } from '../../../src/lens/verdicts.ts'
import type { Assertion } from '../../../src/record/assertion.ts'
import { assertionIdOf, hashReady } from '../../../src/record/claim.ts'
import { assertionOf } from '../record/arbitrary.ts'

await hashReady

const key = (n: number): Uint8Array => new Uint8Array(32).fill(n)
let now = 1_800_000_000_000
function said(object: number, change: Partial<Assertion> = {}): Candidate {
  const assertion = assertionOf({ object: { kind: 'number', value: object }, ...change })
  return { id: assertionIdOf(assertion), hlc: hlcOf(now++), assertion }
}
const context: LensContext = { nowMs: now + 1000, trustOf: (agent) => agent[0]! / 10 }
const winnerOf = (candidates: readonly Candidate[]): Candidate | undefined => trustAuthorityLens.resolve(candidates, context).answers[0]?.winner

t.test('who says two things of one time is left out while anybody else has spoken', async (t) => {
  const [lie, other] = [said(1, { agent: key(9), confidence: 1 }), said(2, { agent: key(9), confidence: 1 })]
  const honest = said(3, { agent: key(1), confidence: 0.1 })
  t.equal(winnerOf([lie, honest]), lie, 'one word of it is trusted')
  t.equal(winnerOf([lie, other, honest]), honest)
  const resolution = trustAuthorityLens.resolve([other, honest, lie, other], context)
  t.strictSame(new Set(resolution.leftOut?.map(({ candidate }) => candidate)), new Set([lie, other]))
  const judged = verdictsOf(trustAuthorityLens, [lie, other, honest], [], resolution, context)
  t.strictSame(judged.map(({ verdict, weight }) => [verdict, weight]), [[VERDICT_WON, 0.1 * 0.1], [VERDICT_LEFT_OUT, 0], [VERDICT_LEFT_OUT, 0]]
    .map(([verdict, weight]) => [verdict, verdict === VERDICT_WON ? judged[0]!.weight : weight]))
  t.match(judged[1]!.why, /two things of one time/)
})

t.test('where nobody else has, the last claim is shown, with no weight', async (t) => {
  const [lie, other] = [said(1, { agent: key(9) }), said(2, { agent: key(9) })]
  const { answers } = trustAuthorityLens.resolve([other, lie], context)
  t.match(answers, [{ weight: 0, supporters: { length: 2 } }])
  t.equal(answers[0]!.winner, other)
  t.strictSame(trustAuthorityLens.resolve([], context), { answers: [] })
})

t.test('who knows more than the candidates says who equivocates, also in a chain', async (t) => {
  const lie = said(1, { agent: key(9), confidence: 1, sourceClass: 0 })
  const other = said(2, { agent: key(9), confidence: 1, sourceClass: 3 })
  const honest = said(3, { agent: key(1), confidence: 0.1, sourceClass: 0 })
  const chain = lensOf('authority,trust-authority')
  t.strictSame(chain.needs, ['trust', 'equivocators'])
  t.equal(chain.resolve([lie, other, honest], context).answers[0]!.winner, lie, 'among what authority has left, it said one thing')
  const told = { ...context, equivocators: equivocatorsOf([lie, other, honest]) }
  t.equal(chain.resolve([lie, other, honest], told).answers[0]!.winner, honest)
  t.equal(trustAuthorityLens.resolve([lie, honest], told).answers[0]!.winner, honest)
  t.equal(trustAuthorityLens.resolve([lie, other, honest], { ...context, equivocators: new Set() }).answers[0]!.winner, other, 'what is told is what counts')
})

t.test('any order and duplication: the same, and an honest one wins wherever there is one', async (t) => {
  const draft = fc.record({ object: fc.integer({ min: 0, max: 2 }), agent: fc.integer({ min: 1, max: 3 }), at: fc.integer({ min: 0, max: 2 }) })
  fc.assert(fc.property(fc.array(draft, { minLength: 1, maxLength: 8 }), fc.infiniteStream(fc.nat()), (drafts, stream) => {
    const candidates = drafts.map(({ object, agent, at }) => said(object, { agent: key(agent), assertedAtMs: at }))
    const shuffled = [...candidates, candidates[0]!].map((candidate) => ({ candidate, rank: stream.next().value as number }))
      .sort((a, b) => a.rank - b.rank).map(({ candidate }) => candidate)
    const winner = winnerOf(candidates)!
    t.strictSame(toHex(winnerOf(shuffled)!.id), toHex(winner.id))
    const liars = new Set(candidates.filter((a) => candidates.some((b) => a.assertion!.agent[0] === b.assertion!.agent[0]
      && a.assertion!.assertedAtMs === b.assertion!.assertedAtMs && a.assertion!.object.value !== b.assertion!.object.value)).map(({ assertion }) => assertion!.agent[0]))
    const isAllLies = candidates.every(({ assertion }) => liars.has(assertion!.agent[0]))
    t.equal(liars.has(winner.assertion!.agent[0]), isAllLies)
  }), { numRuns: 200 })
})
