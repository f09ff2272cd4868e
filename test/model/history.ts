import { toHex } from '../../src/base/bytes.ts'
import { hlcNext, hlcOf, type Hlc } from '../../src/base/hlc.ts'
import { seededRandom, type Random } from '../../src/base/random.ts'
import { LIFECYCLES, type Assertion, type Lifecycle, type ObjectValue, type SourceClass } from '../../src/record/assertion.ts'
import { assertionIdOf } from '../../src/record/claim.ts'
import { aliasDrafts, epochDraft, epochWithdrawalDraft, outcomeDraft, voteDraft, type RecordDraft } from '../../src/record/records.ts'

/** One assertion, as a node has accepted it. */
export interface Accepted {
  readonly assertion: Assertion
  /** Hex. */
  readonly id: string
  readonly lsn: number
  readonly hlc: Hlc
}

/** Assertions that were accepted together. */
export interface Step {
  readonly accepted: readonly Accepted[]
  /** HLC of the first; those of the rest follow. */
  readonly hlcFirst: Hlc
}

export interface History {
  readonly seed: number
  readonly steps: readonly Step[]
}

export const START_MS = 1_800_000_000_000
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/** Few of each, so that everything meets everything. */
export const SUBJECTS: readonly string[] = ['drug/a', 'drug/ab', 'drug/a/x', 'rfc://9/a', 'sky']
export const PREDICATES: readonly string[] = ['dose', 'is', 'must_use', 'forbidden']
const bytes = (fill: number): Uint8Array => new Uint8Array(32).fill(fill)
export const AGENTS: readonly Uint8Array[] = [bytes(0x11), bytes(0x22), bytes(0x33), bytes(0xf4)]
export const SOURCES: readonly Uint8Array[] = [bytes(0), bytes(0), bytes(0x51), bytes(0x52), bytes(0x53)]
const number = (value: number): ObjectValue => ({ kind: 'number', value })
const words = (value: string): ObjectValue => ({ kind: 'text', value })
export const OBJECTS: readonly ObjectValue[] = [
  number(1), number(2), number(100), number(101), number(102), number(-100), number(0), words('safe'), words('unsafe'), words('100'), words('500 mg'), words('0.5 g'), words('505 mg'), words('500 s'),
  { kind: 'boolean', value: true }, { kind: 'boolean', value: false }, { kind: 'reference', value: 'sky' }, { kind: 'text', value: 'sky' },
]
const RULE_OBJECTS: readonly ObjectValue[] = [words('safe'), words('500 mg'), words('0.5 g'), number(100), number(101)]
/** Sums of these are exact in binary, so that ties are ties, but for the last one. */
const CONFIDENCES: readonly number[] = [0, 0.25, 0.5, 0.5, 0.75, 1, 0.9]
const AGES_MS: readonly number[] = [0, 0, 0, HOUR_MS, DAY_MS, 20 * DAY_MS, 200 * DAY_MS, 3000 * DAY_MS, -DAY_MS]
const PAUSES_MS: readonly number[] = [0, 0, 1, 5, HOUR_MS, DAY_MS, 15 * DAY_MS, 90 * DAY_MS]
const VOTES: readonly number[] = [1, 1, 0.5, 0.25, -0.25, -0.5, -1, 0]
/** What may happen next, as often as it stands here. */
const KINDS = ['assert', 'assert', 'assert', 'assert', 'assert', 'assert', 'restate', 'change', 'change', 'vote', 'vote', 'epoch', 'outcome', 'outcome', 'alias', 'withdraw', 'rule', 'rule'] as const

/** Makes one history from one seed. */
class Author {
  readonly #random: Random
  readonly #accepted: Accepted[] = []
  readonly #ids = new Set<string>()
  readonly #steps: Step[] = []
  #lastHlc: Hlc
  #wallMs: number

  constructor(random: Random, startMs: number) {
    this.#random = random
    this.#lastHlc = hlcOf(startMs - 1)
    this.#wallMs = startMs
  }

  write(steps: number): readonly Step[] {
    // Some histories are about one subject and predicate: conflicts of many; others about all.
    const width = this.#pick([1, 2, SUBJECTS.length])
    for (let i = 0; i < steps; i++) this.#step(width)
    return this.#steps
  }

