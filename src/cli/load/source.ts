import { assert } from '../../base/assert.ts'
import { KiB, MiB } from '../../base/units.ts'
import { HASH_BYTES } from '../../record/limits.ts'
import { batchMessage, singleMessage } from '../../merkle/signed-message.ts'
import { rootOfIdsInto } from '../../merkle/tree.ts'
import type { NodeSigner } from '../node-signer.ts'
import type { FrameMaker } from './template.ts'

/** Some frames with consecutive numbers, one behind the other in memory. */
export interface FrameRun {
  readonly bytes: Uint8Array
  readonly firstIndex: number
  readonly count: number
  /** To be called when the bytes have been written. */
  readonly release: (() => void) | undefined
}

/** Where the frames of a run come from, in order, each once. */
export interface FrameSource {
  /** Frames that have not been taken. */
  readonly left: number
  /** Up to `most` frames, at least one; undefined where none is left. */
  take(most: number): FrameRun | undefined
}

const SLAB_BYTES = 256 * KiB

/** Unsigned frames, made when they are taken. */
export class PatchedSource implements FrameSource {
  readonly #maker: FrameMaker
  readonly #framesMax: number
  readonly #slabFrames: number
  readonly #slabs: Uint8Array[] = []
  #next = 0

  constructor(maker: FrameMaker, framesMax: number) {
    assert(maker.sign === 'none', 'signed frames are prepared')
    this.#maker = maker
    this.#framesMax = framesMax
    this.#slabFrames = Math.max(1, Math.floor(SLAB_BYTES / maker.frameBytes))
  }

  get left(): number {
    return this.#framesMax - this.#next
  }

  take(most: number): FrameRun | undefined {
    const count = Math.min(most, this.left, this.#slabFrames)
    if (count <= 0) return undefined
    const { frameBytes } = this.#maker
    const slab = this.#slabs.pop() ?? new Uint8Array(this.#slabFrames * frameBytes)
    const firstIndex = this.#next
    for (let i = 0; i < count; i++) this.#maker.write(slab, i * frameBytes, firstIndex + i)
    this.#next += count
    return { bytes: slab.subarray(0, count * frameBytes), firstIndex, count, release: () => void this.#slabs.push(slab) }
  }
}

const ARENA_BYTES = 16 * MiB

/** Frames that were encoded and signed before, in memory. */
export class PreparedSource implements FrameSource {
  readonly #maker: FrameMaker
  readonly #arenaFrames: number
  readonly #arenas: Uint8Array[] = []
  #made = 0
  #next = 0

  constructor(maker: FrameMaker) {
    this.#maker = maker
    this.#arenaFrames = Math.max(1, Math.floor(ARENA_BYTES / maker.frameBytes))
  }

  get left(): number {
    return this.#made - this.#next
  }

  get bytes(): number {
    return this.#made * this.#maker.frameBytes
  }

  take(most: number): FrameRun | undefined {
    const arenaIndex = Math.floor(this.#next / this.#arenaFrames)
    const inArena = this.#next % this.#arenaFrames
    const count = Math.min(most, this.left, this.#arenaFrames - inArena)
    if (count <= 0) return undefined
    const { frameBytes } = this.#maker
    const bytes = this.#arenas[arenaIndex]!.subarray(inArena * frameBytes, (inArena + count) * frameBytes)
    const firstIndex = this.#next
    this.#next += count
    return { bytes, firstIndex, count, release: undefined }
  }

  /** Encodes and signs the next frame. */
  prepareOne(signer: NodeSigner, realmHash: Uint8Array): void {
    const maker = this.#maker
    const index = this.#made++
    const inArena = index % this.#arenaFrames
    if (inArena === 0) this.#arenas.push(new Uint8Array(this.#arenaFrames * maker.frameBytes))
    const arena = this.#arenas[this.#arenas.length - 1]!
    const at = inArena * maker.frameBytes
    maker.write(arena, at, index)
    signFrame(maker, arena, at, index, signer, realmHash)
  }
}

let ids = new Uint8Array(0)
const root = new Uint8Array(HASH_BYTES)

function signFrame(
  maker: FrameMaker, out: Uint8Array, at: number, index: number, signer: NodeSigner, realmHash: Uint8Array,
): void {
  if (maker.sign === 'none') return
  if (ids.length < maker.batch * HASH_BYTES) ids = new Uint8Array(maker.batch * HASH_BYTES)
  maker.idsInto(ids, index)
  if (maker.sign === 'batch') {
    rootOfIdsInto(ids, maker.batch, root)
    maker.setSignature(out, at, index, 0, signer.sign(batchMessage(realmHash, maker.batch, root)))
    return
  }
  for (let i = 0; i < maker.batch; i++) {
    const id = ids.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES)
    maker.setSignature(out, at, index, i, signer.sign(singleMessage(realmHash, id)))
  }
}
