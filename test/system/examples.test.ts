import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { buildRoot, repoRoot } from '../support/root.ts'
import { startServer, type RunningServer } from '../support/server.ts'

/** JavaScript of a page, block by block. */
const blocksOf = (page: string): string[] =>
  [...readFileSync(join(repoRoot, page), 'utf8').matchAll(/```js\n([\s\S]*?)```/g)].map((match) => match[1]!)

t.test('the examples of docs/client.md run against a node, as they stand', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'stemedb-examples-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  const dataDir = join(dir, 'data')
  const serve = async (): Promise<RunningServer> => {
    const started = await startServer({ dataDir, settings: { walSegmentBytes: 16 * 2 ** 20, tlogCheckpointMs: 50 } })
    t.teardown(() => started.kill9())
    return started
  }
  const server = await serve()
  // A program that has installed the package: its built files, and its dependencies beside them.
  const modules = join(dir, 'node_modules')
  mkdirSync(join(modules, 'stemedb', 'dist'), { recursive: true })
  cpSync(join(repoRoot, 'package.json'), join(modules, 'stemedb', 'package.json'))
  cpSync(join(buildRoot, 'src'), join(modules, 'stemedb', 'dist', 'src'), { recursive: true })
  symlinkSync(join(repoRoot, 'node_modules'), join(modules, 'stemedb', 'node_modules'))
  symlinkSync(join(repoRoot, 'node_modules', 'ws'), join(modules, 'ws'))

  const expected = [/^[0-9a-f]{64} 1 false\ngastric bleeding\n1\n$/, /^stored at \d+\nrefused: field_invalid\n2000 stored\n$/, /^kidney damage true\n1\nnothing is known\nparameter_invalid\n$/, /^true\n$/,
    /^(\d+) lot\/feed\/1 \d+\ntrue\n$/,
    /^LSN \d+ under the first head\nlot\/proof\/1\n$/,
    /^0\.8\n0\.55\nguideline of 2026: false, guideline of 2019: true\nDo not take more than 4 g a day\.\n$/,
    /^up \nfield_invalid fail \/subject\n$/]
  const blocks = blocksOf('docs/client.md')
  t.equal(blocks.length, expected.length)
  const run = (i: number, { port }: RunningServer): string => {
    const path = join(dir, `example-${i}.mjs`)
    writeFileSync(path, blocks[i]!.replaceAll('//127.0.0.1:18180', `//127.0.0.1:${port}`))
    const { status, stdout, stderr } = spawnSync(process.execPath, [path], { cwd: dir, encoding: 'utf8', timeout: 60_000 })
    t.equal(status, 0, stderr)
    return stdout
  }
  for (const [i, block] of blocks.entries()) {
    t.ok(block.includes('ws://127.0.0.1:18180'))
    t.match(run(i, server), expected[i]!, block.split('\n').slice(0, 12).join('\n'))
  }

  const monitor = blocks.findIndex((block) => block.includes('new LogMonitor'))
  t.match(run(monitor, server), /^LSN \d+ and all before is as it was\n/, 'the second time it goes on from the head that it kept')
  await server.stop()
  for (const name of ['wal', 'db', 'tlog']) rmSync(join(dataDir, name), { recursive: true })
  const head = readFileSync(join(dir, 'node.head'), 'utf8')
  t.equal(run(monitor, await serve()), 'caught: history_rewritten\n', 'the same node with another log')
  t.equal(readFileSync(join(dir, 'node.head'), 'utf8'), head, 'the head stays')
  t.match(readFileSync(join(dir, 'evidence.txt'), 'utf8'), /^stemedb\/default\/.*\n\nstemedb\/default\//s, 'and both are there')
})
