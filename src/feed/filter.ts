import { PREDICATE_BYTES_MAX, SOURCE_CLASS_MAX, SUBJECT_BYTES_MAX } from '../record/limits.ts'
import { IndexedFieldsView } from '../wire/assertion-view.ts'

/**
 * What a subscription is about. Texts are the bytes of their UTF-8 as Latin-1 text: they compare, hash and cut as
 * bytes do, and no text of the log has to be decoded to be compared with one.
 */
export interface FeedFilter {
  readonly subject: string | undefined
  /** `subject` is the beginning of subjects, not a whole one. */
  readonly subjectIsPrefix: boolean
  readonly predicate: string | undefined
  /** Bit n: tier n is wanted. 0: all are. */
  readonly tiers: number
  /** 32 bytes, as Latin-1. */
  readonly agent: string | undefined
}

/** Bytes as Latin-1 text, and from it. */
export const latin1Of = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
export const bytesOfLatin1 = (text: string): Uint8Array => Buffer.from(text, 'latin1')

/** Equal for filters that match the same, as far as that shows in how they are written. */
export function filterKey({ subject, subjectIsPrefix, predicate, tiers, agent }: FeedFilter): string {
  const part = (text: string | undefined): string => (text === undefined ? '-' : `${text.length}:${text}`)
  return `${subjectIsPrefix ? 'p' : 's'}${part(subject)}|${part(predicate)}|${tiers}|${part(agent)}`
}

/** Bits of all tiers. */
const TIERS_ALL = (1 << SOURCE_CLASS_MAX + 1) - 1

/** What is wrong with a filter, in words that follow the name of its part; undefined where nothing is. */
export function filterFault({ subject, subjectIsPrefix, predicate, tiers }: FeedFilter): { readonly part: string, readonly why: string } | undefined {
  const part = subjectIsPrefix ? 'prefix' : 'subject'
  if (subject !== undefined && subject.length > SUBJECT_BYTES_MAX) return { part, why: `has more than ${SUBJECT_BYTES_MAX} bytes` }
  if (subject === '' && !subjectIsPrefix) return { part, why: 'is empty' }
  if (predicate !== undefined && predicate.length > PREDICATE_BYTES_MAX) return { part: 'predicate', why: `has more than ${PREDICATE_BYTES_MAX} bytes` }
  if (predicate === '') return { part: 'predicate', why: 'is empty' }
  return (tiers & ~TIERS_ALL) === 0 ? undefined : { part: 'tiers', why: `has a bit beyond that of tier ${SOURCE_CLASS_MAX}` }
}

/** The fields of one assertion that filters look at, each made into text at most once, and only where it is asked for. */
export class AssertionFields {
  /** What `places` count in. */
  view: DataView = new DataView(new ArrayBuffer(0))
  places = new IndexedFieldsView()
  #texts: Buffer = Buffer.alloc(0)
  #subject: string | undefined
  #predicate: string | undefined
  #agent: string | undefined

  /** @param places of an assertion in `view` */
  reset(view: DataView, places: IndexedFieldsView): this {
    if (view !== this.view) {
      this.view = view
      this.#texts = Buffer.from(view.buffer, view.byteOffset, view.byteLength)
    }
    this.places = places
    this.#subject = undefined
    this.#predicate = undefined
    this.#agent = undefined
    return this
  }

  get subject(): string {
    return this.#subject ??= this.#text(this.places.subjectStart, this.places.subjectLength)
  }

  get predicate(): string {
    return this.#predicate ??= this.#text(this.places.predicateStart, this.places.predicateLength)
  }

  get agent(): string {
    return this.#agent ??= this.#text(this.places.agentStart, 32)
  }

  /** Bit of the tier that it is of. */
  get tierBit(): number {
    return 1 << this.places.sourceClass
  }

  #text(start: number, length: number): string {
    return this.#texts.toString('latin1', start, start + length)
  }
}

/** Whether an assertion is what the filter wants: all parts, whatever an index has looked at before. */
export function filterMatches(filter: FeedFilter, fields: AssertionFields): boolean {
  const { subject, subjectIsPrefix, predicate, tiers, agent } = filter
  if (tiers !== 0 && (tiers & fields.tierBit) === 0) return false
  if (predicate !== undefined && predicate !== fields.predicate) return false
  if (agent !== undefined && agent !== fields.agent) return false
  if (subject === undefined) return true
  return subjectIsPrefix ? fields.subject.startsWith(subject) : fields.subject === subject
}
