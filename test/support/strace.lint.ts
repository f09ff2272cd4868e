import { dirname, join } from 'node:path'
import { ByteBuffer } from 'flatbuffers'
import { ERROR_CODES } from '../../src/base/error-codes.ts'
import { Acks } from '../../src/fbs/stemedb/acks.ts'
import { fdOf, stringsOf, type SystemCall } from './strace.ts'

/** Calls that {@link OrderLint} has to see. */
export const LINT_CALLS = [
  'openat', 'creat', 'mkdir', 'mkdirat', 'rename', 'renameat', 'renameat2', 'unlink', 'unlinkat', 'link', 'linkat',
  'write', 'writev', 'pwrite64', 'pwritev', 'pwritev2', 'fdatasync', 'fsync', 'sync_file_range', 'sendto', 'sendmsg',
] as const

/** Where a batch's record stands in the log. */
export interface RecordPlace {
  readonly firstLsn: number
  readonly count: number
  readonly path: string
  readonly offset: number
}

export interface LintResult {
  /** Batches that were acked with something new in them. */
  acks: number
  /** Of those: sent to the client before a sync of what covers them had returned. */
  earlyAcks: number
  /** LSNs that answers to reads showed. */
  reads: number
  earlyReads: number
  /** Creations, renames and removals of files in the data directory, the store's own left out. */
  nameChanges: number
  /** Acked records whose file, or a folder above it, could be gone after a power cut. */
  namelessAcks: number
  /** Names whose folder was never synced afterwards. */
  unsyncedNames: string[]
  /** Syncs of log files that returned. */
  syncs: number
  /** Where the trace is not good enough to say anything: must be empty. */
  blind: string[]
}

interface Sync { readonly enter: number, readonly exit: number }
interface Write { readonly offset: number, readonly end: number, readonly exit: number }

class FileState {
  writes: Write[] = []
  syncs: Sync[] = []

  /** Whether the bytes at `offset` were on stable storage at moment `at`. */
  durableAt(offset: number, at: number): boolean {
    for (let i = this.writes.length - 1; i >= 0; i--) {
      const write = this.writes[i]!
      if (write.exit >= at || offset < write.offset || offset >= write.end) continue
      return this.syncs.some((sync) => sync.enter > write.exit && sync.exit < at)
    }
    return false
  }
}

/** WebSocket frames and HTTP answers of one connection, put together from its sends. */
class Outflow {
  #bytes: Buffer = Buffer.alloc(0)
  #upgraded = false

  /** Complete server frames that end in `chunk`; text of HTTP answers goes to `http`. */
  push(chunk: Buffer, http: (text: string) => void): Buffer[] {
    this.#bytes = Buffer.concat([this.#bytes, chunk])
    if (!this.#upgraded) {
      if (!this.#bytes.subarray(0, 12).equals(Buffer.from('HTTP/1.1 101'))) {
        http(this.#bytes.toString('utf8'))
        this.#bytes = Buffer.alloc(0)
        return []
      }
      const end = this.#bytes.indexOf('\r\n\r\n')
      if (end < 0) return []
      this.#upgraded = true
      this.#bytes = this.#bytes.subarray(end + 4)
    }
    return this.#frames()
  }

  #frames(): Buffer[] {
    const frames: Buffer[] = []
    for (;;) {
      const b = this.#bytes
      if (b.length < 2) return frames
      const short = b[1]! & 0x7f
      const head = short === 126 ? 4 : short === 127 ? 10 : 2
      if (b.length < head) return frames
      const length = short === 126 ? b.readUInt16BE(2) : short === 127 ? Number(b.readBigUInt64BE(2)) : short
      if (b.length < head + length) return frames
      if ((b[0]! & 0x0f) === 2) frames.push(b.subarray(head, head + length))
      this.#bytes = b.subarray(head + length)
    }
  }
}

