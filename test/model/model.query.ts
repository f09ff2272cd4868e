import { compareBytes, toHex } from '../../src/base/bytes.ts'
import type { Hlc } from '../../src/base/hlc.ts'
import { lifecycleNumber, type Assertion, type ObjectValue } from '../../src/record/assertion.ts'
import type { Accepted } from './history.ts'
import { MODEL_LENSES, RULE_PREDICATES, chainOf, type Verdict } from './model.lenses.ts'
import { aliasesOf, byLateness } from './model.records.ts'
import { areEqual, isSameObject, type Moment } from './model.values.ts'

/**
 * What a query comes to, written from docs/reference/lenses.md and docs/reference/http-api.md and nothing else: the whole history is looked through for each question.
 */
export interface Question {
  readonly subject?: string
  readonly prefix?: boolean
  readonly predicate?: string
  readonly lens?: string
  readonly agent?: Uint8Array
  readonly source?: Uint8Array
  readonly epoch?: Uint8Array
  /** Bits by number. */
  readonly lifecycles?: number
  readonly tiers?: number
  readonly fromHlc?: Hlc
  readonly untilHlc?: Hlc
  readonly assertedFromMs?: number
  readonly assertedUntilMs?: number
  readonly confidenceMin?: number
  readonly object?: ObjectValue
  readonly asOfHlc?: Hlc
  readonly tolerance?: number
  readonly aliases?: boolean
}

export interface ModelAnswer {
  readonly subject: string
  readonly predicate: string
  readonly candidates: readonly Accepted[]
  readonly verdict: Verdict
  /** Number of the lifecycle that a candidate has been given since; 0: it has its own. */
  readonly givenTo: (candidate: Accepted) => number
}

/** Deprecated, rejected, retracted. */
const TAKES_BACK = 4
const PROPOSED = 1
const STANDING = 0b1110

export interface Fate {
  readonly stands: boolean
  /** It stands, or did until a new version took its place. */
  readonly isSaid: boolean
  /** Its number, as it is now. */
  readonly lifecycle: number
}

/** What a child does to the assertion that it names as its parent. */
type Deed = 'takes back' | 'changes the lifecycle' | 'is a new version'

function deedOf(child: Assertion, target: Assertion): Deed {
  const lifecycle = lifecycleNumber(child.lifecycle)
  if (lifecycle >= TAKES_BACK) return 'takes back'
  return lifecycle > PROPOSED && isSameObject(child.object, target.object) ? 'changes the lifecycle' : 'is a new version'
}

/** What an assertion changes: its parent, or where that is a change itself what that one changed; undefined for who speaks for itself. */
function targetOf({ assertion: child }: Accepted, pair: readonly Accepted[]): Accepted | undefined {
  const { parent, agent, subject } = child
  const named = parent && pair.find(({ id, assertion }) => id === toHex(parent) && toHex(assertion.agent) === toHex(agent) && assertion.subject === subject)
  if (named === undefined) return undefined
  const before = targetOf(named, pair)
  // What was never in force can not be changed.
  if (before === undefined && lifecycleNumber(named.assertion.lifecycle) >= TAKES_BACK) return undefined
  return before !== undefined && deedOf(named.assertion, before.assertion) !== 'is a new version' ? before : named
}

/** What has become of an assertion, by itself and by what its agent has said of it since, within its subject and predicate. */
export function fateOf(one: Accepted, pair: readonly Accepted[]): Fate {
  const own = lifecycleNumber(one.assertion.lifecycle)
  const target = targetOf(one, pair)
  const isChange = target !== undefined && deedOf(one.assertion, target.assertion) !== 'is a new version'
  const children = pair.filter((child) => targetOf(child, pair) === one).map((child) => ({ child, deed: deedOf(child.assertion, one.assertion) }))
  const isReplaced = children.some(({ deed }) => deed === 'is a new version')
  const [last] = children.filter(({ deed }) => deed !== 'is a new version').sort((a, b) => byLateness(a.child, b.child))
  const lifecycle = last?.deed === 'changes the lifecycle' ? lifecycleNumber(last.child.assertion.lifecycle) : own
  const isSaid = own < TAKES_BACK && !isChange && last?.deed !== 'takes back'
  return { stands: isSaid && !isReplaced, isSaid, lifecycle }
}

const hasBit = (bits: number, bit: number): boolean => (bits >> bit & 1) === 1

function isWanted(one: Accepted, pair: readonly Accepted[], question: Question): boolean {
  const { stands, lifecycle } = fateOf(one, pair)
  const wanted = question.lifecycles ?? STANDING
  const own = lifecycleNumber(one.assertion.lifecycle)
  const isThere = (stands && hasBit(wanted, lifecycle)) || (own >= TAKES_BACK && hasBit(wanted, own))
  return isThere && passes(one, question)
}

/** All filters but the lifecycle. Objects are one value where they are one to a lens. */
function passes({ assertion, hlc }: Accepted, question: Question): boolean {
  const { agent, source, epoch, tiers, fromHlc, untilHlc, assertedFromMs, assertedUntilMs, confidenceMin, object, tolerance = 0 } = question
  const isHash = (wanted: Uint8Array | undefined, found: Uint8Array | undefined): boolean => wanted === undefined || (found !== undefined && toHex(wanted) === toHex(found))
  return isHash(agent, assertion.agent) && isHash(source, assertion.sourceHash) && isHash(epoch, assertion.epoch)
    && (tiers === undefined || hasBit(tiers, assertion.sourceClass))
    && (fromHlc === undefined || hlc >= fromHlc) && (untilHlc === undefined || hlc < untilHlc)
    && (assertedFromMs === undefined || assertion.assertedAtMs >= assertedFromMs) && (assertedUntilMs === undefined || assertion.assertedAtMs < assertedUntilMs)
    && (confidenceMin === undefined || assertion.confidence >= confidenceMin)
    && (object === undefined || areEqual(object, assertion.object, tolerance))
}

