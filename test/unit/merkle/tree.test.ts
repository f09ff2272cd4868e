import fc from 'fast-check'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { bytesEqual, concatBytes, toHex } from '../../../src/base/bytes.ts'
import { blake3, blake3Into } from '../../../src/merkle/blake3.ts'
import { ScalarKernel, type Blake3Kernel } from '../../../src/merkle/blake3-kernel.ts'
import { CHUNK_BYTES, LANES, LANE_INPUT, LANE_OUTPUT, TREE, TREE_LEAVES_MAX } from '../../../src/merkle/blake3.layout.ts'
import { simdKernel } from '../../../src/merkle/blake3-simd.ts'
import { leafHashOf, verifyInclusion, verifyLeafInclusion } from '../../../src/merkle/proof.ts'
import {
  pathHashesMax, pathOfId, pathOfLeaf, pathsOfLeaves, rootOfIds, rootOfIdsInto, rootOfLeavesInto,
} from '../../../src/merkle/tree.ts'
import { repoRoot } from '../../support/root.ts'
import { libraryHash, naiveLeaf, naivePath, naiveRoot, vectorId } from './naive.ts'

const idsOf = (count: number, first = 0): Uint8Array[] => Array.from({ length: count }, (_, i) => vectorId(first + i))

const KERNELS: readonly (readonly [string, Blake3Kernel])[] = [
  ['scalar', new ScalarKernel()],
  ['simd', simdKernel() ?? t.bailout('this machine has no WebAssembly SIMD') as never],
]

for (const [name, kernel] of KERNELS) {
  t.test(`${name} kernel: any four inputs hash as the library hashes them`, async (t) => {
    const input = fc.oneof(
      fc.uint8Array({ maxLength: CHUNK_BYTES, size: 'max' }),
      fc.constantFrom(0, 1, 33, 63, 64, 65, 127, 128, 129, 1023, 1024).map((length) => new Uint8Array(length).fill(0xa5)),
    )
    fc.assert(fc.property(fc.tuple(input, input, input, input), (inputs) => {
      for (const [lane, bytes] of inputs.entries()) {
        const at = LANE_INPUT + lane * CHUNK_BYTES
        kernel.memory.fill(0, at, at + CHUNK_BYTES)
        kernel.memory.set(bytes, at)
      }
      kernel.hashLanes(inputs[0].length, inputs[1].length, inputs[2].length, inputs[3].length)
      return inputs.every((bytes, lane) => bytesEqual(
        kernel.memory.subarray(LANE_OUTPUT + lane * 32, LANE_OUTPUT + lane * 32 + 32), libraryHash(bytes)))
    }), { numRuns: 150 })
    t.equal(LANES, 4)
  })

  t.test(`${name} kernel: leaves and levels touch nothing but their slots' tail`, async (t) => {
    for (let count = 1; count <= 21; count++) {
      const ids = idsOf(count)
      const before = Uint8Array.from({ length: 64 }, (_, i) => i)
      kernel.memory.set(before, TREE)
      kernel.memory.set(concatBytes(...ids), TREE + 64)
      kernel.leaves(TREE + 64, count)
      const leaves = ids.map(naiveLeaf)
      t.same(kernel.memory.slice(TREE + 64, TREE + 64 + count * 32), concatBytes(...leaves), `${count} leaves`)
      for (let width = count; width > 1; width = (width + 1) >> 1) kernel.level(TREE + 64, width)
      t.same(kernel.memory.slice(TREE + 64, TREE + 96), naiveRoot(leaves), `root of ${count}`)
      t.same(kernel.memory.slice(TREE, TREE + 64), before, 'what stands before it')
    }
  })
}

t.test('short inputs hash without waiting for a library', async (t) => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: CHUNK_BYTES, size: 'max' }), (bytes) => bytesEqual(blake3(bytes), libraryHash(bytes))))
  const out = new Uint8Array(40).fill(7)
  blake3Into(Uint8Array.of(1, 2, 3), out, 4)
  t.same(out.slice(4, 36), libraryHash(Uint8Array.of(1, 2, 3)))
  t.same([...out.slice(0, 4), ...out.slice(36)], Array.from({ length: 8 }, () => 7))
  t.throws(() => blake3(new Uint8Array(CHUNK_BYTES + 1)), { name: 'AssertionFailure' })
})

t.test('root and paths of every size are those of the recursive definition', async (t) => {
  const all = idsOf(70)
  for (let count = 1; count <= all.length; count++) {
    const ids = all.slice(0, count)
    const leaves = ids.map(naiveLeaf)
    const packed = concatBytes(...ids)
    const root = naiveRoot(leaves)
    t.same(rootOfIds(packed), root, `root of ${count}`)
    const group = pathsOfLeaves(concatBytes(...leaves))
    t.same(group.root, root)
    for (let index = 0; index < count; index++) {
      const expected = concatBytes(...naivePath(index, leaves))
      if (!bytesEqual(pathOfId(packed, index), expected)) t.fail(`path of ${index} in ${count}`)
      if (!bytesEqual(pathOfLeaf(concatBytes(...leaves), index), expected)) t.fail(`path of leaf ${index} in ${count}`)
      if (!bytesEqual(group.paths[index]!, expected)) t.fail(`path of ${index} in the group of ${count}`)
      if (!verifyInclusion(ids[index]!, index, count, expected, root)) t.fail(`proof of ${index} in ${count}`)
    }
    t.ok(pathOfId(packed, 0).length / 32 <= pathHashesMax(count))
  }
  const empty = new Uint8Array(32)
  rootOfIdsInto(new Uint8Array(0), 0, empty)
  t.same(empty, libraryHash(new Uint8Array(0)), 'no ids: the hash of nothing')
})

