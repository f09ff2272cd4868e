import fc from 'fast-check'
import { createHash } from 'node:crypto'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { IdFilter } from '../../../src/store/id-filter.ts'
import { ID_HASH_KEY_BYTES, IdHash } from '../../../src/store/id-hash.ts'

const key = (n: number): Uint8Array => new Uint8Array(createHash('sha256').update(`key ${n}`).digest())
const idOf = (n: number): Uint8Array => new Uint8Array(createHash('sha256').update(String(n)).digest())

t.test('fingerprints depend on the key and on every one of 16 bytes', async (t) => {
  const a = new IdHash(key(1))
  const b = new IdHash(key(2))
  const id = idOf(1)
  a.compute(id, 0)
  b.compute(id, 0)
  t.not(a.hi, b.hi)
  t.not(a.lo, b.lo)
  const { hi, lo } = a
  const shifted = new Uint8Array(50)
  shifted.set(id, 13)
  a.compute(shifted, 13)
  t.same([a.hi, a.lo], [hi, lo], 'the same at another offset')
  for (let bit = 0; bit < 128; bit++) {
    const flipped = id.slice()
    flipped[bit >> 3]! ^= 1 << (bit & 7)
    a.compute(flipped, 0)
    if (a.hi === hi || a.lo === lo) t.fail(`bit ${bit} does not count`)
  }
  t.equal(ID_HASH_KEY_BYTES, 32)
  t.throws(() => new IdHash(new Uint8Array(31)))
})

t.test('whoever aims at a bucket without the key misses it', async (t) => {
  // Ids whose first 16 bits are all the same, as a search would find them.
  const hash = new IdHash(key(3))
  const buckets = new Map<number, number>()
  for (let n = 0; n < 8192; n++) {
    const id = idOf(n)
    id[0] = 7
    id[1] = 7
    hash.compute(id, 0)
    const bucket = hash.hi >>> 22
    buckets.set(bucket, (buckets.get(bucket) ?? 0) + 1)
  }
  t.ok(buckets.size > 1000, 'all of 1024 buckets are hit')
  t.ok(Math.max(...buckets.values()) < 40, 'none of them often')
})

t.test('no id that was added is ever denied, however often the filter grows meanwhile', async () => {
  fc.assert(fc.property(fc.uniqueArray(fc.integer(), { maxLength: 400 }), fc.integer({ min: 6, max: 14 }), fc.constantFrom(0, 0, 14, 16), (numbers, bits, bitsMax) => {
    const filter = IdFilter.create(2 ** bits, Math.max(2 ** bits, 2 ** bitsMax))
    filter.markComplete()
    const hash = new IdHash(key(4))
    const other = new IdFilter(filter.buffer)
    for (const n of numbers) {
      hash.compute(idOf(n), 0)
      filter.add(hash.hi, hash.lo)
    }
    return other.addedCount === numbers.length && numbers.every((n) => {
      hash.compute(idOf(n), 0)
      return other.mayContain(hash.hi, hash.lo)
    })
  }), { numRuns: 100 })
})

t.test('the last ids that were added stand from the stage on that is named for them, complete or not', async (t) => {
  const hash = new IdHash(key(7))
  let later = 0
  for (const [firstBytes, bytesMax] of [[64, 64], [64, 4096], [4096, 4096]] as const) {
    const filter = IdFilter.create(firstBytes, bytesMax)
    for (let added = 1; added <= 300; added++) {
      hash.compute(idOf(added), 0)
      filter.add(hash.hi, hash.lo)
      for (const count of [1, 7, 40, 1000]) {
        const stage = filter.stageOfLast(count)
        if (stage > 0) later++
        for (let n = Math.max(1, added - count + 1); n <= added; n++) {
          hash.compute(idOf(n), 0)
          if (!filter.mayContainFrom(stage, hash.hi, hash.lo)) t.fail(`id ${n} of ${added}, among the last ${count}`)
        }
      }
    }
  }
  t.ok(later > 300, 'and not all are looked through')
})

