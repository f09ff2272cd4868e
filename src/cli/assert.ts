import { toHex } from '../base/bytes.ts'
import { systemClock } from '../base/clock.ts'
import { DbError, isDbError } from '../base/errors.ts'
import { hlcWallMs } from '../base/hlc.ts'
import type { AssertResult, BatchAck, BatchReceipt } from '../client/client.ts'
import type { Assertion } from '../record/assertion.ts'
import { assertionFromJson } from '../record/assertion.json.ts'
import { initHash } from '../record/claim.ts'
import { AGENT_BYTES } from '../record/limits.ts'
import { parseStrictJson } from '../record/strict-json.ts'
import { connectToWrite, type WriteOptions } from './connect.ts'
import type { Console, OutputOptions } from './console.ts'
import { EXIT } from '../base/exit-codes.ts'
import { bytesOf, linesOf, UntilError } from './lines.ts'
import { createProgress } from './progress.ts'
import { printable } from './words.ts'

export interface AssertOptions extends WriteOptions, OutputOptions {
  readonly file?: string
  readonly type?: 'text' | 'number' | 'boolean' | 'reference'
  readonly confidence: string
  readonly sourceClass?: string
  readonly sourceHash?: string
  readonly sourceUri?: string
  readonly lifecycle?: string
  readonly epoch?: string
  readonly parent?: string
  readonly assertedAt?: string
  readonly note?: string
  readonly receipt?: boolean
}

function usage(message: string): never {
  throw new DbError('parameter_invalid', message)
}

/** The JSON form of what the command line says. */
function jsonOfArguments(args: readonly string[], options: AssertOptions): Record<string, unknown> {
  const [subject, predicate, object] = args
  if (subject === undefined || predicate === undefined || object === undefined) {
    usage('subject, predicate and object are needed, or --file')
  }
  const type = options.type ?? 'text'
  const numberOf = (name: string, text: string): number => {
    const value = Number(text)
    return text.trim() === '' || Number.isNaN(value) ? usage(`${name}: "${text}" is no number`) : value
  }
  const value = type === 'number' ? numberOf('object', object)
    : type === 'boolean' ? (object === 'true' ? true : object === 'false' ? false : usage('object: a boolean is true or false'))
      : object
  const sourceClass = options.sourceClass
  const assertedAt = options.assertedAt
  return {
    subject, predicate, object: { type, value },
    confidence: numberOf('--confidence', options.confidence),
    ...(sourceClass === undefined ? {} : { source_class: /^\d$/.test(sourceClass) ? Number(sourceClass) : sourceClass }),
    ...(options.sourceHash === undefined ? {} : { source_hash: options.sourceHash }),
    ...(options.sourceUri === undefined ? {} : { source_uri: options.sourceUri }),
    ...(options.lifecycle === undefined ? {} : { lifecycle: options.lifecycle }),
    ...(options.epoch === undefined ? {} : { epoch: options.epoch }),
    ...(options.parent === undefined ? {} : { parent: options.parent }),
    ...(assertedAt === undefined ? {} : { asserted_at: /^\d+$/.test(assertedAt) ? Number(assertedAt) : assertedAt }),
    ...(options.note === undefined ? {} : { note: options.note }),
  }
}

/** The assertion of the command line, its agent still to come. A rule that it breaks names the option, as the command line has no pointers. */
function assertionOfArguments(args: readonly string[], options: AssertOptions): Assertion {
  const json = jsonOfArguments(args, options)
  try {
    return assertionFromJson(json, '', { assertedAtMs: systemClock.wallMs(), agent: new Uint8Array(AGENT_BYTES) })
  } catch (error) {
    const pointer = isDbError(error) ? error.details['pointer'] : undefined
    if (!isDbError(error) || typeof pointer !== 'string') throw error
    const [, member = ''] = pointer.split('/')
    const option = ['subject', 'predicate', 'object'].includes(member) ? member : `--${member.replaceAll('_', '-')}`
    // The message begins with the pointer or the field's name.
    throw new DbError('parameter_invalid', `${option}${error.message.replace(/^\S+/, '')}`, { parameter: option }, { cause: error })
  }
}

interface Tally {
  accepted: number
  duplicates: number
  refused: number
  lastLsn: number
  /** Of the first receipt that did not come: what it is of is stored all the same. */
  noReceipt: DbError | undefined
}

const totalOf = ({ accepted, duplicates, refused }: Tally): number => accepted + duplicates + refused

/** `stemedb assert`: one assertion from the command line, or many from a file of JSON lines. */
export async function runAssert(args: readonly string[], options: AssertOptions, console: Console): Promise<number> {
  if (options.file !== undefined && args.length > 0) usage('either --file or subject, predicate and object')
  await initHash()
  // Before the connection: a wrong command line needs no node.
  const single = options.file === undefined ? assertionOfArguments(args, options) : undefined
  const { client, agent } = await connectToWrite(options, console)
  const tally: Tally = { accepted: 0, duplicates: 0, refused: 0, lastLsn: 0, noReceipt: undefined }
  const file = new AssertionFile(options.file ?? '', agent, console)
  const lines = new UntilError(file)
  const progress = await createProgress(console, 'assert', options.json === true || single !== undefined)
  try {
    const assertions = single === undefined ? lines : [{ ...single, agent }]
    for await (const ack of client.stream(assertions, { receipts: options.receipt ?? false })) {
      await show(ack, options, console, single !== undefined, tally)
      progress.update(totalOf(tally), totalOf(tally) + client.pendingAssertions, `${totalOf(tally)} assertions`)
    }
    await client.close()
  } finally {
    progress.stop()
    client.abort()
    // However it ends: what is stored, is.
    if (single === undefined && (totalOf(tally) > 0 || lines.error === undefined)) summary(tally, options, console)
  }
  if (lines.error !== undefined) throw stoppedAt(file.linesDone, lines.error, tally)
  if (tally.noReceipt !== undefined) throw tally.noReceipt
  return tally.refused === 0 ? EXIT.ok : EXIT.failed
}

