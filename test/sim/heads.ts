import { must } from '../../src/base/assert.ts'
import { bytesEqual, fromHex } from '../../src/base/bytes.ts'
import type { Disk } from '../../src/base/disk.ts'
import { originOf, parseCheckpoint } from '../../src/merkle/checkpoint.ts'
import { TLOG_STATE, TlogBoard } from '../../src/merkle/tlog-board.ts'
import { TlogReader } from '../../src/merkle/tlog-files.ts'
import { HEAD_SLOT_BYTES, HEAD_SLOT_STRIDE, decodeHeadSlot, type HeadSlot } from '../../src/merkle/tlog-head.codec.ts'
import { tlogConsistencyProof, tlogInclusionPath } from '../../src/merkle/tlog-tiles.ts'
import { emptyTlogRoot, tlogLeafHash, tlogNodeHash, verifyTlogConsistency, verifyTlogInclusion } from '../../src/merkle/tlog.ts'
import { verifySignature } from '../../src/verify/ed25519.ts'
import { Violation } from './oracle.ts'
import { DATA_DIR } from './swarm.ts'
import type { World } from './world.ts'

const TLOG_DIR = `${DATA_DIR}/tlog`

/** Tree heads that were given out in all lives, and the tree of what is on the disk for ever. */
export class Heads {
  /** By size. An LSN never changes its id, so neither does a root. */
  readonly #roots: Uint8Array[] = [emptyTlogRoot()]
  /** Whole subtrees of the last size, the largest first. */
  readonly #subtrees: { height: number, hash: Uint8Array }[] = []
  readonly seen: { readonly size: number, readonly root: Uint8Array }[] = []

  /** The largest that anybody has seen. */
  get sizeMax(): number {
    return this.seen.at(-1)?.size ?? 0
  }

  rootOf(size: number, ids: readonly string[]): Uint8Array {
    for (let leaf = this.#roots.length - 1; leaf < size; leaf++) {
      let next = { height: 0, hash: tlogLeafHash(must(fromHex(ids[leaf]!))) }
      while (this.#subtrees.at(-1)?.height === next.height) {
        next = { height: next.height + 1, hash: tlogNodeHash(this.#subtrees.pop()!.hash, next.hash) }
      }
      this.#subtrees.push(next)
      this.#roots.push(this.#subtrees.map(({ hash }) => hash).reduceRight((right, left) => tlogNodeHash(left, right)))
    }
    return this.#roots[size]!
  }
}

/**
 * What one process says of the log of proofs, held against all that was ever said of it. Each head must be that of the assertions that are on the
 * disk for ever, go on from each head before it, be on the disk itself when it is shown, and have its tiles.
 */
export class HeadWatch {
  readonly #world: World
  readonly #board: TlogBoard
  readonly #sequence: Int32Array
  readonly #heads: Heads
  #sequenceSeen = 0
  #size = -1
  #isFailing = false

  constructor(world: World, board: SharedArrayBuffer) {
    this.#world = world
    this.#board = new TlogBoard(board)
    this.#sequence = new Int32Array(board, 0, 1)
    this.#heads = world.heads
    this.#noteFiles()
  }

  /** A head of so many assertions stands there. */
  covers(size: number): boolean {
    return this.#size === size || this.#world.swarm.config.tlogEnabled === 'off'
  }

  toString(): string {
    return `head of ${this.#size}, state ${this.#board.read().state}`
  }

  /** A start that finds tiles of earlier lives goes on from them. */
  #noteFiles(): void {
    const slot = slotsOf(this.#world.disk.durableView()).sort((a, b) => b.sequence - a.sequence)[0]
    if (slot !== undefined && slot.filesSize > 0) this.#world.count('tlogFilesFound')
  }

  /** Cheap where nothing has changed. */
  look(): void {
    const sequence = this.#sequence[0]!
    if (sequence === this.#sequenceSeen) return
    this.#sequenceSeen = sequence
    const { state, checkpoint } = this.#board.read()
    if (state === TLOG_STATE.diverged) throw new Violation('the node says that its log is not the one that it signed')
    if (state === TLOG_STATE.fails && !this.#isFailing) this.#world.count('tlogErrors')
    this.#isFailing = state === TLOG_STATE.fails
    if (checkpoint === undefined || checkpoint.size === this.#size) return
    this.#world.count(this.#size < 0 && checkpoint.size > 0 && checkpoint.size === this.#heads.sizeMax ? 'headsOfEarlierLives' : 'heads')
    this.#size = checkpoint.size
    this.#judge(checkpoint.text)
  }

  #judge(text: string): void {
    const { identity, oracle, swarm: { config } } = this.#world
    const head = parseCheckpoint(text)
    if (head?.origin !== originOf(config.realm, identity.publicKey)) throw new Violation(`a head that is none: ${text}`)
    if (verifySignature(identity.publicKey, head.signedBytes, head.signatures[0]!.signature) !== 0) throw new Violation('a head with a wrong signature')
    const { size, root } = head
    if (size < this.#heads.sizeMax) throw new Violation(`a head of ${size} assertions after one of ${this.#heads.sizeMax}`)
    if (size > oracle.scannedLsn) throw new Violation(`a head of ${size} assertions, the disk has ${oracle.scannedLsn}`)
    const ids = oracle.durableIds()
    if (!bytesEqual(root, this.#heads.rootOf(size, ids))) throw new Violation(`the head of ${size} assertions has not their root`)
    const durable = slotsOf(this.#world.disk.durableView()).map(({ checkpoint }) => parseCheckpoint(checkpoint)?.size ?? 0)
    if (Math.max(...durable, 0) < size) throw new Violation(`a head of ${size} assertions is shown, and a power cut leaves one of ${Math.max(...durable, 0)}`)
    this.#prove(size, root, ids)
    if (size > this.#heads.sizeMax || this.#heads.seen.length === 0) this.#heads.seen.push({ size, root })
  }

  /** What a client would ask now: that this head goes on from one before, and that an assertion is in it. */
  #prove(size: number, root: Uint8Array, ids: readonly string[]): void {
    const tiles = new TlogReader(this.#world.disk, TLOG_DIR)
    const { seen } = this.#heads
    const before = seen[this.#world.below(Math.max(1, seen.length))]
    if (before !== undefined && !verifyTlogConsistency(before.size, before.root, size, root, tlogConsistencyProof(tiles, before.size, size))) {
      throw new Violation(`no proof from the head of ${before.size} to that of ${size}`)
    }
    const index = this.#world.below(Math.max(1, size))
    if (size > 0 && !verifyTlogInclusion(must(fromHex(ids[index]!)), index, size, tlogInclusionPath(tiles, index, size), root)) {
      throw new Violation(`no proof of LSN ${index + 1} in the head of ${size}`)
    }
    tiles.close()
  }
}

function slotsOf(disk: Disk): HeadSlot[] {
  const path = `${TLOG_DIR}/head`
  if (!disk.exists(path)) return []
  const file = disk.open(path, 'read')
  return [0, HEAD_SLOT_STRIDE].flatMap((at) => {
    const bytes = new Uint8Array(HEAD_SLOT_BYTES)
    const slot = file.pread(bytes, 0, bytes.length, at) === bytes.length ? decodeHeadSlot(bytes) : undefined
    return slot === undefined ? [] : [slot]
  })
}
