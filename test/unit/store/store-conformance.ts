import fc from 'fast-check'
import type { Test } from 'tap'
import { compareBytes, toHex } from '../../../src/base/bytes.ts'
import { COLUMNS, type ColumnName, type Store } from '../../../src/store/store.ts'

const key = (...bytes: number[]): Uint8Array => Uint8Array.from(bytes)

const hexRows = (rows: readonly Uint8Array[]): string[] => rows.map((bytes) => toHex(bytes))

/** What every implementation of Store must do; each gives a fresh, empty store. */
export function storeConformance(t: Test, create: () => Promise<Store>): void {
  t.test('get, put, overwrite, delete, in columns of their own', async (t) => {
    const store = await create()
    const batch = store.batch()
    batch.put('sp', key(1), key(10))
    batch.put('ids', key(1), key(20))
    t.equal(batch.count, 2)
    t.equal(batch.bytes, 4)
    t.equal(store.get('sp', key(1)), undefined, 'nothing before the write')
    batch.write()
    t.equal(batch.count, 0, 'empty after the write')
    t.same(store.get('sp', key(1)), key(10))
    t.same(store.get('ids', key(1)), key(20))
    t.equal(store.get('log', key(1)), undefined)
    batch.put('sp', key(1), key(11))
    batch.del('ids', key(1))
    batch.put('log', key(2), new Uint8Array(0))
    batch.write({ sync: true })
    t.same(store.multiGet('sp', [key(9), key(1)]), [undefined, key(11)])
    t.equal(store.get('ids', key(1)), undefined)
    t.equal(store.get('log', key(2))?.length, 0, 'an empty value is a value')
    await store.close()
  })

  t.test('the last of several writes of a key in one batch counts', async (t) => {
    const store = await create()
    const batch = store.batch()
    batch.put('sp', key(1), key(1))
    batch.del('sp', key(1))
    batch.put('sp', key(1), key(3))
    batch.put('sp', key(2), key(1))
    batch.del('sp', key(2))
    batch.write()
    t.same(store.get('sp', key(1)), key(3))
    t.equal(store.get('sp', key(2)), undefined)
    await store.close()
  })

  t.test('scratch buffers may be reused at once, and results are the caller\'s', async (t) => {
    const store = await create()
    const batch = store.batch()
    const scratch = new Uint8Array(8)
    for (let i = 0; i < 5; i++) {
      scratch.fill(i)
      batch.put('agent', scratch.subarray(0, 3), scratch.subarray(0, 4))
    }
    scratch.fill(0xff)
    batch.write()
    const value = store.get('agent', key(2, 2, 2))!
    t.same(value, key(2, 2, 2, 2))
    value.fill(9)
    t.same(store.get('agent', key(2, 2, 2)), key(2, 2, 2, 2))
    await store.close()
  })

  t.test('a range has one state, bounds, both directions and parts', async (t) => {
    const store = await create()
    const batch = store.batch()
    for (let i = 0; i < 10; i++) batch.put('sp', key(i), key(i, i))
    batch.write()
    const range = store.range('sp', { gte: key(2), lt: key(6) })
    t.same(hexRows(range.next(3)), ['02', '0202', '03', '0303', '04', '0404'])
    batch.put('sp', key(5, 5), key(1))
    batch.write()
    t.same(hexRows(range.next(3)), ['05', '0505'], 'the write after its start is not in it')
    t.same(range.next(3), [])
    range.close()
    range.close()
    const back = store.range('sp', { gte: key(2), lt: key(6), reverse: true, fillCache: true })
    t.same(hexRows(back.next(2)), ['0505', '01', '05', '0505'])
    back.close()
    t.same(back.next(2), [], 'nothing after close')
    const all = store.range('sp')
    t.equal(all.next(100).length, 22)
    all.close()
    const none = store.range('sp', { gte: key(6), lt: key(6) })
    t.same(none.next(10), [])
    none.close()
    await store.close()
  })

  t.test('clearRange removes a half-open range', async (t) => {
    const store = await create()
    const batch = store.batch()
    for (let i = 0; i < 6; i++) batch.put('ids', key(i), key(i))
    batch.write()
    store.clearRange('ids', key(1), key(4))
    const range = store.range('ids')
    t.same(hexRows(range.next(100)), ['00', '00', '04', '04', '05', '05'])
    range.close()
    await store.close()
  })

  t.test('is a map of ordered bytes, whatever is done to it', async (t) => {
    const bytes = fc.uint8Array({ minLength: 0, maxLength: 4 })
    const column = fc.constantFrom<ColumnName>('sp', 'log')
    const operation = fc.oneof(
      fc.record({ kind: fc.constant('put' as const), column, key: bytes, value: bytes }),
      fc.record({ kind: fc.constant('del' as const), column, key: bytes }),
      fc.record({ kind: fc.constant('write' as const) }),
      fc.record({ kind: fc.constant('forget' as const) }),
    )
    await fc.assert(fc.asyncProperty(fc.array(operation, { maxLength: 60 }), async (operations) => {
      const store = await create()
      const model = new Map(COLUMNS.map((name) => [name, new Map<string, Uint8Array>()]))
      const batch = store.batch()
      let pending: (() => void)[] = []
      for (const op of operations) {
        if (op.kind === 'put') {
          batch.put(op.column, op.key, op.value)
          pending.push(() => model.get(op.column)!.set(toHex(op.key), op.value))
        } else if (op.kind === 'del') {
          batch.del(op.column, op.key)
          pending.push(() => model.get(op.column)!.delete(toHex(op.key)))
        } else {
          if (op.kind === 'write') { batch.write(); for (const change of pending) change() } else batch.clear()
          pending = []
        }
      }
      for (const name of COLUMNS) {
        const expected = [...model.get(name)!].map(([k, v]) => [Uint8Array.from(Buffer.from(k, 'hex')), v] as const)
          .sort((a, b) => compareBytes(a[0], b[0])).flatMap(([k, v]) => [toHex(k), toHex(v)])
        const range = store.range(name)
        const actual = hexRows(range.next(1000))
        range.close()
        if (JSON.stringify(actual) !== JSON.stringify(expected)) throw new Error(`${name}: ${actual.join()} for ${expected.join()}`)
      }
      await store.close()
    }), { numRuns: 25 })
    t.pass()
  })
}
