import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { concatBytes, fromHex, toHex } from '../../../src/base/bytes.ts'
import { ScalarSha256Kernel, sha256 } from '../../../src/merkle/sha256-kernel.ts'
import { simdSha256Kernel } from '../../../src/merkle/sha256-simd.ts'
import { SHA256_TREE } from '../../../src/merkle/sha256.layout.ts'
import { PROOF_HASHES_MAX, inclusionRanges, tlogLeafHash, tlogNodeHash, verifyTlogConsistency, verifyTlogInclusion, verifyTlogLeaf } from '../../../src/merkle/tlog.ts'
import {
  TILE_HASHES, TileEdge, levelHashes, tilePathOf, tilePlaceOf, tlogConsistencyProof, tlogInclusionPath, tlogRoot,
} from '../../../src/merkle/tlog-tiles.ts'
import { leafOf, pathOf, proofOf, rootOf, sha, sourceOf } from './naive-tlog.ts'

const hexes = (path: readonly Uint8Array[]): string[] => path.map(toHex)

// The test tree of Certificate Transparency (RFC 6962 implementations share it).
const CT_LEAVES = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'].map((hex) => leafOf(fromHex(hex)!))
const CT_ROOTS = [
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
]
const [H, I, J] = [
  '96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7', '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
  '6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4',
]

t.test('the tree of Certificate Transparency', async (t) => {
  const source = sourceOf(CT_LEAVES)
  CT_ROOTS.forEach((root, size) => t.equal(toHex(tlogRoot(source, size)), root, `root of ${size}`))
  t.strictSame(hexes(tlogInclusionPath(source, 0, 8)), [H, I, J])
  t.strictSame(hexes(tlogInclusionPath(source, 5, 8)), [
    'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
    'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0', CT_ROOTS[4],
  ])
  t.strictSame(hexes(tlogInclusionPath(source, 2, 3)), [CT_ROOTS[2]])
  t.strictSame(hexes(tlogConsistencyProof(source, 1, 8)), [H, I, J])
  t.strictSame(hexes(tlogConsistencyProof(source, 6, 8)), [
    '0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a',
    'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0', CT_ROOTS[4],
  ])
  t.strictSame(hexes(tlogConsistencyProof(source, 2, 5)), [I, 'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b'])
})

t.test('SHA-256 as Node has it', async (t) => {
  for (let length = 0; length < 200; length++) {
    const bytes = randomBytes(length)
    if (toHex(sha256(bytes)) !== toHex(sha(bytes))) t.fail(`of ${length} bytes`)
  }
  const simd = simdSha256Kernel()
  if (simd === undefined) throw new Error('no vectors in this WebAssembly')
  const ids = randomBytes(TILE_HASHES * 32)
  for (const kernel of [simd, new ScalarSha256Kernel()]) {
    for (const count of [1, 2, 3, 4, 5, 6, 7, 9, 255, 256]) {
      kernel.memory.set(ids, SHA256_TREE)
      kernel.leaves(SHA256_TREE, count)
      const leaves = Array.from({ length: count }, (_, i) => leafOf(ids.subarray(i * 32, i * 32 + 32)))
      t.equal(toHex(kernel.memory.slice(SHA256_TREE, SHA256_TREE + count * 32)), toHex(concatBytes(...leaves)), `${count} leaves`)
      kernel.level(SHA256_TREE, count)
      const above = leaves.flatMap((leaf, i) => (i % 2 === 1 ? [] : [i + 1 < count ? tlogNodeHash(leaf, leaves[i + 1]!) : leaf]))
      t.equal(toHex(kernel.memory.slice(SHA256_TREE, SHA256_TREE + above.length * 32)), toHex(concatBytes(...above)), `${above.length} nodes`)
    }
  }
})

const IDS = Array.from({ length: 700 }, (_, i) => sha(Uint8Array.of(i & 255, i >> 8)))
const LEAVES = IDS.map(leafOf)
const size = fc.integer({ min: 1, max: IDS.length })