t.test('false alarms at 10.7 bits an id are near 1%, and the fill says how full it is', async (t) => {
  const filter = IdFilter.create(2 ** 17)
  filter.markComplete()
  const hash = new IdHash(key(5))
  t.equal(filter.fillRatio(), 0)
  const ids = Math.floor(2 ** 20 / 10.74)
  for (let n = 0; n < ids; n++) {
    hash.compute(idOf(n), 0)
    filter.add(hash.hi, hash.lo)
  }
  let alarms = 0
  const asked = 50_000
  for (let n = 0; n < asked; n++) {
    hash.compute(idOf(-1 - n), 0)
    if (filter.mayContain(hash.hi, hash.lo)) alarms++
  }
  t.ok(alarms / asked < 0.02, `${alarms} of ${asked}`)
  t.ok(alarms > 0, 'and it is no set')
  const fill = filter.fillRatio()
  t.ok(fill > 0.45 && fill < 0.6, `fill ${fill}`)
})

t.test('a filter grows in stages, and stays as sure', async (t) => {
  const filter = IdFilter.create(2 ** 12, 2 ** 16)
  filter.markComplete()
  const hash = new IdHash(key(6))
  // Stages of 4, 8, 16 and 32 KiB are 60 KiB; another one would go beyond the 64.
  t.equal(filter.buffer.byteLength, 64 + 60 * 1024)
  const stages: number[] = []
  const add = (from: number, to: number): void => {
    for (let n = from; n < to; n++) {
      hash.compute(idOf(n), 0)
      filter.add(hash.hi, hash.lo)
    }
    stages.push(filter.stageCount)
  }
  const alarms = (): number => {
    let count = 0
    for (let n = 1; n <= 20_000; n++) {
      hash.compute(idOf(-n), 0)
      if (filter.mayContain(hash.hi, hash.lo)) count++
    }
    return count / 20_000
  }
  const ends = [0]
  for (const kib of [4, 8, 16, 32]) ends.push(ends.at(-1)! + Math.floor(kib * 1024 * 8 / 32))
  for (let i = 1; i < ends.length; i++) add(ends[i - 1]!, ends[i]!)
  t.same(stages, [1, 2, 3, 4])
  const full = alarms()
  t.ok(full < 0.0007, `${full} of new ids are taken for known ones by four full stages`)
  const fill = filter.fillRatio()
  t.ok(fill > 0.18 && fill < 0.26, `the youngest one is filled to ${fill}`)
  add(ends[4]!, 2 * ends[4]!)
  t.equal(filter.stageCount, 4, 'the last one takes the rest')
  t.ok(filter.fillRatio() > 0.4 && alarms() > 2 * full, 'and is less sure')
  const other = new IdFilter(filter.buffer)
  let denied = 0
  for (let n = 0; n < 2 * ends[4]!; n++) {
    hash.compute(idOf(n), 0)
    if (!other.mayContain(hash.hi, hash.lo)) denied++
  }
  t.equal(denied, 0)
})

t.test('an incomplete filter denies nothing', async (t) => {
  const filter = IdFilter.create(64)
  t.equal(filter.complete, false)
  t.equal(filter.mayContain(1, 1), true)
  filter.markComplete()
  t.equal(filter.complete, true)
  t.equal(filter.mayContain(1, 1), false)
  for (const bytes of [0, 32, 100]) t.throws(() => IdFilter.create(bytes))
})

t.test('another thread sees what was added before it was told', async (t) => {
  const filter = IdFilter.create(4096, 2 ** 20)
  filter.markComplete()
  const told = new Int32Array(new SharedArrayBuffer(4))
  const module = new URL('../../../src/store/id-filter.js', import.meta.url).href
  const worker = new Worker(`
    const { workerData, parentPort } = require('node:worker_threads')
    import(workerData.module).then(({ IdFilter }) => {
      const filter = new IdFilter(workerData.buffer)
      parentPort.postMessage('ready')
      let denied = 0
      for (let told = 0; told < 200000; told = Atomics.load(workerData.told, 0)) {
        if (told > 0 && !filter.mayContain(Math.imul(told, 0x9e3779b1), Math.imul(told, 0x85ebca6b))) denied++
      }
      parentPort.postMessage(denied)
    })`, { eval: true, workerData: { module, buffer: filter.buffer, told } })
  const message = (): Promise<unknown> => new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
  await message()
  const result = message()
  for (let n = 1; n <= 200_000; n++) {
    filter.add(Math.imul(n, 0x9e3779b1), Math.imul(n, 0x85ebca6b))
    Atomics.store(told, 0, n)
  }
  t.equal(await result, 0)
  t.equal(filter.addedCount, 200_000)
  await new Promise((resolve) => worker.once('exit', resolve))
})
