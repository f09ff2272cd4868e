import t from 'tap'
import { Builder } from 'flatbuffers'
import fc from 'fast-check'
import { Ack } from '../../src/fbs/stemedb/ack.ts'
import { Acks } from '../../src/fbs/stemedb/acks.ts'
import { History, isWhole, type Broken, type FoundClaim } from '../support/history.ts'
import { OrderLint, type RecordPlace } from '../support/strace.lint.ts'
import { parseLine, type SystemCall } from '../support/strace.ts'

// Whoever checks the server has to be checked first: one history for each verdict, and mutations of good ones.

const found = (...claims: readonly [id: string, lsn: number, print?: string][]): Map<string, FoundClaim> =>
  new Map(claims.map(([id, lsn, print]) => [id, { id, lsn, print: print ?? `print of ${id}` }]))
const claims = (...ids: readonly string[]): { id: string, print: string }[] => ids.map((id) => ({ id, print: `print of ${id}` }))

/** a and b acked in one batch, c unknown, d refused. */
function history(): History {
  const h = new History()
  h.attempt(claims('a', 'b'))
  h.attempt(claims('c'))
  h.attempt(claims('d'))
  h.acked('a', 1)
  h.acked('b', 2)
  h.unknown('c')
  h.refused('d')
  return h
}
const all = ['a', 'b', 'c', 'd']
const brokenKinds = (broken: Broken): string[] => (Object.keys(broken) as (keyof Broken)[]).filter((kind) => broken[kind].length > 0).sort()

t.test('a read that shows all that was acked is whole, whatever became of the unknown', async (t) => {
  const without = history().judge(all, found(['a', 1], ['b', 2]))
  t.ok(isWhole(without))
  t.match(without.counts, { attempted: 4, acked: 2, refused: 1, recovered: 0, dropped: 1, found: 2 })
  const recovered = history().judge(all, found(['a', 1], ['b', 2], ['c', 3]))
  t.ok(isWhole(recovered))
  t.match(recovered.counts, { recovered: 1, dropped: 0 })
})

t.test('each verdict has a history of its own', async (t) => {
  const cases: [what: string, kinds: string[], reading: Map<string, FoundClaim>][] = [
    ['one acked is gone, and with it a part of its batch', ['lost', 'torn'], found(['a', 1])],
    ['all acked ones of a batch are gone', ['lost'], found()],
    ['nobody sent it', ['phantom'], found(['a', 1], ['b', 2], ['x', 3])],
    ['other content', ['torn'], found(['a', 1, 'something else'], ['b', 2])],
    ['refused as certainly not applied', ['refusedButPresent'], found(['a', 1], ['b', 2], ['d', 3])],
    ['another LSN than the ack said', ['duplicated'], found(['a', 1], ['b', 5])],
    ['an LSN that another one has', ['duplicated'], found(['a', 1], ['b', 2], ['c', 2])],
  ]
  for (const [what, kinds, reading] of cases) t.same(brokenKinds(history().judge(all, reading).broken), kinds, what)
})

t.test('what a read has shown must stay', async (t) => {
  const h = history()
  h.seen('c')
  t.same(brokenKinds(h.judge(all, found(['a', 1], ['b', 2])).broken), ['vanished'])
  const other = history()
  t.ok(isWhole(other.judge(all, found(['a', 1], ['b', 2], ['c', 3]))), 'the first read settles the unknown one')
  t.same(brokenKinds(other.judge(all, found(['a', 1], ['b', 2])).broken), ['vanished'], 'the second one has to show it too')
})

t.test('a batch without an answer is there as a whole or not at all', async (t) => {
  const h = new History()
  h.attempt(claims('a', 'b', 'c'))
  for (const id of ['a', 'b', 'c']) h.unknown(id)
  t.same(brokenKinds(h.judge(['a', 'b', 'c'], found(['a', 1], ['b', 2])).broken), ['torn'])
})