/** Why a file was read no further, and that all before it was sent, acked and told. */
function stoppedAt(lines: number, error: DbError, { refused }: Tally): DbError {
  if (lines === 0) return error
  const but = refused === 0 ? '' : `, but for the ${refused} refused`
  return new DbError(error.code, `${error.message}; lines up to ${lines} are stored${but}`, { ...error.details, linesDone: lines }, { cause: error })
}

/** Assertions of a file of JSON lines. */
class AssertionFile implements AsyncIterable<Assertion> {
  /** Lines that are done with. */
  linesDone = 0
  readonly #path: string
  readonly #agent: Uint8Array
  readonly #console: Console

  constructor(path: string, agent: Uint8Array, console: Console) {
    this.#path = path
    this.#agent = agent
    this.#console = console
  }

  /** @throws {DbError} naming file and line */
  async *[Symbol.asyncIterator](): AsyncGenerator<Assertion> {
    try {
      for await (const line of linesOf(bytesOf(this.#path, () => this.#console.stdin()))) {
        if (line.trim() !== '') yield this.#assertionOf(line)
        this.linesDone++
      }
    } catch (error) {
      // An error that names no line names the file.
      if (!isDbError(error) || error.details['line'] === undefined) throw error
      throw new DbError(error.code, `${this.#path === '-' ? 'standard input' : this.#path}, ${error.message}`, error.details, { cause: error })
    }
  }

  #assertionOf(line: string): Assertion {
    try {
      return assertionFromJson(parseStrictJson(line), '', { assertedAtMs: systemClock.wallMs(), agent: this.#agent })
    } catch (error) {
      if (!isDbError(error)) throw error
      const number = this.linesDone + 1
      throw new DbError(error.code, `line ${number}: ${error.message}`, { ...error.details, line: number }, { cause: error })
    }
  }
}

async function show(ack: BatchAck, options: AssertOptions, console: Console, isSingle: boolean, tally: Tally): Promise<void> {
  const receipt = await ack.receipt?.catch((error: DbError) => {
    tally.noReceipt ??= error
    return undefined
  })
  for (const [i, result] of ack.results.entries()) {
    if (result.ok) tally[result.duplicate ? 'duplicates' : 'accepted']++
    else tally.refused++
    if (result.ok) tally.lastLsn = Math.max(tally.lastLsn, result.lsn)
    if (options.json === true) console.out(JSON.stringify(resultJson(ack.offset + i, result, receipt)))
    else if (!result.ok) console.err(`refused${isSingle ? '' : ` (number ${ack.offset + i + 1})`}: ${printable(result.error.message)} [${result.error.code}]`)
    else if (isSingle) showOne(result, console)
  }
  if (receipt !== undefined && options.json !== true) {
    console.out(`receipt   by node ${toHex(receipt.nodeId)}, batch root ${toHex(receipt.batchRoot)}`)
  }
}

function showOne(result: AssertResult & { ok: true }, console: Console): void {
  console.out(`id        ${toHex(result.id)}`)
  console.out(`lsn       ${result.lsn}${result.duplicate ? ' (it was there already)' : ''}`)
  console.out(`time      ${new Date(hlcWallMs(result.hlc)).toISOString()}`)
}

function resultJson(index: number, result: AssertResult, receipt: BatchReceipt | undefined): Record<string, unknown> {
  const id = result.id === undefined ? {} : { id: toHex(result.id) }
  if (!result.ok) return { index, ...id, status: 'refused', code: result.error.code, detail: result.error.message, ...result.error.details }
  return {
    index, ...id, status: result.duplicate ? 'duplicate' : 'created', lsn: result.lsn, hlc: String(result.hlc),
    ...(receipt === undefined ? {} : { receipt: receiptJson(receipt) }),
  }
}

function receiptJson(receipt: BatchReceipt): Record<string, unknown> {
  return {
    node: toHex(receipt.nodeId), first_lsn: Number(receipt.firstLsn), first_hlc: String(receipt.firstHlc), accepted: receipt.accepted,
    durability: receipt.durability === 2 ? 'replica' : 'wal', batch_root: toHex(receipt.batchRoot), leaf_index: receipt.leafIndex,
    leaf_count: receipt.leafCount, path: toHex(receipt.path), group_root: toHex(receipt.groupRoot), signature: toHex(receipt.signature),
  }
}

function summary(tally: Tally, options: AssertOptions, console: Console): void {
  if (options.json === true) return
  console.out(`${tally.accepted} new, ${tally.duplicates} there already, ${tally.refused} refused${tally.lastLsn > 0 ? `; last LSN ${tally.lastLsn}` : ''}`)
}
