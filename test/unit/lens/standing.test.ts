import fc from 'fast-check'
import t from 'tap'
import { compareBytes } from '../../../src/base/bytes.ts'
import { standing } from '../../../src/lens/standing.ts'
import { lifecycleNumber, type Lifecycle } from '../../../src/record/assertion.ts'
import { candidateLists, digest, digestOf, nameOf, says, type FullCandidate } from '../../support/lens-candidates.ts'

/** `n` counts backward in time: a smaller one was accepted later. */
const child = (n: number, parent: FullCandidate, lifecycle: Lifecycle, object = 'a', agent = 100): FullCandidate =>
  says(n, object, { parent: parent.id, lifecycle, agent: digest(agent) })

const standingOf = (...list: FullCandidate[]): string[] => standing(list).standing.map(({ id }) => String(new DataView(id.buffer).getUint32(0, true))).sort()
const whysOf = (...list: FullCandidate[]): string[] => standing(list).leftOut.map(({ why }) => why).sort()

const claim = says(50, 'a')
const other = says(60, 'b', { agent: digest(101) })

t.test('where nothing changes anything, all stand', async (t) => {
  const list = [claim, other]
  t.equal(standing(list).standing, list, 'the array itself')
  t.strictSame(standing([]).standing, [])
  t.strictSame(standingOf(claim, says(7, 'a', { parent: digest(9) })), ['50', '7'], 'a parent that is not here')
})

t.test('what a new version has taken the place of, unless it was taken back', async (t) => {
  const replacedOf = (...list: FullCandidate[]): string[] => standing(list).replaced.map(nameOf)
  const second = child(40, claim, 'proposed', 'b')
  t.strictSame(replacedOf(claim, other), [])
  t.strictSame(replacedOf(claim, second, other), [nameOf(claim)])
  t.strictSame(replacedOf(claim, child(40, claim, 'approved')), [], 'a change of lifecycle replaces nothing')
  const back = child(30, claim, 'retracted')
  t.strictSame(replacedOf(claim, second, back), [], 'taken back as well')
  t.strictSame(replacedOf(claim, second, back, child(20, claim, 'approved')), [nameOf(claim)], 'and not any more')
  t.strictSame(replacedOf(claim, second, child(30, second, 'retracted')), [nameOf(claim)], 'whatever becomes of the version')
})

for (const lifecycle of ['deprecated', 'rejected', 'retracted'] as const) {
  t.test(`${lifecycle} takes back`, async (t) => {
    const change = child(40, claim, lifecycle, 'anything')
    t.strictSame(standingOf(claim, other, change), ['60'])
    t.strictSame(whysOf(claim, other, change), [`It says that its parent is ${lifecycle}.`, `Its agent has made it ${lifecycle}.`])
    t.strictSame(standingOf(claim, child(40, claim, lifecycle, 'a', 101)), ['50'], 'another agent takes back nothing, and is no candidate either')
    t.strictSame(standingOf(child(40, claim, lifecycle)), [], 'without what it takes back, too')
    t.strictSame(whysOf(says(3, 'a', { lifecycle })), [`It is ${lifecycle}.`])
    for (const [subject, predicate] of [['s', 'q'], ['r', 'p']] as const) {
      t.strictSame(standingOf(claim, says(4, 'a', { parent: claim.id, lifecycle, subject, predicate })), ['50'], 'only of one subject and predicate')
    }
  })
}

t.test('a change of lifecycle: the claim stands, with it', async (t) => {
  const review = child(40, claim, 'under_review')
  const approval = child(30, claim, 'approved')
  const { standing: stands, lifecycles, leftOut } = standing([review, claim, approval])
  t.strictSame(stands, [claim])
  t.strictSame([...lifecycles], [[claim, 'approved']], 'the last one counts')
  t.strictSame(leftOut.map(({ why }) => why), ['It says of its parent, which stands for it, that it is under review.', 'It says of its parent, which stands for it, that it is approved.'])
  const later = child(20, review, 'approved')
  t.strictSame([...standing([later, review, claim]).lifecycles], [[claim, 'approved']], 'who changes a change means the claim')
  t.strictSame(standingOf(later, review), ['40'], 'without the claim, its change is one')
  const same = child(10, says(50, 'a', { lifecycle: 'approved' }), 'approved')
  t.equal(standing([same, says(50, 'a', { lifecycle: 'approved' })]).lifecycles.size, 0)
})

t.test('taking back and changing: the last one counts', async (t) => {
  const withdrawal = child(40, claim, 'deprecated')
  t.strictSame(standingOf(claim, withdrawal, child(30, claim, 'approved')), ['50'], 'approved again')
  t.strictSame(standingOf(claim, withdrawal, child(30, withdrawal, 'approved')), ['50'], 'by naming the withdrawal')
  t.strictSame(standingOf(claim, withdrawal, child(45, claim, 'approved')), [], 'approved before')
  const approval = child(30, claim, 'approved')
  t.strictSame(standingOf(claim, approval, child(20, approval, 'retracted')), [], 'who takes back the approval takes back the claim')
})