/**
 * Checks the order of a server's system calls: no ack and no read shows what a returned fdatasync does not cover, and no
 * acked record is in a file whose name is not durable. Feed it every call of the whole run, in order.
 */
export class OrderLint {
  readonly #dataDir: string
  readonly #ignored: readonly string[]
  readonly #records: readonly RecordPlace[]
  readonly #files = new Map<string, FileState>()
  /** Path of a name → moment of its last change; removed when its folder was synced. */
  readonly #openNames = new Map<string, number>()
  readonly #outflows = new Map<string, Outflow>()
  readonly #entered = new Map<number, number>()
  #moment = 0
  readonly result: LintResult = {
    acks: 0, earlyAcks: 0, reads: 0, earlyReads: 0, nameChanges: 0, namelessAcks: 0, unsyncedNames: [], syncs: 0, blind: [],
  }

  /**
   * @param records where the log's records stand, by ascending LSN, read from its files after the run.
   * @param ignored folders (ending in a slash) and files of the data directory that keep an order of their own.
   */
  constructor(dataDir: string, records: readonly RecordPlace[], ignored: readonly string[]) {
    this.#dataDir = dataDir
    this.#records = records
    this.#ignored = ignored.map((name) => join(dataDir, name))
  }

  #concerns(path: string): boolean {
    return (path === this.#dataDir || path.startsWith(`${this.#dataDir}/`)) && !this.#ignored.some((name) => path.startsWith(name))
  }