t.test('paths and proofs are those of the RFC, and are taken', async (t) => {
  const source = sourceOf(LEAVES)
  fc.assert(fc.property(size, fc.nat(), (n, m) => {
    const index = m % n
    const path = tlogInclusionPath(source, index, n)
    const root = rootOf(LEAVES.slice(0, n))
    t.strictSame(hexes(path), hexes(pathOf(index, LEAVES.slice(0, n))))
    if (!verifyTlogInclusion(IDS[index]!, index, n, path, root)) t.fail(`inclusion of ${index} in ${n}`)
    if (toHex(tlogLeafHash(IDS[index]!)) !== toHex(LEAVES[index]!)) t.fail('leaf hash')
  }), { numRuns: 150 })
  fc.assert(fc.property(size, fc.nat(), (n, m) => {
    const from = m % n + 1
    const proof = tlogConsistencyProof(source, from, n)
    t.strictSame(hexes(proof), hexes(proofOf(from, LEAVES.slice(0, n))))
    if (!verifyTlogConsistency(from, rootOf(LEAVES.slice(0, from)), n, rootOf(LEAVES.slice(0, n)), proof)) t.fail(`${from} to ${n}`)
  }), { numRuns: 150 })
})

t.test('every small tree, whole', async (t) => {
  const source = sourceOf(LEAVES)
  for (let n = 1; n <= 40; n++) {
    const root = rootOf(LEAVES.slice(0, n))
    for (let m = 0; m < n; m++) {
      const path = tlogInclusionPath(source, m, n)
      if (!verifyTlogInclusion(IDS[m]!, m, n, path, root)) t.fail(`inclusion of ${m} in ${n}`)
      for (let other = 0; other < n; other++) if (other !== m && verifyTlogInclusion(IDS[m]!, other, n, path, root)) t.fail(`${m} passes for ${other} in ${n}`)
    }
    for (let from = 0; from <= n; from++) {
      const proof = tlogConsistencyProof(source, from, n)
      if (!verifyTlogConsistency(from, rootOf(LEAVES.slice(0, from)), n, root, proof)) t.fail(`consistency of ${from} with ${n}`)
      const wrong = rootOf(LEAVES.slice(1, from + 1))
      if (from > 0 && verifyTlogConsistency(from, wrong, n, root, proof)) t.fail(`another past of ${from} passes in ${n}`)
    }
  }
})

t.test('nothing that was touched is taken', async (t) => {
  const source = sourceOf(LEAVES)
  const touched = (bytes: Uint8Array, at: number): Uint8Array => bytes.map((byte, i) => (i === at % 32 ? byte ^ (1 << (at % 8)) : byte))
  fc.assert(fc.property(size, fc.nat(), fc.nat(), fc.integer({ min: 0, max: 5 }), (n, m, at, how) => {
    const index = m % n
    const from = m % n + 1
    const root = rootOf(LEAVES.slice(0, n))
    const oldRoot = rootOf(LEAVES.slice(0, from))
    const path = tlogInclusionPath(source, index, n)
    const proof = tlogConsistencyProof(source, from, n)
    const spoil = (hashes: Uint8Array[]): Uint8Array[] => {
      if (how === 0) return [...hashes, LEAVES[at % IDS.length]!]
      if (how === 1 && hashes.length > 0) return hashes.slice(0, -1)
      if (how === 2 && hashes.length > 0) return hashes.slice(1)
      if (how === 3 && hashes.length > 0) return hashes.map((hash, i) => (i === at % hashes.length ? touched(hash, at) : hash))
      if (how === 4 && hashes.length > 0) return hashes.map((hash, i) => (i === at % hashes.length ? hash.slice(1) : hash))
      return [...hashes, new Uint8Array(32)]
    }
    if (verifyTlogInclusion(IDS[index]!, index, n, spoil(path), root)) t.fail(`path ${how} of ${index} in ${n}`)
    if (verifyTlogInclusion(touched(IDS[index]!, at), index, n, path, root)) t.fail('another id')
    if (verifyTlogInclusion(IDS[index]!, index, n, path, touched(root, at))) t.fail('another root')
    if (verifyTlogConsistency(from, oldRoot, n, root, spoil(proof))) t.fail(`proof ${how} of ${from} to ${n}`)
    if (verifyTlogConsistency(from, touched(oldRoot, at), n, root, proof)) t.fail('another old root')
    if (verifyTlogConsistency(from, oldRoot, n, touched(root, at), proof)) t.fail('another new root')
  }), { numRuns: 400 })
  for (const odd of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) {
    t.notOk(verifyTlogLeaf(LEAVES[0]!, odd, 8, [], LEAVES[0]!))
    t.notOk(verifyTlogLeaf(LEAVES[0]!, 0, odd, [], LEAVES[0]!))
    t.notOk(verifyTlogConsistency(odd, LEAVES[0]!, 8, LEAVES[0]!, []))
    t.notOk(verifyTlogConsistency(1, LEAVES[0]!, odd, LEAVES[0]!, []))
  }
})