t.test('acks that contradict each other', async (t) => {
  const twice = history()
  twice.acked('a', 9)
  t.same(brokenKinds(twice.judge(all, found(['a', 9], ['b', 2])).broken), ['duplicated'], 'a resend was acked with another LSN')
  const shared = history()
  shared.acked('c', 2)
  t.same(brokenKinds(shared.judge(all, found(['a', 1], ['b', 2], ['c', 2])).broken).includes('duplicated'), true, 'two ids have one LSN')
})

t.test('a resend that is refused says nothing about the first attempt', async (t) => {
  const h = history()
  h.resent('c')
  h.refused('c')
  t.ok(isWhole(h.judge(all, found(['a', 1], ['b', 2], ['c', 3]))))
  const acked = history()
  acked.refused('a')
  t.same(brokenKinds(acked.judge(all, found(['b', 2])).broken), ['lost', 'torn'], 'an acked one stays acked')
})

t.test('the log may not count more than was seen', async (t) => {
  const h = history()
  const verdict = h.judge(all, found(['a', 1], ['b', 2]))
  t.ok(isWhole(h.judgeCount(2, verdict)))
  t.same(brokenKinds(h.judgeCount(3, verdict).broken), ['phantom'])
})

t.test('every mutation of a good history is found', async (t) => {
  const good = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 20 })
  fc.assert(fc.property(good, fc.nat(), fc.constantFrom('drop', 'add', 'content', 'move'), (sizes, pick, mutation) => {
    const h = new History()
    const reading = new Map<string, FoundClaim>()
    let lsn = 0
    sizes.forEach((size, batch) => {
      const ids = Array.from({ length: size }, (_, i) => `${batch}.${i}`)
      h.attempt(claims(...ids))
      for (const id of ids) {
        h.acked(id, ++lsn)
        reading.set(id, { id, lsn, print: `print of ${id}` })
      }
    })
    const ids = [...reading.keys()]
    const victim = reading.get(ids[pick % ids.length]!)!
    if (mutation === 'drop') reading.delete(victim.id)
    if (mutation === 'add') reading.set('never', { id: 'never', lsn: lsn + 1, print: '' })
    if (mutation === 'content') reading.set(victim.id, { ...victim, print: 'other' })
    if (mutation === 'move') reading.set(victim.id, { ...victim, lsn: lsn + 7 })
    const expected = { drop: 'lost', add: 'phantom', content: 'torn', move: 'duplicated' }[mutation]
    return brokenKinds(h.judge(ids, reading).broken).includes(expected)
  }), { numRuns: 200 })
  t.pass('200 histories')
})

const hex = (text: string | Uint8Array): string => [...Buffer.from(text)].map((b) => `\\x${b.toString(16).padStart(2, '0')}`).join('')
const DIR = '/data'
const WAL = '/data/wal/0000000001.wal'
const file = (path: string): string => `7<${hex(path)}>`
const SOCKET = '9<TCP:[127.0.0.1:1->127.0.0.1:2]>'

function ackFrame(firstLsn: number, accepted: number): Uint8Array {
  const builder = new Builder(128)
  const ack = Ack.createAck(builder, 1n, BigInt(firstLsn), 1n, accepted, 0, 0, 0, 0)
  builder.finish(Acks.createAcks(builder, Acks.createAcksVector(builder, [ack]), 0), 'SACK')
  const body = builder.asUint8Array()
  return Buffer.concat([Buffer.from([0x82, body.length]), body])
}

const lines = {
  create: `1 openat(AT_FDCWD, "${hex(WAL)}", O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC, 0600) = 7<${hex(WAL)}>`,
  dirsync: `1 fsync(8<${hex('/data/wal')}>) = 0`,
  mkdir: `1 mkdir("${hex('/data/wal')}", 0700) = 0`,
  parentsync: `1 fsync(8<${hex(DIR)}>) = 0`,
  write: `1 pwrite64(${file(WAL)}, "${hex('abcd')}"..., 4096, 512) = 4096`,
  sync: `1 fdatasync(${file(WAL)}) = 0`,
  syncBegins: `1 fdatasync(${file(WAL)} <unfinished ...>`,
  syncEnds: '1 <... fdatasync resumed>) = 0',
  syncFails: `1 fdatasync(${file(WAL)}) = -1 EIO (Input/output error)`,
  upgrade: `2 sendto(${SOCKET}, "${hex('HTTP/1.1 101 Switching Protocols\r\n\r\n')}", 36, MSG_NOSIGNAL, NULL, 0) = 36`,
  ack: `2 sendto(${SOCKET}, "${hex(ackFrame(1, 3))}", 90, MSG_NOSIGNAL, NULL, 0) = 90`,
  read: `2 sendto(6<TCP:[127.0.0.1:1->127.0.0.1:3]>, "${hex('HTTP/1.1 200 OK\r\n\r\n{"id":"00","lsn":2}')}", 40, MSG_NOSIGNAL, NULL, 0) = 40`,
} as const