const utf8 = new TextEncoder()
const keyOf = ({ subject, predicate }: Pick<Assertion, 'subject' | 'predicate'>): Uint8Array => utf8.encode(`${subject}\0${predicate}\0`)

/** Records are looked at where the subject, or its prefix, names them. */
const namesRecords = (subject: string): boolean => subject.startsWith('steme://')

/** Where a question names no tolerance, that of the node holds. */
const tolerantly = (question: Question, { tolerance }: Moment): Question => ({ ...question, tolerance: question.tolerance ?? tolerance })

/** The assertions that a question is about, by subject and predicate, in the order of the answers. */
function pairsOf(question: Question, world: readonly Accepted[]): { subject: string, predicate: string, pair: readonly Accepted[] }[] {
  const { subject = '', prefix = question.subject === undefined, predicate, aliases } = question
  const names = aliases === true ? aliasesOf(subject, world) : new Set([subject])
  const about = world.filter(({ assertion }) => (namesRecords(subject) || !namesRecords(assertion.subject)) &&
    (prefix ? assertion.subject.startsWith(subject) : names.has(assertion.subject)) && (predicate === undefined || assertion.predicate === predicate))
  const pairs = new Map<string, { subject: string, predicate: string, pair: Accepted[] }>()
  for (const accepted of about) {
    // What is said of an alias is said of the subject.
    const named = { subject: prefix ? accepted.assertion.subject : subject, predicate: accepted.assertion.predicate }
    const key = toHex(keyOf(named))
    const known = pairs.get(key)
    if (known === undefined) pairs.set(key, { ...named, pair: [accepted] })
    else known.pair.push(accepted)
  }
  return [...pairs.values()].sort((a, b) => compareBytes(keyOf(a), keyOf(b)))
}

/** Nothing accepted after the moment that is asked about. */
export const worldOf = ({ asOfHlc }: Question, all: readonly Accepted[]): readonly Accepted[] => asOfHlc === undefined ? all : all.filter(({ hlc }) => hlc <= asOfHlc)

/** Who names no subject but an agent or a time is answered in the order of the log, the newest first. */
const isByLog = ({ subject, agent, fromHlc, untilHlc }: Question): boolean =>
  subject === undefined && (agent !== undefined || fromHlc !== undefined || untilHlc !== undefined)

const newestOf = (accepted: readonly Accepted[]): Hlc => accepted.reduce((newest, { hlc }) => hlc > newest ? hlc : newest, 0n)

/** All answers, however many: by subject and predicate, or by the newest candidate of each. */
export function answersOf(question: Question, moment: Moment): ModelAnswer[] {
  const answers = unorderedAnswersOf(question, moment)
  if (!isByLog(question)) return answers
  return answers.sort((a, b) => newestOf(a.candidates) > newestOf(b.candidates) ? -1 : 1)
}

function unorderedAnswersOf(question: Question, moment: Moment): ModelAnswer[] {
  const lens = chainOf((question.lens ?? 'recency').split(',').map((name) => MODEL_LENSES[name]!))
  const asked = tolerantly(question, moment)
  const tolerant = { ...moment, tolerance: asked.tolerance ?? 0 }
  const all = pairsOf(question, moment.world)
  const pairs = all.map(({ subject, predicate, pair }) => ({ subject, predicate, pair, candidates: pair.filter((one) => isWanted(one, pair, asked)) }))
  const givenTo = (one: Accepted): number => {
    const { lifecycle } = fateOf(one, all.find(({ pair }) => pair.includes(one))!.pair)
    return lifecycle === lifecycleNumber(one.assertion.lifecycle) ? 0 : lifecycle
  }
  // Rules of a subject are one set, whichever predicate they have, where none is named.
  const sets = question.lens === 'constraints' && question.predicate === undefined ? rulesOf(pairs) : pairs
  return sets.map(({ pair, ...set }): ModelAnswer => {
    const said = pair.filter((one) => fateOf(one, pair).isSaid)
    return { ...set, givenTo, verdict: lens(set.candidates, { ...tolerant, pair, said }) }
  }).filter(({ candidates }) => candidates.length > 0)
}

interface Candidacy extends Omit<ModelAnswer, 'verdict' | 'givenTo'> {
  readonly pair: readonly Accepted[]
}

function rulesOf(pairs: readonly Candidacy[]): Candidacy[] {
  const rules = pairs.filter(({ predicate }) => RULE_PREDICATES.includes(predicate))
  return [...new Set(rules.map(({ subject }) => subject))].map((subject) => {
    const own = rules.filter((pair) => pair.subject === subject)
    return { subject, predicate: '', pair: own.flatMap(({ pair }) => pair), candidates: own.flatMap(({ candidates }) => candidates) }
  })
}

/** Every assertion that matches, whatever has become of it: by subject and predicate (or all of them in the order of the log), the newest first. Ids. */
export function listOf(question: Question, moment: Moment): string[] {
  const isListed = (one: Accepted): boolean =>
    (question.lifecycles === undefined || hasBit(question.lifecycles, lifecycleNumber(one.assertion.lifecycle))) && passes(one, tolerantly(question, moment))
  const listed = pairsOf(question, moment.world).map(({ pair }) => pair.filter(isListed).sort(byLateness))
  const ordered = isByLog(question) ? listed.flat().sort(byLateness) : listed.flat()
  return ordered.map(({ id }) => id)
}
