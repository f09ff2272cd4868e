import { filterKey, filterMatches, type AssertionFields, type FeedFilter } from './filter.ts'
import { AGENT_BASIS, MatchSketch, PREDICATE_BASIS, SUBJECT_BASIS, WHOLE, hashAt, hashRest, hashText, hashWords, wordsEnd } from './match-sketch.ts'

/** Members whose filters are the same: they are matched, and served, together. */
export interface MatchGroup<M> {
  readonly key: string
  readonly filter: FeedFilter
  readonly members: Set<M>
  /** The caller's, for the piece of the log under way. */
  matched: number[]
}

type Bucket<M> = Map<string, MatchGroup<M>[]>

interface Place<M> {
  readonly bucket: Bucket<M>
  readonly key: string
  readonly hash: number
}

/** Of an agent's key: keys are random, so a few bytes tell them apart. */
const AGENT_HASHED_BYTES = 8

/**
 * Finds the filters that an assertion matches without asking every one: each group of equal filters stands in one
 * table, by the part of it that lets the least through (a whole subject, a prefix, an agent, a predicate), and only the
 * groups found there are asked for the rest. Prefixes stand in one hash table for each length that occurs, so a subject
 * costs a lookup a length, at most `SUBJECT_BYTES_MAX` of them. Most of what comes is what nobody has asked for: a sketch of the keys dismisses it by
 * its bytes, before any text is made of them.
 */
export class MatchIndex<M> {
  readonly #groups = new Map<string, MatchGroup<M>>()
  readonly #sketch = new MatchSketch()
  readonly #bySubject: Bucket<M> = new Map()
  readonly #byPrefix = new Map<number, Bucket<M>>()
  /** Lengths of prefixes, ascending. */
  #prefixLengths: number[] = []
  readonly #byAgent: Bucket<M> = new Map()
  readonly #byPredicate: Bucket<M> = new Map()
  readonly #rest: MatchGroup<M>[] = []
  #size = 0

  /** Members in all groups. */
  get size(): number {
    return this.#size
  }

  /** Groups of equal filters. */
  get groupCount(): number {
    return this.#groups.size
  }

  * members(): Generator<M> {
    for (const { members } of this.#groups.values()) yield* members
  }

  add(member: M, filter: FeedFilter): void {
    const key = filterKey(filter)
    let group = this.#groups.get(key)
    if (group === undefined) {
      group = { key, filter, members: new Set(), matched: [] }
      this.#groups.set(key, group)
      this.#put(group)
    }
    if (group.members.has(member)) return
    group.members.add(member)
    this.#size++
  }

  remove(member: M, filter: FeedFilter): void {
    const group = this.#groups.get(filterKey(filter))
    if (group === undefined || !group.members.delete(member)) return
    this.#size--
    if (group.members.size > 0) return
    this.#groups.delete(group.key)
    this.#take(group)
  }

  /** Calls `found` for every group whose filter the assertion matches. */
  match(fields: AssertionFields, found: (group: MatchGroup<M>) => void): void {
    const sketch = this.#sketch
    const { view } = fields
    const { subjectStart, subjectLength, predicateStart, predicateLength, agentStart } = fields.places
    let hash = SUBJECT_BASIS
    let hashed = subjectStart
    for (const length of this.#prefixLengths) {
      if (length > subjectLength) break
      const words = subjectStart + wordsEnd(length)
      hash = hashWords(hash, view, hashed, words)
      hashed = words
      if (sketch.has(hashRest(hash, view, words, subjectStart + length))) askEach(this.#byPrefix.get(length)!.get(fields.subject.slice(0, length)), fields, found)
    }
    if (this.#bySubject.size > 0) {
      const words = subjectStart + wordsEnd(subjectLength)
      hash = hashWords(hash, view, hashed, words)
      if (sketch.has(hashRest(hash, view, words, subjectStart + subjectLength) ^ WHOLE)) askEach(this.#bySubject.get(fields.subject), fields, found)
    }
    if (this.#byAgent.size > 0 && sketch.has(hashAt(AGENT_BASIS, view, agentStart, AGENT_HASHED_BYTES))) {
      askEach(this.#byAgent.get(fields.agent), fields, found)
    }
    if (this.#byPredicate.size > 0 && sketch.has(hashAt(PREDICATE_BASIS, view, predicateStart, predicateLength))) {
      askEach(this.#byPredicate.get(fields.predicate), fields, found)
    }
    if (this.#rest.length > 0) askEach(this.#rest, fields, found)
  }

  /** The table and key that a filter stands under, and the key's hash; undefined: among the rest. */
  #place({ subject, subjectIsPrefix, predicate, agent }: FeedFilter): Place<M> | undefined {
    if (subject !== undefined && !subjectIsPrefix) return { bucket: this.#bySubject, key: subject, hash: hashText(SUBJECT_BASIS, subject) ^ WHOLE }
    if (subject !== undefined && subject !== '') return { bucket: this.#prefixes(subject.length), key: subject, hash: hashText(SUBJECT_BASIS, subject) }
    if (agent !== undefined) return { bucket: this.#byAgent, key: agent, hash: hashText(AGENT_BASIS, agent.slice(0, AGENT_HASHED_BYTES)) }
    return predicate === undefined ? undefined : { bucket: this.#byPredicate, key: predicate, hash: hashText(PREDICATE_BASIS, predicate) }
  }

  #prefixes(length: number): Bucket<M> {
    let bucket = this.#byPrefix.get(length)
    if (bucket === undefined) {
      bucket = new Map()
      this.#byPrefix.set(length, bucket)
      this.#prefixLengths = [...this.#byPrefix.keys()].sort((a, b) => a - b)
    }
    return bucket
  }

  #put(group: MatchGroup<M>): void {
    const place = this.#place(group.filter)
    if (place === undefined) return void this.#rest.push(group)
    this.#sketch.add(place.hash)
    const groups = place.bucket.get(place.key)
    if (groups === undefined) place.bucket.set(place.key, [group])
    else groups.push(group)
  }

  #take(group: MatchGroup<M>): void {
    const place = this.#place(group.filter)
    const groups = place === undefined ? this.#rest : place.bucket.get(place.key)!
    groups.splice(groups.indexOf(group), 1)
    if (place !== undefined) this.#sketch.remove(place.hash)
    if (place === undefined || groups.length > 0) return
    place.bucket.delete(place.key)
    const { subject, subjectIsPrefix } = group.filter
    if (!subjectIsPrefix || subject === undefined || place.bucket.size > 0 || place.bucket !== this.#byPrefix.get(subject.length)) return
    this.#byPrefix.delete(subject.length)
    this.#prefixLengths = [...this.#byPrefix.keys()].sort((a, b) => a - b)
  }
}

function askEach<M>(groups: readonly MatchGroup<M>[] | undefined, fields: AssertionFields, found: (group: MatchGroup<M>) => void): void {
  if (groups === undefined) return
  for (const group of groups) if (filterMatches(group.filter, fields)) found(group)
}