t.test('roots of random sizes, written in place, from shared memory too', async (t) => {
  const shared = new Uint8Array(new SharedArrayBuffer(600 * 32 + 5), 5)
  fc.assert(fc.property(fc.integer({ min: 1, max: 600 }), fc.nat(1_000_000), (count, first) => {
    const ids = idsOf(count, first)
    shared.set(concatBytes(...ids))
    const out = new Uint8Array(64)
    rootOfIdsInto(shared, count, out, 16)
    const leaves = ids.map(naiveLeaf)
    const fromLeaves = new Uint8Array(32)
    rootOfLeavesInto(concatBytes(...leaves), count, fromLeaves)
    const root = naiveRoot(leaves)
    return bytesEqual(out.subarray(16, 48), root) && bytesEqual(fromLeaves, root)
  }), { numRuns: 25 })
  t.pass()
})

t.test('the largest tree fits, a larger one is a bug', async (t) => {
  const ids = new Uint8Array(TREE_LEAVES_MAX * 32)
  const root = rootOfIds(ids)
  let expected = leafHashOf(new Uint8Array(32))
  for (let level = 0; level < 16; level++) expected = libraryHash(concatBytes(Uint8Array.of(1), expected, expected))
  t.same(root, expected)
  t.throws(() => rootOfIds(new Uint8Array((TREE_LEAVES_MAX + 1) * 32)), { name: 'AssertionFailure' })
  t.throws(() => rootOfIdsInto(new Uint8Array(31), 1, new Uint8Array(32)), { name: 'AssertionFailure' })
})

t.test('a proof holds for its id, place, count, path and root, and for nothing else', async (t) => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 130 }), fc.nat(), fc.nat(), (count, indexSeed, flip) => {
    const ids = idsOf(count)
    const packed = concatBytes(...ids)
    const index = indexSeed % count
    const root = rootOfIds(packed)
    const path = pathOfId(packed, index)
    const id = ids[index]!
    const flipped = (bytes: Uint8Array): Uint8Array => {
      const copy = bytes.slice()
      const bit = flip % (copy.length * 8)
      copy[bit >> 3]! ^= 1 << (bit & 7)
      return copy
    }
    return verifyInclusion(id, index, count, path, root)
      && !verifyInclusion(flipped(id), index, count, path, root)
      && !verifyInclusion(id, index, count, path, flipped(root))
      && (path.length === 0 || !verifyInclusion(id, index, count, flipped(path), root))
      && (path.length === 0 || !verifyInclusion(id, index, count, path.subarray(32), root))
      && !verifyInclusion(id, index, count, concatBytes(path, root), root)
      && (count === 1 || !verifyInclusion(id, (index + 1) % count, count, path, root))
      && !verifyInclusion(id, index + count, count, path, root)
      && !verifyLeafInclusion(id, index, count, path, root)
  }), { numRuns: 200 })
  const id = vectorId(0)
  for (const index of [-1, 1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    t.equal(verifyInclusion(id, index, 1, new Uint8Array(0), leafHashOf(id)), false, `index ${index}`)
  }
  t.equal(verifyInclusion(id, 0, 1, new Uint8Array(0), leafHashOf(id)), true)
  t.equal(verifyInclusion(id, 0, Number.MAX_SAFE_INTEGER + 1, new Uint8Array(0), leafHashOf(id)), false)
  t.equal(verifyInclusion(id.subarray(1), 0, 1, new Uint8Array(0), leafHashOf(id)), false)
  t.equal(verifyInclusion(id, 0, 1, new Uint8Array(31), leafHashOf(id)), false)
  t.equal(verifyInclusion(id, 2 ** 52, Number.MAX_SAFE_INTEGER, new Uint8Array(53 * 32), leafHashOf(id)), false, 'a tree beyond 32 bits')
})

t.test('an inner node is no leaf', async (t) => {
  const [a, b, c, d] = idsOf(4).map(naiveLeaf) as [Uint8Array, Uint8Array, Uint8Array, Uint8Array]
  const left = libraryHash(concatBytes(Uint8Array.of(1), a, b))
  const right = libraryHash(concatBytes(Uint8Array.of(1), c, d))
  const root = rootOfIds(concatBytes(...idsOf(4)))
  t.equal(verifyLeafInclusion(left, 0, 2, right, root), true, 'the node arithmetic is the same ...')
  t.equal(verifyInclusion(left, 0, 2, right, root), false, '... but an id is hashed behind another tag')
})

interface TreeVector { count: number; root: string; paths: { index: number; path: string[] }[] }

t.test('checked-in vectors for other languages', async (t) => {
  const file = JSON.parse(readFileSync(join(repoRoot, 'test/vectors/merkle.json'), 'utf8')) as { trees: TreeVector[] }
  t.ok(file.trees.length >= 15)
  for (const { count, root, paths } of file.trees) {
    const ids = concatBytes(...idsOf(count))
    t.equal(toHex(rootOfIds(ids)), root, `root of ${count}`)
    for (const { index, path } of paths) t.equal(toHex(pathOfId(ids, index)), path.join(''), `path of ${index} in ${count}`)
  }
})
