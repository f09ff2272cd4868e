import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { DbError } from '../../../src/base/errors.ts'
import { OPTION_NAMES, flagOf, variableOf } from '../../../src/config/options.ts'
import { renderConfigReference, renderEnvExample, sizeText } from '../../../src/cli/config-docs.ts'
import { reportError } from '../../../src/cli/console.ts'
import { EXIT, exitCodeOf } from '../../../src/base/exit-codes.ts'
import { nodeSigner } from '../../../src/cli/node-signer.ts'
import { createSigner } from '../../../src/client/client.ts'
import { encodeReceipt, FakeNode } from '../client/fake-node.ts'
import { repoRoot } from '../../support/root.ts'
import { run, testConsole } from './test-console.ts'

const COMMANDS = ['serve', 'assert', 'query', 'get', 'trace', 'concepts', 'import debian', 'load', 'tune', 'keygen', 'wal inspect', 'wal verify', 'wal cut', 'store verify', 'store rebuild', 'config', 'dashboard']

function tempDir(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'stemedb-cli-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  return dir
}

t.test('documents made from the table of settings are checked in', async (t) => {
  const howTo = 'run: node dist/src/cli/main.js config env > .env.example, and config markdown > docs/reference/config.md'
  t.equal(readFileSync(join(repoRoot, '.env.example'), 'utf8'), renderEnvExample(), howTo)
  t.equal(readFileSync(join(repoRoot, 'docs/reference/config.md'), 'utf8'), renderConfigReference(), howTo)
  const env = renderEnvExample()
  for (const name of OPTION_NAMES) t.ok(env.includes(`#${variableOf(name)}=`), name)
  t.strictSame([sizeText(0), sizeText(1000), sizeText(65_536), sizeText(3 << 20)], ['0', '1000', '64KiB', '3MiB'])
})

t.test('help, of everything, and every setting in that of serve', async (t) => {
  const top = await run(['--help'])
  t.equal(top.code, 0)
  for (const command of COMMANDS) {
    const help = await run([...command.split(' '), '--help'])
    t.equal(help.code, 0, command)
    const text = help.outLines.join('\n')
    t.match(text, new RegExp(`Usage: stemedb ${command}`))
    t.ok(text.includes('--json'), `${command} speaks JSON`)
    t.ok(top.outLines.join('\n').includes(command.split(' ')[0]!))
  }
  const serve = (await run(['serve', '--help'])).outLines.join('\n')
  for (const name of OPTION_NAMES) t.ok(serve.includes(flagOf(name)), flagOf(name))
  t.equal((await run(['--version'])).outLines[0], (JSON.parse(readFileSync(join(repoRoot, 'package.json'), 'utf8')) as { version: string }).version)
})

t.test('the page of the command line names every command, option and exit code', async (t) => {
  const page = readFileSync(join(repoRoot, 'docs/reference/cli.md'), 'utf8')
  for (const command of COMMANDS.filter((command) => command !== 'serve')) {
    t.ok(page.includes(`## stemedb ${command}\n`), command)
    const help = (await run([...command.split(' '), '--help'])).outLines.join('\n')
    for (const [, flag] of help.matchAll(/^ +(?:-\w, )?(--[a-z-]+)/gm)) {
      if (flag !== '--help') t.ok(page.includes(flag!), `${command} ${flag}`)
    }
  }
  for (const code of Object.values(EXIT)) t.ok(page.includes(`| ${code} |`), `exit code ${code}`)
})

t.test('a value that breaks a rule of the model is a usage error that names its option', async (t) => {
  for (const [option, value] of [['--confidence', '2'], ['--source-class', '7'], ['--parent', 'zz'], ['--lifecycle', 'foo'], ['--epoch', '1'], ['--source-hash', 'x'], ['--asserted-at', 'yesterday'],
    ['--source-uri', 'a\u0001']] as const) {
    const { code, errLines } = await run(['assert', 'a', 'b', 'c', option, value, '--key-file', '/dev/null/x'])
    t.equal(code, EXIT.usage, option)
    t.match(errLines, [new RegExp(`^stemedb: ${option} [^/]*\\[parameter_invalid\\]`)], option)
  }
  t.match((await run(['assert', 'a//b', 'b', 'c'])).errLines, [/^stemedb: subject .*\[parameter_invalid\]/])
})