  #file(path: string): FileState {
    let state = this.#files.get(path)
    if (state === undefined) this.#files.set(path, state = new FileState())
    return state
  }

  feed(call: SystemCall): void {
    const moment = ++this.#moment
    if (call.phase !== 'exit') this.#entered.set(call.thread, moment)
    const enter = this.#entered.get(call.thread) ?? moment
    // What leaves counts from when the call began; what it brings about counts from when it returned.
    if (call.phase !== 'exit' && (call.name === 'sendto' || call.name === 'sendmsg' || call.name === 'write' || call.name === 'writev')) this.#leaves(call, enter)
    if (call.phase !== 'enter' && call.result !== undefined && call.result >= 0) this.#returned(call, enter, moment)
  }

  finish(): LintResult {
    this.result.unsyncedNames = [...this.#openNames.keys()]
    return this.result
  }

  #returned(call: SystemCall, enter: number, exit: number): void {
    switch (call.name) {
      case 'pwrite64': case 'pwritev': case 'pwritev2':
        return this.#wrote(call, exit)
      case 'fdatasync': case 'fsync':
        return this.#synced(call, enter, exit)
      case 'openat': case 'creat':
        if (call.name === 'creat' || call.args.includes('O_CREAT')) this.#named(this.#paths(call), exit)
        return
      case 'mkdir': case 'mkdirat': case 'unlink': case 'unlinkat': case 'link': case 'linkat':
        return this.#named(this.#paths(call), exit)
      case 'rename': case 'renameat': case 'renameat2': {
        const [from, to] = this.#paths(call)
        const state = this.#files.get(from!)
        if (state !== undefined) {
          this.#files.set(to!, state)
          this.#files.delete(from!)
        }
        this.#openNames.delete(from!)
        return this.#named([to!], exit)
      }
      case 'sync_file_range':
        // It makes nothing durable; whoever uses it on the log means something else.
        if (this.#concerns(fdOf(call.args)?.label ?? '')) this.result.blind.push(`sync_file_range: ${call.args}`)
        return
      default:
    }
  }

  #paths(call: SystemCall): string[] {
    return stringsOf(call.args).strings.map((s) => s.toString()).filter((path) => path.startsWith('/'))
  }

  #named(paths: readonly string[], moment: number): void {
    for (const path of paths) {
      if (!this.#concerns(path) || path === this.#dataDir) continue
      // Opening with O_CREAT what is there already changes nothing, but the trace does not tell: the stricter reading.
      this.result.nameChanges++
      this.#openNames.set(path, moment)
    }
  }

  #wrote(call: SystemCall, exit: number): void {
    const file = fdOf(call.args)
    if (file === undefined || !this.#concerns(file.label)) return
    const position = call.name === 'pwritev2' ? /, (\d+), [^,]+$/ : /, (\d+)$/
    const offset = Number(position.exec(call.args)?.[1] ?? Number.NaN)
    if (Number.isNaN(offset)) this.result.blind.push(`${call.name} without an offset: ${call.args.slice(-40)}`)
    this.#file(file.label).writes.push({ offset, end: offset + call.result!, exit })
  }

  #synced(call: SystemCall, enter: number, exit: number): void {
    const file = fdOf(call.args)
    if (file === undefined || !this.#concerns(file.label)) return
    for (const [path, moment] of this.#openNames) if (dirname(path) === file.label && moment < enter) this.#openNames.delete(path)
    this.#file(file.label).syncs.push({ enter, exit })
    if (file.label.endsWith('.wal')) this.result.syncs++
  }

  #leaves(call: SystemCall, enter: number): void {
    const socket = fdOf(call.args)
    if (socket === undefined || !socket.label.startsWith('TCP')) return
    const { strings, cut } = stringsOf(call.args)
    if (cut) this.result.blind.push(`${call.name} of more than strace printed`)
    const key = `${socket.fd} ${socket.label}`
    let outflow = this.#outflows.get(key)
    if (outflow === undefined) this.#outflows.set(key, outflow = new Outflow())
    // A short send would make bytes of the next one look sent here: too early, never too late, and it does not happen
    // to acks of a client that reads.
    for (const frame of outflow.push(Buffer.concat(strings), (text) => this.#answered(text, enter))) {
      if (frame.toString('latin1', 4, 8) === 'SACK') this.#acked(frame, enter)
    }
  }

  #acked(frame: Buffer, enter: number): void {
    const acks = Acks.getRootAsAcks(new ByteBuffer(frame))
    for (let i = 0; i < acks.acksLength(); i++) {
      const ack = acks.acks(i)!
      const lsns: number[] = []
      if (ack.accepted() > 0) lsns.push(Number(ack.firstLsn()))
      for (let k = 0; k < ack.outcomesLength(); k++) {
        const outcome = ack.outcomes(k)!
        if (outcome.code() === ERROR_CODES.duplicate.number) lsns.push(Number(outcome.lsn()))
      }
      if (lsns.length === 0) continue
      this.result.acks++
      const places = lsns.map((lsn) => this.#placeOf(lsn))
      if (!places.every((place) => place !== undefined && this.#durable(place, enter))) this.result.earlyAcks++
      if (!places.every((place) => place !== undefined && this.#nameDurable(place.path))) this.result.namelessAcks++
    }
  }

  #answered(text: string, enter: number): void {
    for (const match of text.matchAll(/"lsn":"?(\d+)/g)) {
      this.result.reads++
      const place = this.#placeOf(Number(match[1]))
      if (place === undefined || !this.#durable(place, enter)) this.result.earlyReads++
    }
  }

  #placeOf(lsn: number): RecordPlace | undefined {
    let low = 0
    let high = this.#records.length - 1
    while (low <= high) {
      const middle = (low + high) >> 1
      const record = this.#records[middle]!
      if (lsn < record.firstLsn) high = middle - 1
      else if (lsn >= record.firstLsn + record.count) low = middle + 1
      else return record
    }
    return undefined
  }

  #durable(place: RecordPlace, at: number): boolean {
    return this.#files.get(place.path)?.durableAt(place.offset, at) ?? false
  }

  /** Neither the file's name nor that of a folder above it waits for a sync of its folder. */
  #nameDurable(path: string): boolean {
    for (let at = path; at.length > this.#dataDir.length; at = dirname(at)) if (this.#openNames.has(at)) return false
    return true
  }
}
