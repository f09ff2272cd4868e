import fc from 'fast-check'
import t from 'tap'
import { EntryArena } from '../../../src/store/entry-arena.ts'
import { EntryNode, NodePacker } from '../../../src/store/entry-node.codec.ts'
import { ENTRY_KEY } from '../../../src/store/entry-runs.layout.ts'
import { EntryPageCache } from '../../../src/store/entry-page-cache.ts'

/** A page that can be told from others by its key. */
function pageOf(run: number, number: number): EntryNode {
  const arena = new EntryArena(1)
  arena.room()
  arena.bytes.set([run, number], arena.end + ENTRY_KEY)
  arena.added(2)
  return new EntryNode(new NodePacker().pack(arena, Uint32Array.of(0), 0, 1).slice())
}

const RUN = 1

t.test('gives what was kept and nothing else, and forgets the oldest', async (t) => {
  const cache = new EntryPageCache(2)
  cache.keep(RUN, 1, pageOf(1, 1))
  cache.keep(RUN, 2, pageOf(1, 2))
  t.same(cache.get(1, 1)?.key(0), Uint8Array.of(1, 1))
  t.equal(cache.get(2, 1), undefined)
  // The third makes the first two old; one of them is asked for, and outlives the next turn.
  cache.keep(RUN, 3, pageOf(1, 3))
  t.ok(cache.get(1, 1))
  cache.keep(RUN, 4, pageOf(1, 4))
  t.equal(cache.get(1, 2), undefined, 'nobody had asked for it')
  t.ok(cache.get(1, 1))
})

t.test('any history: what it gives was kept last for that place, of a run that was not dropped since; it is bounded', async (t) => {
  const place = fc.record({ run: fc.nat(3), number: fc.nat(5) })
  const step = fc.oneof(
    place.map((at) => ({ kind: 'keep' as const, ...at })), place.map((at) => ({ kind: 'get' as const, ...at })),
    fc.uniqueArray(fc.nat(3), { maxLength: 3 }).map((runs) => ({ kind: 'retain' as const, runs })),
  )
  t.doesNotThrow(() => fc.assert(fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
    const cache = new EntryPageCache(4)
    const kept = new Map<string, EntryNode>()
    const found = new Set<string>()
    for (const one of steps) {
      if (one.kind === 'keep') {
        const page = pageOf(one.run, one.number)
        cache.keep(one.run, one.number, page)
        kept.set(`${one.run}/${one.number}`, page)
      } else if (one.kind === 'retain') {
        cache.retain(new Set(one.runs))
        for (const key of kept.keys()) if (!one.runs.includes(Number(key.split('/')[0]))) kept.delete(key)
      } else {
        const page = cache.get(one.run, one.number)
        if (page !== undefined && page !== kept.get(`${one.run}/${one.number}`)) return false
      }
    }
    for (const run of [0, 1, 2, 3]) for (let n = 0; n <= 5; n++) if (cache.get(run, n) !== undefined) found.add(`${run}/${n}`)
    return found.size <= 8
  })))
})
