import type { Lsn } from '../base/lsn.ts'
import type { IdHash } from '../store/id-hash.ts'
import {
  AGENT_KEY_BYTES, AGENT_KEY_LSN, AGENT_RANGE_BYTES, AGENT_RANGE_COUNT, AGENT_RANGE_LSN_DELTA,
  AGENT_RANGE_RECORD_OFFSET, AGENT_RANGE_SEGMENT_ID,
} from '../store/keyspace.layout.ts'
import type { StoreBatch } from '../store/store.ts'

const AGENT_BYTES = 32

/**
 * Collects, over one ingest batch, which LSNs are whose: consecutive ones of one record make a range, and each agent
 * gets one entry. Preallocated for the batch's most assertions; an agent is found by a keyed hash, because agents'
 * keys are chosen outside.
 */
export class AgentRanges {
  readonly #hash: IdHash
  /** Open addressing: agent number + 1, 0 is free. */
  readonly #slots: Int32Array
  readonly #slotShift: number
  readonly #agents: Uint8Array
  readonly #agentsView: DataView
  readonly #agentSlot: Int32Array
  readonly #firstRange: Int32Array
  readonly #lastRange: Int32Array
  #agentCount = 0
  #lastAgent = -1

  readonly #lsn: Float64Array
  readonly #rangeCount: Uint32Array
  readonly #segmentId: Uint32Array
  readonly #recordOffset: Uint32Array
  /** The same agent's next range, or -1. */
  readonly #next: Int32Array
  #ranges = 0

  readonly #key = new Uint8Array(AGENT_KEY_BYTES)
  readonly #keyView = new DataView(this.#key.buffer)
  #value = new Uint8Array(64 * AGENT_RANGE_BYTES)

  constructor(assertionsMax: number, hash: IdHash) {
    const slotBits = Math.ceil(Math.log2(assertionsMax * 2))
    this.#hash = hash
    this.#slots = new Int32Array(2 ** slotBits)
    this.#slotShift = 32 - slotBits
    this.#agents = new Uint8Array(assertionsMax * AGENT_BYTES)
    this.#agentsView = new DataView(this.#agents.buffer)
    this.#agentSlot = new Int32Array(assertionsMax)
    this.#firstRange = new Int32Array(assertionsMax)
    this.#lastRange = new Int32Array(assertionsMax)
    this.#lsn = new Float64Array(assertionsMax)
    this.#rangeCount = new Uint32Array(assertionsMax)
    this.#segmentId = new Uint32Array(assertionsMax)
    this.#recordOffset = new Uint32Array(assertionsMax)
    this.#next = new Int32Array(assertionsMax)
  }

  clear(): void {
    for (let i = 0; i < this.#agentCount; i++) this.#slots[this.#agentSlot[i]!] = 0
    this.#agentCount = 0
    this.#lastAgent = -1
    this.#ranges = 0
  }

  /** LSNs ascend from call to call. @param view of the same memory as `bytes` */
  add(bytes: Uint8Array, view: DataView, agentStart: number, lsn: Lsn, segmentId: number, recordOffset: number): void {
    const agent = this.#lastAgent >= 0 && this.#isAgent(this.#lastAgent, view, agentStart) ? this.#lastAgent : this.#numberOf(bytes, view, agentStart)
    this.#lastAgent = agent
    const last = this.#lastRange[agent]!
    if (last >= 0 && this.#lsn[last]! + this.#rangeCount[last]! === lsn &&
      this.#recordOffset[last] === recordOffset && this.#segmentId[last] === segmentId) {
      this.#rangeCount[last]!++
      return
    }
    const range = this.#ranges++
    this.#lsn[range] = lsn
    this.#rangeCount[range] = 1
    this.#segmentId[range] = segmentId
    this.#recordOffset[range] = recordOffset
    this.#next[range] = -1
    if (last >= 0) this.#next[last] = range
    else this.#firstRange[agent] = range
    this.#lastRange[agent] = range
  }

  /** Puts one entry an agent. */
  put(batch: StoreBatch): void {
    for (let agent = 0; agent < this.#agentCount; agent++) {
      const first = this.#firstRange[agent]!
      const lsnFirst = this.#lsn[first]!
      this.#key.set(this.#agents.subarray(agent * AGENT_BYTES, (agent + 1) * AGENT_BYTES))
      this.#keyView.setUint32(AGENT_KEY_LSN, Math.floor(lsnFirst / 0x1_0000_0000))
      this.#keyView.setUint32(AGENT_KEY_LSN + 4, lsnFirst >>> 0)
      batch.put('agent', this.#key, this.#pack(first, lsnFirst))
    }
  }

  #pack(first: number, lsnFirst: Lsn): Uint8Array {
    let ranges = 0
    for (let range = first; range >= 0; range = this.#next[range]!) ranges++
    const length = ranges * AGENT_RANGE_BYTES
    if (this.#value.length < length) this.#value = new Uint8Array(length * 2)
    const view = new DataView(this.#value.buffer)
    let at = 0
    for (let range = first; range >= 0; range = this.#next[range]!, at += AGENT_RANGE_BYTES) {
      view.setUint32(at + AGENT_RANGE_LSN_DELTA, this.#lsn[range]! - lsnFirst, true)
      view.setUint32(at + AGENT_RANGE_COUNT, this.#rangeCount[range]!, true)
      view.setUint32(at + AGENT_RANGE_SEGMENT_ID, this.#segmentId[range]!, true)
      view.setUint32(at + AGENT_RANGE_RECORD_OFFSET, this.#recordOffset[range]!, true)
    }
    return this.#value.subarray(0, length)
  }

  #isAgent(agent: number, view: DataView, agentStart: number): boolean {
    const at = agent * AGENT_BYTES
    for (let i = 0; i < AGENT_BYTES; i += 4) if (this.#agentsView.getInt32(at + i) !== view.getInt32(agentStart + i)) return false
    return true
  }

  #numberOf(bytes: Uint8Array, view: DataView, agentStart: number): number {
    this.#hash.compute(bytes, agentStart)
    let slot = this.#hash.hi >>> this.#slotShift
    for (let known = this.#slots[slot]!; known !== 0; known = this.#slots[slot]!) {
      if (this.#isAgent(known - 1, view, agentStart)) return known - 1
      slot = (slot + 1) & (this.#slots.length - 1)
    }
    const agent = this.#agentCount++
    this.#slots[slot] = agent + 1
    this.#agentSlot[agent] = slot
    this.#firstRange[agent] = -1
    this.#lastRange[agent] = -1
    for (let i = 0; i < AGENT_BYTES; i++) this.#agents[agent * AGENT_BYTES + i] = bytes[agentStart + i]!
    return agent
  }
}