t.test('a file that breaks off far behind its beginning: all before is stored, told and summed up', async (t) => {
  const node = await FakeNode.start()
  const dir = tempDir(t)
  t.teardown(() => node.stop())
  const to = ['--url', node.url, '--key-file', join(dir, 'agent.key')]
  const good = (i: number, more = ''): string => `{"subject":"s/${i}","predicate":"p","object":${i},"confidence":1,"asserted_at":5${more}}`
  const path = join(dir, 'claims.ndjson')
  const lines = Array.from({ length: 6000 }, (_, i) => good(i))
  for (const wrong of ['no JSON', '{"subject":"x"}', `{"subject":"${'x'.repeat(1_100_000)}"}`]) {
    writeFileSync(path, [...lines, wrong, good(7000)].join('\n'))
    const { code, outLines, errLines } = await run(['assert', '--file', path, '--json', ...to])
    t.equal(code, EXIT.failed)
    t.equal(outLines.length, 6000, 'an ack each')
    const said = JSON.parse(errLines.at(-1)!) as { error: { message: string, details: object } }
    t.match(said.error.message, /claims\.ndjson, line 6001.*; lines up to 6000 are stored$/)
    t.match(said.error.details, { line: 6001, linesDone: 6000 })
    t.equal(node.stored.size, 6000, 'and no more')
  }
  const plain = await run(['assert', '--file', path, ...to])
  t.match(plain.outLines, [/^0 new, 6000 there already, 0 refused/])
  writeFileSync(path, `${good(1)}\n\n${good(1, `,"note":"${'x'.repeat(5000)}"`)}\n`)
  t.match((await run(['assert', '--file', path, ...to])).errLines.at(-1), /line 3: .*lines up to 2 are stored/, 'a blank line is a line')
})

t.test('a receipt that does not come: what is stored is told all the same', async (t) => {
  const node = await FakeNode.start()
  const dir = tempDir(t)
  t.teardown(() => node.stop())
  node.onBatch = (batch) => {
    node.ack({ ...batch, wantsReceipt: false })
    batch.socket.send(encodeReceipt(batch.requestId, new Uint8Array(32)))
  }
  const { code, outLines, errLines } = await run(['assert', 'a', 'b', 'c', '--receipt', '--json', '--url', node.url, '--key-file', join(dir, 'agent.key')])
  t.equal(code, EXIT.failed)
  t.match(JSON.parse(outLines[0]!), { status: 'created', lsn: 1 })
  t.match(JSON.parse(errLines.at(-1)!), { error: { code: 'malformed_frame' } })
})

t.test('feed: what a lens can not do is refused', async (t) => {
  const { code, errLines } = await run(['feed', 'sky', '--lens', 'recency', '--from-lsn', '1', '--url', 'ws://127.0.0.1:1'])
  t.equal(code, EXIT.usage)
  t.match(errLines, [/not for --lens/])
})

t.test('wrong command lines are usage errors', async (t) => {
  for (const args of [[], ['bogus'], ['serve', '--bogus', '1'], ['query'], ['get', 'zz'], ['assert', 'a', 'b'], ['assert', '--file', '-', 'a'],
    ['assert', 'a', 'b', 'c', '--type', 'integer'], ['assert', 'a', 'b', 'x', '--type', 'number'], ['assert', 'a', 'b', 'c', '--confidence', 'high'],
    ['load', '--duration', 'long'], ['load', '--sign', 'maybe'], ['load', '--batch', '0'], ['tune', '--duration', '1ms'], ['tune', '--sign', 'maybe'], ['query', 'a', '--limit', 'x'], ['query', 'a', '--url', 'x'], ['config', 'xml']]) {
    const { code, errLines } = await run(args)
    t.equal(code, EXIT.usage, args.join(' '))
    t.ok(errLines.length > 0)
  }
})

t.test('a wrong command line is told in one line; with --json as JSON', async (t) => {
  for (const [args, message] of [[['query', 'a', '--limitt', '1'], /--limitt.*--limit\?/], [['bogus'], /bogus/], [['get'], /id/], [['load', '--sign', 'maybe'], /maybe/]] as const) {
    const json = await run([...args, '--json'])
    t.strictSame([json.code, json.outLines, json.errLines.length], [EXIT.usage, [], 1], args.join(' '))
    t.match(JSON.parse(json.errLines[0]!), { error: { code: 'parameter_invalid', message, action: String } })
    const { errLines } = await run(args)
    t.match(errLines, [/^stemedb: [^\n]*\[parameter_invalid\]\. [^\n]*$/])
    t.match(errLines[0], message)
  }
  t.match((await run(['wal'])).errLines.join('\n'), /Usage: stemedb wal/, 'a command is missing: help')
  t.match(JSON.parse((await run(['wal', '--json'])).errLines[0]!), { error: { code: 'parameter_invalid' } })
})

t.test('--json prints one object a line, or is refused', async (t) => {
  const { outLines } = await run(['dashboard', '--json'])
  t.strictSame([outLines.length, outLines[0]!.includes('\n')], [1, false])
  t.match(JSON.parse(outLines[0]!), { uid: 'stemedb' })
  t.equal((await run(['config', 'markdown', '--json'])).code, EXIT.usage)
})

t.test('a wrong setting: exit code 78, one line', async (t) => {
  const { code, errLines } = await run(['serve', '--api-port', '99999'])
  t.equal(code, EXIT.config)
  t.equal(errLines.length, 1)
  t.match(errLines[0], /--api-port.*\[config_invalid\]/)
})

