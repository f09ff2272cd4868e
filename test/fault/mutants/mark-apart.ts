// The store's applied mark goes out in a write of its own, before the data that it speaks of.
import { createRequire } from 'node:module'
import { META_APPLIED_KEY } from '../../../src/store/keyspace.layout.ts'
import type { External, RocksBinding } from '../../../src/store/rocksdb-binding.ts'

const binding = createRequire(import.meta.url)('rocksdb/binding.js') as RocksBinding
const { batch_put: put, batch_write: write } = binding
const marks = new WeakMap<External, Parameters<typeof put>>()
const isMark = (key: Uint8Array): boolean => key.length === META_APPLIED_KEY.length && META_APPLIED_KEY.every((byte, i) => key[i] === byte)

binding.batch_put = (...args) => {
  if (isMark(args[1])) marks.set(args[0], args)
  else put(...args)
}
binding.batch_write = (db, batch, options) => {
  const mark = marks.get(batch)
  marks.delete(batch)
  if (mark !== undefined) {
    const own = binding.batch_init()
    put(own, mark[1], mark[2], mark[3])
    write(db, own, options)
  }
  write(db, batch, options)
}
