import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { toHex } from '../../../src/base/bytes.ts'
import { claimsOf, sourceClassOf } from '../../../src/cli/debian/claims.ts'
import { describeList, installedLists, openList } from '../../../src/cli/debian/lists.ts'
import { STANZA_BYTES_MAX, stanzasOf, type Stanza } from '../../../src/cli/debian/stanzas.ts'
import { runImportDebian, shortName } from '../../../src/cli/import-debian.ts'
import { LINE_BYTES_MAX, linesOf } from '../../../src/cli/lines.ts'
import { completeDraft } from '../../../src/client/draft.ts'
import { checkAssertion, initHash } from '../../../src/record/claim.ts'
import { FakeNode } from '../client/fake-node.ts'
import { repoRoot } from '../../support/root.ts'
import { testConsole } from './test-console.ts'

const fixtures = join(repoRoot, 'test/unit/cli/fixtures')
const SECURITY = join(fixtures, 'example.org_debian-security_dists_bookworm-security_main_binary-amd64_Packages')
const MAIN = join(fixtures, 'example.org_debian_dists_bookworm_main_binary-amd64_Packages')

async function* chunksOf(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

async function all<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = []
  for await (const item of source) items.push(item)
  return items
}

const stanzas = (text: string): Promise<Stanza[]> => all(stanzasOf(linesOf(chunksOf(new TextEncoder().encode(text), 7))))

t.before(() => initHash())

t.test('lines, however the bytes are cut', async (t) => {
  const text = 'eins\r\nzwei\n\nvïer\n\r\nend'
  const expected = ['eins', 'zwei', '', 'vïer', '', 'end']
  for (let size = 1; size < 12; size++) {
    t.strictSame(await all(linesOf(chunksOf(new TextEncoder().encode(text), size))), expected, `chunks of ${size}`)
  }
  t.strictSame(await all(linesOf(chunksOf(new Uint8Array(0), 1))), [])
  await t.rejects(all(linesOf(chunksOf(new Uint8Array([97, 10, 0xff, 10]), 4))), { code: 'text_not_utf8', details: { line: 2 } })
  await t.rejects(all(linesOf(chunksOf(new Uint8Array(LINE_BYTES_MAX + 1).fill(97), 65_536))), { code: 'field_too_long' })
})

t.test('stanzas', async (t) => {
  const [security] = await stanzas(readFileSync(SECURITY, 'utf8'))
  t.equal(security!.fields.get('depends'), 'libc6 (>= 2.34),\nlibwidget2 (>= 0.9)', 'a folded field')
  t.match(security!.fields.get('description'), /^library that frobnicates\nEverything/)
  t.equal((await stanzas(readFileSync(MAIN, 'utf8'))).length, 2, 'two blank lines and a comment between')
  t.strictSame(await stanzas('\n\n'), [])
  for (const wrong of ['no field here', ' continuation of nothing', 'A: 1\nA: 2', ': 1', 'a b: 1']) {
    await t.rejects(stanzas(wrong), { code: 'parameter_invalid' }, wrong)
  }
  await t.rejects(stanzas(`A: ${'x'.repeat(STANZA_BYTES_MAX)}`), { code: 'parameter_invalid' })
  await t.rejects(stanzas(Array.from({ length: 300 }, (_, i) => `F${i}: 1`).join('\n')), { code: 'parameter_invalid' })
})

t.test('tiers by the name of a list', async (t) => {
  const tier = (name: string): number => sourceClassOf(name)
  t.equal(tier('deb.debian.org_debian-security_dists_bookworm-security_main_binary-amd64_Packages'), 0)
  t.equal(tier('deb.debian.org_debian_dists_bookworm-updates_main_binary-amd64_Packages'), 1)
  t.equal(tier('deb.debian.org_debian_dists_bookworm_main_binary-amd64_Packages'), 2)
  t.equal(tier('deb.debian.org_debian_dists_bookworm-backports_main_binary-amd64_Packages'), 3)
  t.equal(tier('packages.example.com_apt_dists_stable_main_binary-amd64_Packages'), 4)
  t.equal(shortName('deb.debian.org_debian_dists_bookworm-updates_main_binary-amd64_Packages'), 'bookworm-updates main')
})

