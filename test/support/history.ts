/**
 * What a driver outside the server knows of a grow-only set of claims, and what follows from it. An id is attempted
 * before its request leaves; after that it is acked, refused (certainly not applied) or unknown (anything may be true).
 */

/** What a read of one id gave. */
export interface FoundClaim {
  readonly id: string
  readonly lsn: number
  /** Its content in one text, to be compared with what was sent. */
  readonly print: string
}

export interface AttemptedClaim {
  readonly id: string
  readonly print: string
}

export type ItemState = 'pending' | 'acked' | 'unknown' | 'refused'

interface Item {
  readonly print: string
  readonly batch: number
  state: ItemState
  /** 0 until an ack or a read told it. */
  lsn: number
  seen: boolean
}

/** Ids of each kind of broken promise; all empty is a pass. */
export interface Broken {
  /** Acked, and not found. */
  readonly lost: string[]
  /** Found or counted by the server, and never attempted. */
  readonly phantom: string[]
  /** Found with other content than was sent, or a batch of which a part is there. */
  readonly torn: string[]
  /** An id with two LSNs, or an LSN with two ids. */
  readonly duplicated: string[]
  /** Seen by a read before, and not found now. */
  readonly vanished: string[]
  /** Refused as certainly not applied, and found. */
  readonly refusedButPresent: string[]
}

export interface Counts {
  readonly attempted: number
  readonly acked: number
  readonly refused: number
  /** Unknown when the read began, and found: allowed. */
  readonly recovered: number
  /** Unknown when the read began, and not found: allowed. */
  readonly dropped: number
  readonly found: number
}

export interface Verdict {
  readonly broken: Broken
  readonly counts: Counts
}

const none = (): Broken => ({ lost: [], phantom: [], torn: [], duplicated: [], vanished: [], refusedButPresent: [] })

const kindsOf = (broken: Broken): (keyof Broken)[] => Object.keys(broken) as (keyof Broken)[]

export const isWhole = ({ broken }: Verdict): boolean => kindsOf(broken).every((kind) => broken[kind].length === 0)

/** One line for people: counts first, then what broke with the first few ids. */
export function describeVerdict(verdict: Verdict): string {
  const { counts, broken } = verdict
  const kinds = kindsOf(broken).map((kind) => {
    const ids = broken[kind]
    return `${kind} ${ids.length}${ids.length > 0 ? ` (${ids.slice(0, 3).join(', ')})` : ''}`
  })
  return `attempted ${counts.attempted}, acked ${counts.acked}, refused ${counts.refused}, recovered ${counts.recovered}, `
    + `dropped ${counts.dropped}, found ${counts.found}: ${kinds.join(', ')}`
}

export class History {
  readonly #items = new Map<string, Item>()
  readonly #batches: string[][] = []
  readonly #lsns = new Map<number, string>()
  readonly #ackOrder: string[] = []
  /** What an ack itself already contradicted. */
  readonly #contradictions = none()
  #acked = 0
  #refused = 0
  #seen = 0

  /** New claims of one batch, before it leaves. Returns the batch's number. */
  attempt(claims: readonly AttemptedClaim[]): number {
    const batch = this.#batches.length
    this.#batches.push(claims.map((claim) => claim.id))
    for (const { id, print } of claims) {
      if (this.#items.has(id)) throw new Error(`the driver made id ${id} twice`)
      this.#items.set(id, { print, batch, state: 'pending', lsn: 0, seen: false })
    }
    return batch
  }

  #item(id: string): Item {
    const item = this.#items.get(id)
    if (item === undefined) throw new Error(`never attempted: ${id}`)
    return item
  }