t.test('beyond 32 bits', async (t) => {
  const n = 2 ** 45 + 12345
  const ranges = inclusionRanges(2 ** 40 + 7, n)
  t.ok(ranges.length <= PROOF_HASHES_MAX)
  t.equal(ranges.reduce((sum, { first, end }) => sum + end - first, 1), n, 'the siblings and the leaf are the whole tree')
})

t.test('an edge grows as the whole tree does, in any pieces, and from any size', async (t) => {
  fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 300 }), { minLength: 1, maxLength: 6 }), (pieces) => {
    const edge = new TileEdge()
    const levels: Uint8Array[][] = []
    let done = 0
    for (const piece of pieces) {
      const count = Math.min(piece, IDS.length - done)
      edge.append(concatBytes(...IDS.slice(done, done + count)), count, (level, hash) => void (levels[level] ??= []).push(hash.slice()))
      done += count
      if (toHex(edge.root()) !== toHex(rootOf(LEAVES.slice(0, done)))) t.fail(`root of ${done}`)
      const copy = new TileEdge()
      copy.restore(done, (level, first, width) => sourceOf(LEAVES).hashes(level, first, width))
      if (toHex(copy.root()) !== toHex(edge.root())) t.fail(`restored at ${done}`)
    }
    t.equal(levels[1]?.length ?? 0, levelHashes(1, done))
    levels[1]?.forEach((hash, i) => t.equal(toHex(hash), toHex(rootOf(LEAVES.slice(i * TILE_HASHES, (i + 1) * TILE_HASHES)))))
  }), { numRuns: 40 })
})

t.test('two levels of tiles', async (t) => {
  const edge = new TileEdge()
  const ids = randomBytes(32 * 256)
  const leaves = Array.from({ length: 256 }, (_, i) => leafOf(ids.subarray(32 * i, 32 * i + 32)))
  const tile = rootOf(leaves)
  const grown: string[] = []
  for (let i = 0; i < 256; i++) edge.append(ids, 256, (level, hash) => void grown.push(`${level} ${toHex(hash)}`))
  t.equal(grown.length, 257)
  t.equal(grown.filter((line) => line === `1 ${toHex(tile)}`).length, 256)
  t.equal(grown.at(-1), `2 ${toHex(rootOf(Array.from({ length: 256 }, () => tile)))}`)
  t.equal(toHex(edge.root()), grown.at(-1)!.slice(2))
})

t.test('paths of tiles', async (t) => {
  t.equal(tilePathOf({ level: 0, index: 1234067, width: 256 }), '0/x001/x234/067')
  t.equal(tilePathOf({ level: 'entries', index: 5, width: 17 }), 'entries/005.p/17')
  fc.assert(fc.property(fc.constantFrom<number | 'entries'>(0, 1, 6, 'entries'), fc.maxSafeNat(), fc.integer({ min: 1, max: 256 }), (level, index, width) => {
    t.strictSame(tilePlaceOf(tilePathOf({ level, index, width })), { level, index, width })
  }), { numRuns: 100 })
  for (const bad of ['', '0', '0/', '00/001', '0/1', '0/001.p/0', '0/001.p/256', '0/001.p/01', '0/x000/001', '0/001/002', '0/x001', '-1/001', '0/001/', 'e/001', '0/001.p/', `0/${'x999/'.repeat(9)}999`]) {
    t.equal(tilePlaceOf(bad), undefined, bad)
  }
})