t.test('errors: code, action, exit code; as JSON; a stack when asked for', async (t) => {
  const console = testConsole()
  t.equal(reportError(console, new DbError('disk_full', 'no space.'), {}), EXIT.io)
  t.match(console.errLines, [/^stemedb: no space \[disk_full\]\. Free space/])
  const json = testConsole()
  t.equal(reportError(json, new DbError('unreachable', 'gone', { port: 1 }), { json: true }), EXIT.unavailable)
  t.match(JSON.parse(json.errLines[0]!), { error: { code: 'unreachable', message: 'gone', details: { port: 1 } } })
  const verbose = testConsole()
  t.equal(reportError(verbose, new Error('bug'), { verbose: true }), EXIT.internal)
  t.match(verbose.errLines.join('\n'), /bug \[internal\][\s\S]*program\.test/)
  t.equal(exitCodeOf(new DbError('wal_corrupt', '')), EXIT.data)
  t.equal(exitCodeOf(new DbError('signature_invalid', '')), EXIT.failed)
})

t.test('keys: made once, private, the same agent everywhere', async (t) => {
  const dir = tempDir(t)
  const keyFile = join(dir, 'sub', 'agent.key')
  const made = await run(['keygen', '--key-file', keyFile, '--json'])
  t.equal(made.code, 0)
  const { agent, public_key: publicKey } = JSON.parse(made.outLines[0]!) as { agent: string, public_key: string }
  t.match(agent, /^did:key:z6Mk/)
  t.equal(statSync(keyFile).mode & 0o777, 0o600)
  t.equal((await run(['keygen', '--key-file', keyFile])).code, EXIT.config, 'never written over')
  const seed = Buffer.from(readFileSync(keyFile, 'utf8').trim(), 'hex')
  const message = new Uint8Array([1, 2, 3])
  const [ours, theirs] = [nodeSigner(seed), await createSigner(seed)]
  t.equal(Buffer.from(ours.publicKey).toString('hex'), publicKey)
  t.strictSame(ours.publicKey, theirs.publicKey)
  t.strictSame(ours.sign(message), await theirs.sign(message), 'both signers sign alike')
  chmodSync(keyFile, 0o640)
  t.equal((await run(['assert', 'a', 'b', 'c', '--key-file', keyFile, '--url', 'ws://127.0.0.1:1'])).code, EXIT.config, 'readable by others')
  t.equal((await run(['assert', 'a', 'b', 'c', '--key-file', join(dir, 'new.key'), '--url', 'ws://127.0.0.1:1'])).code, EXIT.unavailable)
  for (const path of ['/dev/null/x', join(keyFile, 'below', 'a', 'file'), join(dir, 'x'.repeat(300))]) {
    const { code, errLines } = await run(['assert', 'a', 'b', 'c', '--key-file', path, '--url', 'ws://127.0.0.1:1'])
    t.equal(code, EXIT.config, path)
    t.match(errLines, [/can not be made: E[A-Z]+;.*--key-file.*\[config_invalid\].*docs\/reference\/cli\.md/])
  }
})

t.test('assert: one, and files of JSON lines', async (t) => {
  const node = await FakeNode.start()
  const dir = tempDir(t)
  t.teardown(() => node.stop())
  const to = ['--url', node.url, '--key-file', join(dir, 'agent.key')]
  const one = await run(['assert', 'sky', 'colour', 'blue', '--asserted-at', '5', '--source-class', 'clinical', ...to])
  t.equal(one.code, 0)
  t.match(one.outLines.join('\n'), /^id +[0-9a-f]{64}\nlsn +1\n/)
  t.match(one.errLines.join(), /Made a new agent key/)
  const again = await run(['assert', 'sky', 'colour', 'blue', '--asserted-at', '5', '--source-class', '1', '--json', ...to])
  t.match(JSON.parse(again.outLines[0]!), { index: 0, status: 'duplicate', lsn: 1 })
  const receipt = await run(['assert', 'sky', 'height', '1e3', '--type', 'number', '--receipt', '--json', ...to])
  t.match(JSON.parse(receipt.outLines[0]!), { status: 'created', receipt: { durability: 'wal', batch_root: /^[0-9a-f]{64}$/ } })

  const lines = '{"subject":"a","predicate":"p","object":true,"confidence":1}\n\n{"subject":"b","predicate":"p","object":2,"confidence":1}\n'
  const fromStdin = await run(['assert', '--file', '-', ...to], lines)
  t.match(fromStdin.outLines, ['2 new, 0 there already, 0 refused; last LSN 4'])
  const path = join(dir, 'claims.ndjson')
  writeFileSync(path, `${lines}{"subject":"c","object":1}\n`)
  const bad = await run(['assert', '--file', path, ...to])
  t.equal(bad.code, EXIT.failed)
  t.match(bad.errLines.join(), /line 4.*lines up to 3 are stored \[field_missing\]/)
  t.match(bad.outLines, [/^2 new, 0 there already, 0 refused/], 'what is stored is summed up')
  t.equal((await run(['assert', '--file', join(dir, 'none'), ...to])).code, EXIT.usage)
  node.onBatch = (batch) => node.refuse(batch, 'signature_invalid')
  const refused = await run(['assert', 'sky', 'colour', 'red', ...to])
  t.equal(refused.code, EXIT.failed)
  t.match(refused.errLines.join(), /\[signature_invalid\]/)
})