t.test('a new version takes the place of the old one', async (t) => {
  const second = child(40, claim, 'proposed', 'b')
  t.strictSame(standingOf(claim, second), ['40'])
  t.strictSame(whysOf(claim, second), ['Its agent has a newer version.'])
  t.strictSame(standingOf(claim, second, child(30, second, 'approved', 'c')), ['30'], 'and so on')
  t.strictSame(standingOf(claim, second, child(30, second, 'retracted')), [], 'the old one does not come back')
  t.strictSame(standingOf(claim, child(40, claim, 'proposed', 'a')), ['40'], 'the same, proposed anew')
  t.strictSame(standingOf(claim, child(40, claim, 'approved', 'b')), ['40'], 'another object, approved at once')
  t.strictSame(standingOf(claim, child(40, claim, 'approved', 'b', 101)), ['40', '50'], 'of another agent: a claim of its own')
  t.strictSame(standingOf(claim, second, child(30, claim, 'approved', 'd')).length, 2, 'two versions of one stand both')
  t.strictSame(standingOf(says(5, 'a', { lifecycle: 'rejected' }), child(4, says(5, 'a', { lifecycle: 'rejected' }), 'approved')), ['4'], 'what never counted has no lifecycle to change')
})

t.test('a long chain of changes is followed, and a ring is harmless', async (t) => {
  const chain = [claim]
  for (let n = 49; n > 0; n--) chain.push(child(n, chain[chain.length - 1]!, n === 1 ? 'approved' : 'under_review'))
  t.strictSame([...standing(chain.reverse()).lifecycles], [[claim, 'approved']])
  const ring = [1, 2, 3].map((n) => says(n, 'a', { id: digestOf(n), parent: digestOf(n % 3 + 1), lifecycle: 'approved' }))
  t.strictSame(standingOf(...ring), ['1', '2', '3'])
  t.strictSame(standingOf(...ring, says(4, 'b', { parent: digestOf(1) })), ['2', '3', '4'])
})

/** By the rules, without a thought for speed; rings of parents aside. */
function plain(list: readonly FullCandidate[]): string[] {
  const takesBack = ({ assertion }: FullCandidate): boolean => lifecycleNumber(assertion.lifecycle) > 3
  const kind = (one: FullCandidate): [string, FullCandidate] => {
    const parent = list.find(({ id, assertion }) => one.assertion.parent !== undefined && compareBytes(id, one.assertion.parent) === 0
      && compareBytes(assertion.agent, one.assertion.agent) === 0 && assertion.predicate === one.assertion.predicate)
    if (parent === undefined) return ['itself', one]
    const [what, of] = kind(parent)
    const target = what === 'version' || what === 'itself' ? parent : of
    if (takesBack(target)) return ['itself', one]
    if (takesBack(one)) return ['back', target]
    const { kind: objectKind, value } = target.assertion.object
    const isSame = objectKind === one.assertion.object.kind && value === one.assertion.object.value
    return [isSame && one.assertion.lifecycle !== 'proposed' ? 'change' : 'version', target]
  }
  const later = (a: FullCandidate, b: FullCandidate): number => a.hlc === b.hlc ? compareBytes(b.id, a.id) : a.hlc > b.hlc ? -1 : 1
  return list.filter((one) => {
    const [what] = kind(one)
    if (takesBack(one) || what === 'change') return false
    const words = list.filter((word) => word !== one && kind(word)[1] === one)
    const last = words.filter((word) => kind(word)[0] !== 'version').sort(later)[0]
    return !words.some((word) => kind(word)[0] === 'version') && (last === undefined || !takesBack(last))
  }).map(nameOf).sort()
}

t.test('as the rules say, in any order, with any repetition', async (t) => {
  const lists = candidateLists.map((list) => [...new Map(list.map((one) => [one.id[0], one])).values()]
    // A parent has a smaller id: no rings.
    .map((one): FullCandidate => {
      const { parent, ...rest } = one.assertion
      return { ...one, assertion: parent !== undefined && parent[0]! < one.id[0]! ? { ...rest, parent } : rest }
    }))
  fc.assert(fc.property(lists.chain((list) => fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length }))), ([list, shuffled]) => {
    const { standing: stands, leftOut, lifecycles } = standing(list)
    t.strictSame(stands.map(nameOf).sort(), plain(list))
    t.equal(stands.length + leftOut.length, list.length)
    t.ok([...lifecycles].every(([one, lifecycle]) => stands.includes(one) && one.assertion.lifecycle !== lifecycle))
    const again = standing([...shuffled, ...list])
    t.strictSame(again.standing.map(nameOf).sort(), stands.map(nameOf).sort())
    t.strictSame(again.leftOut.map(({ why }) => why).sort(), leftOut.map(({ why }) => why).sort())
  }), { numRuns: 400 })
})