const places: RecordPlace[] = [{ firstLsn: 1, count: 3, path: WAL, offset: 512 }]

function lint(...order: readonly (keyof typeof lines)[]): ReturnType<OrderLint['finish']> {
  const unfinished = new Map<number, string>()
  const subject = new OrderLint(DIR, places, ['db/'])
  for (const name of order) subject.feed(parseLine(lines[name], unfinished)!)
  return subject.finish()
}

t.test('the order of system calls: good ones', async (t) => {
  const whole = lint('mkdir', 'parentsync', 'create', 'dirsync', 'upgrade', 'write', 'sync', 'ack', 'read')
  t.match(whole, { acks: 1, earlyAcks: 0, reads: 1, earlyReads: 0, namelessAcks: 0, syncs: 1, nameChanges: 2 })
  t.same(whole.unsyncedNames, [])
  t.same(whole.blind, [])
  t.match(lint('create', 'dirsync', 'upgrade', 'write', 'syncBegins', 'syncEnds', 'ack'), { acks: 1, earlyAcks: 0 })
})

t.test('the order of system calls: bad ones', async (t) => {
  t.match(lint('create', 'dirsync', 'upgrade', 'write', 'ack', 'sync'), { acks: 1, earlyAcks: 1 }, 'ack before the sync')
  t.match(lint('create', 'dirsync', 'upgrade', 'sync', 'write', 'ack'), { acks: 1, earlyAcks: 1 }, 'sync before the write')
  t.match(lint('create', 'dirsync', 'upgrade', 'write', 'syncBegins', 'ack', 'syncEnds'), { acks: 1, earlyAcks: 1 }, 'ack while it syncs')
  t.match(lint('create', 'dirsync', 'upgrade', 'syncBegins', 'write', 'syncEnds', 'ack'), { earlyAcks: 1 }, 'a sync that began too early')
  t.match(lint('create', 'dirsync', 'upgrade', 'write', 'syncFails', 'ack'), { earlyAcks: 1 }, 'a sync that failed')
  t.match(lint('create', 'dirsync', 'write', 'read', 'sync'), { reads: 1, earlyReads: 1 }, 'a read before the sync')
  t.match(lint('create', 'upgrade', 'write', 'sync', 'ack', 'dirsync'), { earlyAcks: 0, namelessAcks: 1 }, 'a name that may be gone')
  t.match(lint('mkdir', 'create', 'dirsync', 'upgrade', 'write', 'sync', 'ack'), { namelessAcks: 1 }, 'a folder that may be gone')
  t.same(lint('create').unsyncedNames, [WAL])
})

t.test('strace lines', async (t) => {
  const unfinished = new Map<number, string>()
  const parse = (line: string): SystemCall | undefined => parseLine(line, unfinished)
  t.match(parse('12 fsync(3</x>)         = 0'), { phase: 'whole', thread: 12, name: 'fsync', args: '3</x>', result: 0 })
  t.match(parse('12 openat(AT_FDCWD, "\\x2f", O_RDONLY) = -1 ENOENT (No such file or directory)'), { name: 'openat', result: -1 })
  t.match(parse('12 write(1, "\\x29\\x20\\x3d", 3 <unfinished ...>'), { phase: 'enter', name: 'write', result: undefined })
  t.match(parse('12 <... write resumed>) = 3'), { phase: 'exit', name: 'write', args: '1, "\\x29\\x20\\x3d", 3', result: 3 })
  t.equal(parse('12 +++ exited with 0 +++'), undefined)
})