  #step(width: number): void {
    this.#wallMs += this.#pick(PAUSES_MS)
    const batch: Assertion[] = []
    const count = 1 + this.#below(4)
    while (batch.length < count) batch.push(...this.#next(width))
    const fresh = batch.filter((assertion) => {
      const id = toHex(assertionIdOf(assertion))
      // A node keeps an id once, under the first stamp.
      return !this.#ids.has(id) && this.#ids.add(id)
    })
    if (fresh.length === 0) return
    const hlcFirst = hlcNext(this.#lastHlc, this.#wallMs)
    const accepted = fresh.map((assertion, i): Accepted =>
      ({ assertion, id: toHex(assertionIdOf(assertion)), lsn: this.#accepted.length + 1 + i, hlc: hlcFirst + BigInt(i) }))
    this.#lastHlc = accepted.at(-1)!.hlc
    this.#accepted.push(...accepted)
    this.#steps.push({ accepted, hlcFirst })
  }

  #next(width: number): Assertion[] {
    switch (this.#pick(KINDS)) {
      case 'assert': return [this.#claim(width)]
      case 'restate': return this.#restatement()
      case 'change': return this.#change()
      case 'vote': return this.#vote()
      case 'epoch': return this.#epoch()
      case 'outcome': return this.#outcome()
      case 'alias': return this.#alias()
      case 'withdraw': return this.#withdrawal()
      case 'rule': return [this.#rule(width)]
    }
  }

  #claim(width: number): Assertion {
    const predicates = width === 1 ? PREDICATES.slice(0, 1) : PREDICATES
    return this.#assertion({
      subject: this.#pick(SUBJECTS.slice(0, width)), predicate: this.#pick(predicates), object: this.#pick(OBJECTS), confidence: this.#pick(CONFIDENCES),
      lifecycle: this.#below(6) > 0 ? 'proposed' : this.#pick(LIFECYCLES), sourceHash: this.#pick(SOURCES), ...this.#maybeEpoch(),
    })
  }

  /** Few values, so that what some demand others forbid; the one instead of the other, sometimes. */
  #rule(width: number): Assertion {
    const other = this.#find(({ assertion: { predicate } }) => predicate === 'must_use' || predicate === 'forbidden')
    return this.#assertion({
      subject: this.#pick(SUBJECTS.slice(0, width)), predicate: this.#pick(['must_use', 'forbidden']), object: this.#pick(RULE_OBJECTS), confidence: this.#pick(CONFIDENCES),
      lifecycle: 'approved', sourceHash: this.#pick(SOURCES), ...other !== undefined && this.#below(3) === 0 && { parent: idBytes(other) },
    })
  }

  #maybeEpoch(): { epoch?: Uint8Array } {
    const epoch = this.#find(({ assertion: { predicate } }) => predicate === 'epoch')
    return this.#below(3) > 0 || epoch === undefined ? {} : { epoch: Uint8Array.from(Buffer.from(epoch.id, 'hex')) }
  }

  /** The same said again, by anybody, at another time; with the first one as its parent, sometimes. */
  #restatement(): Assertion[] {
    const first = this.#find(isClaim)
    if (first === undefined) return []
    const { assertion } = first
    return [this.#assertion({ ...assertion, confidence: this.#pick(CONFIDENCES), ...this.#below(2) === 0 && { parent: idBytes(first) } })]
  }

  /** Another stage of its life, or another version; by the same agent mostly, and of the same pair mostly. */
  #change(): Assertion[] {
    const old = this.#find(isClaim)
    if (old === undefined) return []
    if (this.#below(6) === 0) return [this.#contradiction(old)]
    const { assertion } = old
    const change = this.#assertion({
      ...assertion, parent: idBytes(old), lifecycle: this.#pick(LIFECYCLES),
      object: this.#below(3) === 0 ? this.#pick(OBJECTS) : assertion.object,
      agent: this.#below(5) === 0 ? this.#pick(AGENTS) : assertion.agent,
      ...this.#below(8) === 0 && { predicate: this.#pick(PREDICATES) },
    })
    // The time is the agent's choice: to date a change back is how one would hide that one said two things at once.
    return [this.#below(4) === 0 ? { ...change, assertedAtMs: assertion.assertedAtMs } : change]
  }

  /** Another thing, by the same agent of the same time: as if it had not spoken, or as a version of something else that it has said. */
  #contradiction({ assertion: { parent: _parent, ...said } }: Accepted): Assertion {
    const own = this.#find(({ assertion: { agent, subject, predicate } }) => agent === said.agent && subject === said.subject && predicate === said.predicate)
    return {
      ...said, object: this.#pick(OBJECTS), confidence: this.#pick(CONFIDENCES), sourceClass: this.#below(6) as SourceClass,
      ...own !== undefined && this.#below(2) === 0 && { parent: idBytes(own) },
    }
  }

  #vote(): Assertion[] {
    const on = this.#find(isClaim)
    return on === undefined ? [] : [this.#record(voteDraft(idBytes(on), this.#pick(VOTES)))]
  }

  #epoch(): Assertion[] {
    const old = this.#find(isEpoch)
    const name = `e${this.#below(3)}`
    const isFirst = old === undefined || this.#below(3) === 0
    return [this.#record(epochDraft(isFirst ? { name } : { name, supersedes: idBytes(old), reason: 'better' }))]
  }

  #outcome(): Assertion[] {
    const judged = this.#find(isClaim)
    const agent = this.#pick(AGENTS)
    return [this.#record(outcomeDraft({ agent, accurate: this.#below(2) === 0, ...this.#below(3) > 0 && judged !== undefined && { judged: idBytes(judged) } }))]
  }

  #alias(): Assertion[] {
    const [one, other] = [this.#pick(SUBJECTS), this.#pick(SUBJECTS)]
    if (one === other) return []
    return this.#sameAgent(aliasDrafts(one, other))
  }

  /** Takes something back that was recorded, by the same agent mostly. */
  #withdrawal(): Assertion[] {
    const record = this.#find((accepted) => !isClaim(accepted))
    if (record === undefined) return []
    const { assertion } = record
    const agent = this.#below(4) === 0 ? this.#pick(AGENTS) : assertion.agent
    const lifecycle: Lifecycle = this.#pick(['deprecated', 'rejected', 'retracted'])
    if (isEpoch(record)) {
      const { subject, object, parent, note } = assertion
      const supersedes = subject.includes('epochs/') ? parent : undefined
      if (assertion.lifecycle !== 'approved') return []
      return [{ ...this.#record(epochWithdrawalDraft(idBytes(record), { name: String(object.value), supersedes, reason: note })), agent, lifecycle }]
    }
    return [this.#assertion({ ...assertion, lifecycle, agent })]
  }

  #sameAgent(drafts: readonly RecordDraft[]): Assertion[] {
    const agent = this.#pick(AGENTS)
    return drafts.map((draft) => ({ ...this.#record(draft), agent }))
  }

  #record(draft: RecordDraft): Assertion {
    return this.#assertion(draft)
  }

  #assertion(fields: Pick<Assertion, 'subject' | 'predicate' | 'object' | 'confidence' | 'lifecycle' | 'sourceHash'> & Partial<Assertion>): Assertion {
    return {
      agent: this.#pick(AGENTS), ...fields, sourceClass: fields.sourceClass ?? this.#below(6) as SourceClass,
      assertedAtMs: this.#wallMs - this.#pick(AGES_MS),
    }
  }

  #find(wanted: (accepted: Accepted) => boolean): Accepted | undefined {
    const found = this.#accepted.filter(wanted)
    // What is new is changed most.
    const recent = this.#below(2) === 0 ? found.slice(-3) : found
    return recent.length === 0 ? undefined : this.#pick(recent)
  }

  #below(count: number): number {
    return this.#random.u32() % count
  }

  #pick<T>(of: readonly T[]): T {
    return of[this.#below(of.length)]!
  }
}

const isRecord = ({ assertion }: Accepted): boolean => assertion.subject.startsWith('steme://')
const isClaim = (accepted: Accepted): boolean => !isRecord(accepted)
const isEpoch = ({ assertion }: Accepted): boolean => assertion.subject.startsWith('steme://epochs')
const idBytes = ({ id }: Accepted): Uint8Array => Uint8Array.from(Buffer.from(id, 'hex'))

/**
 * @param steps batches, of one to four assertions and more
 * @param startMs when the first of them is accepted
 */
export function historyOf(seed: number, steps: number, startMs = START_MS): History {
  return { seed, steps: new Author(seededRandom(seed), startMs).write(steps) }
}