t.test('claims of a package', async (t) => {
  const list = describeList(SECURITY)
  t.strictSame(list, { name: SECURITY.slice(fixtures.length + 1), releasedAtMs: Date.parse('2026-11-21T00:53:02Z'), sourceClass: 0 }, 'time of the release beside it')
  const [stanza] = await stanzas(readFileSync(SECURITY, 'utf8'))
  const claims = claimsOf(stanza!, list)
  const byPredicate = new Map(claims.map((claim) => [claim.predicate, claim]))
  t.equal(byPredicate.get('version')?.object, '1.2-3+deb12u1')
  t.equal(byPredicate.get('installed-size')?.object, 120, 'a number')
  t.equal(byPredicate.get('homepage')?.object, 'https://example.org/frobnicate')
  for (const claim of claims) {
    t.match(claim, { subject: 'debian/libfrobnicate1', sourceClass: 0, sourceUri: `apt-list:${list.name}`, assertedAtMs: list.releasedAtMs })
    t.doesNotThrow(() => checkAssertion(completeDraft(claim, new Uint8Array(32), 0)), claim.predicate)
  }
  t.equal(new Set(claims.map((claim) => toHex(claim.sourceHash!))).size, 1)
  const [, tools] = await stanzas(readFileSync(MAIN, 'utf8'))
  t.notOk(claimsOf(tools!, list).some((claim) => claim.predicate === 'installed-size'), 'what is no number is no claim')
  t.strictSame(claimsOf((await stanzas('Version: 1'))[0]!, list), [], 'no name, no claim')
  t.strictSame(claimsOf((await stanzas('Package: ../../etc'))[0]!, list), [], 'no name of a package')
})

t.test('lists on disk: plain, gzip, broken', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'stemedb-lists-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  t.throws(() => installedLists(dir), { code: 'not_found' })
  t.throws(() => installedLists(join(dir, 'none')), { code: 'not_found' })
  const text = readFileSync(MAIN)
  const plain = join(dir, 'x_dists_y_main_binary-amd64_Packages')
  writeFileSync(plain, text)
  writeFileSync(`${plain}.gz`, gzipSync(text))
  writeFileSync(join(dir, 'x_dists_y_InRelease'), 'Date: not a date\n')
  t.strictSame(installedLists(dir), [plain, `${plain}.gz`])
  for (const path of [plain, `${plain}.gz`]) {
    const list = openList(path)
    t.equal(Buffer.concat(await all(list.chunks)).toString(), text.toString())
    t.equal(list.bytesRead(), list.bytesTotal)
    t.ok(describeList(path).releasedAtMs > Date.parse('2020-01-01'), 'the time of the file where the release has none')
  }
  writeFileSync(`${plain}.gz`, 'no gzip')
  await t.rejects(all(openList(`${plain}.gz`).chunks), { code: 'parameter_invalid' })
  t.throws(() => openList(join(dir, 'gone')), { code: 'parameter_invalid' })
})

t.test('import: contradicting lists into a node, twice the same', async (t) => {
  const node = await FakeNode.start()
  const dir = mkdtempSync(join(tmpdir(), 'stemedb-import-'))
  t.teardown(async () => {
    await node.stop()
    rmSync(dir, { recursive: true })
  })
  const options = { url: node.url, keyFile: join(dir, 'agent.key'), json: true }
  const console = testConsole()
  t.equal(await runImportDebian([SECURITY, MAIN], options, console), 0)
  const [security, main] = console.outLines.map((line) => JSON.parse(line) as Record<string, number>)
  t.match(security, { packages: 1, accepted: 12, duplicates: 0, refused: 0, source_class: 0 })
  t.match(main, { packages: 2, accepted: 10, refused: 0 })
  t.equal(node.stored.size, 22)
  t.match(console.errLines.join(), /Made a new agent key/)
  const again = testConsole()
  t.equal(await runImportDebian([SECURITY], options, again), 0)
  t.match(JSON.parse(again.outLines[0]!), { accepted: 0, duplicates: 12 })
  const broken = join(dir, 'Packages')
  writeFileSync(broken, 'this is no package list')
  await t.rejects(runImportDebian([broken], options, testConsole()), { code: 'parameter_invalid', message: `${broken}, line 1: neither a field (Name: value) nor its continuation` })
  writeFileSync(broken, 'root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/:/bin/sh\n')
  const none = testConsole()
  await t.rejects(runImportDebian([broken], options, none), { code: 'parameter_invalid', message: /line 1: no field Package/ }, 'something else that looks like fields')
  t.strictSame(none.outLines, [])
  writeFileSync(broken, `${readFileSync(MAIN, 'utf8')}\n\nVersion: 1\n`)
  const half = testConsole()
  await t.rejects(runImportDebian([broken], options, half), { code: 'parameter_invalid', details: { path: broken } })
  t.match(JSON.parse(half.outLines[0]!), { packages: 2, accepted: 10, refused: 0 }, 'what stands before it is stored, and told')
  for (const limit of ['x', '0', '-5', '1.5', '']) {
    await t.rejects(runImportDebian([MAIN], { ...options, limit }, testConsole()), { code: 'parameter_invalid', message: /--limit/ }, limit)
  }
})