  #nameLsn(id: string, item: Item, lsn: number): void {
    const other = this.#lsns.get(lsn)
    if ((item.lsn !== 0 && item.lsn !== lsn) || (other !== undefined && other !== id)) this.#contradictions.duplicated.push(id)
    this.#lsns.set(lsn, id)
    item.lsn = lsn
  }

  /** An ack said that it is stored, as new or as a duplicate of what it stored before, at this LSN. */
  acked(id: string, lsn: number): void {
    const item = this.#item(id)
    if (item.state !== 'acked') {
      this.#acked++
      this.#ackOrder.push(id)
    }
    if (item.state === 'refused') this.#refused--
    item.state = 'acked'
    this.#nameLsn(id, item, lsn)
  }

  /** An answer said that it is certainly not applied. That counts only where no earlier attempt may have been. */
  refused(id: string): void {
    const item = this.#item(id)
    if (item.state !== 'pending') return
    item.state = 'refused'
    this.#refused++
  }

  /** No answer, or one that leaves it open. */
  unknown(id: string): void {
    const item = this.#item(id)
    if (item.state === 'acked') return
    if (item.state === 'refused') this.#refused--
    item.state = 'unknown'
  }

  /** It is sent again, so that its state is open until the next answer. */
  resent(id: string): void {
    this.unknown(id)
  }

  /** A read showed it: from now on it must be there. */
  seen(id: string): void {
    const item = this.#item(id)
    if (!item.seen) this.#seen++
    item.seen = true
  }

  state(id: string): ItemState {
    return this.#item(id).state
  }

  /** What a read of it must give. */
  printOf(id: string): string {
    return this.#item(id).print
  }

  lsnOf(id: string): number {
    return this.#item(id).lsn
  }

  has(id: string): boolean {
    return this.#items.has(id)
  }

  /** Ids in the order of their acks; one that was sent again stands at each of them. */
  get ackOrder(): readonly string[] { return this.#ackOrder }
  get attemptedCount(): number { return this.#items.size }
  get ackedCount(): number { return this.#acked }
  get refusedCount(): number { return this.#refused }
  /** Ids that some read has shown. */
  get seenCount(): number { return this.#seen }
  get batchCount(): number { return this.#batches.length }

  batch(number: number): readonly string[] {
    return this.#batches[number]!
  }

  /** All ids of the batch that an id was first sent in. */
  batchOf(id: string): readonly string[] {
    return this.batch(this.#item(id).batch)
  }

  ids(): IterableIterator<string> {
    return this.#items.keys()
  }

  /** Ids in a state that only another answer or a read can settle. */
  openIds(): string[] {
    return [...this.#items].filter(([, item]) => item.state === 'unknown' || item.state === 'pending').map(([id]) => id)
  }

  /**
   * Judges a read of `asked`, of which `found` were there. What is found is seen from now on, and what was unknown is
   * settled by it. Batches must have been asked for as wholes.
   */
  judge(asked: Iterable<string>, found: ReadonlyMap<string, FoundClaim>): Verdict {
    const broken = none()
    for (const kind of kindsOf(broken)) broken[kind].push(...this.#contradictions[kind].splice(0))
    const batches = new Set<number>()
    let recovered = 0
    let dropped = 0
    for (const id of asked) {
      const item = this.#item(id)
      batches.add(item.batch)
      const claim = found.get(id)
      if (claim === undefined) {
        if (item.state === 'acked') broken.lost.push(id)
        if (item.seen) broken.vanished.push(id)
        if (item.state === 'unknown' || item.state === 'pending') dropped++
        continue
      }
      if (claim.print !== item.print) broken.torn.push(id)
      if (item.state === 'refused') broken.refusedButPresent.push(id)
      if (item.state === 'unknown' || item.state === 'pending') recovered++
      this.#nameLsn(id, item, claim.lsn)
      this.seen(id)
    }
    broken.duplicated.push(...this.#contradictions.duplicated.splice(0))
    for (const id of found.keys()) if (!this.#items.has(id)) broken.phantom.push(id)
    for (const batch of batches) this.#judgeBatch(this.#batches[batch]!, found, broken)
    return { broken, counts: { attempted: this.#items.size, acked: this.#acked, refused: this.#refused, recovered, dropped, found: found.size } }
  }

  /** All of a batch or nothing of it, but for what was refused item by item. */
  #judgeBatch(ids: readonly string[], found: ReadonlyMap<string, FoundClaim>, broken: Broken): void {
    const open = ids.filter((id) => this.#item(id).state !== 'refused')
    const there = open.filter((id) => found.has(id)).length
    if (there > 0 && there < open.length) broken.torn.push(open.find((id) => !found.has(id))!)
  }

  /**
   * LSNs have no gap, so the last durable one is the number of claims in the log. More than the driver has seen there:
   * claims that nobody attempted, or one that was written twice.
   */
  judgeCount(durableLsn: number, verdict: Verdict): Verdict {
    if (durableLsn !== this.#seen) {
      verdict.broken.phantom.push(`the log counts ${durableLsn} claims, reads have shown ${this.#seen}`)
    }
    return verdict
  }
}
