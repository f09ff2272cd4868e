import { builtinModules } from 'node:module'
import t from 'tap'
import { importsOf } from '../support/imports.ts'
import { projectFiles } from '../support/tree.ts'

// The table of docs/ARCHITECTURE.md, "Layers". A folder knows the layers below its own, and these neighbours.
const LAYERS: readonly (readonly string[])[] = [
  ['base', 'fbs'],
  ['config', 'observe', 'record', 'ring'],
  ['wire', 'thread'],
  ['store', 'lens', 'verify', 'wal', 'merkle'],
  ['commit', 'ingest', 'query', 'feed'],
  ['front', 'client', 'cli'],
  ['node'],
]
const NEIGHBOURS: Readonly<Record<string, readonly string[]>> = { verify: ['merkle'], cli: ['client'] }
/** What runs in browsers: these folders only, and nothing of Node. */
const BROWSER = { folder: 'client', mayKnow: ['client', 'base', 'record', 'wire', 'merkle', 'fbs'] }
/** The one way up: a command that starts the node. */
const COMPOSITION = new Map([['src/cli/serve.ts', 'src/node/']])

const sources = projectFiles().filter((path) => /^(src|workers)\/.*\.ts$/.test(path))
const imports = sources.flatMap(importsOf)
const folderOf = (path: string): string => (path.startsWith('src/') ? path.split('/')[1]! : path.split('/')[0]!)
const layerOf = (folder: string): number => (folder === 'workers' ? LAYERS.length : LAYERS.findIndex((layer) => layer.includes(folder)))

t.test('every folder has a layer', async (t) => {
  const folders = new Set(sources.map(folderOf))
  t.strictSame([...folders].filter((folder) => layerOf(folder) < 0), [])
  t.ok(imports.length > 100, 'the imports were found')
})

t.test('imports point one way', async (t) => {
  const wrong = imports.filter(({ from, to }) => {
    if (!/^(src|workers)\//.test(to)) return to.startsWith('test/') || to.startsWith('bench/')
    const [low, high] = [folderOf(to), folderOf(from)]
    if (low === high || layerOf(low) < layerOf(high)) return false
    return !(NEIGHBOURS[high] ?? []).includes(low) && !to.startsWith(COMPOSITION.get(from) ?? '-')
  })
  t.strictSame(wrong.map(({ from, to }) => `${from} knows ${to}`), [])
})

t.test('the client runs in browsers', async (t) => {
  const wrong = imports.filter(({ from, to, typeOnly }) => {
    if (folderOf(from) !== BROWSER.folder || typeOnly) return false
    if (to.startsWith('src/')) return !BROWSER.mayKnow.includes(folderOf(to))
    return to.startsWith('node:') || builtinModules.includes(to)
  })
  t.strictSame(wrong.map(({ from, to }) => `${from} needs ${to}`), [])
  const reached = new Set<string>()
  const follow = (path: string): void => {
    if (reached.has(path)) return
    reached.add(path)
    for (const { from, to, typeOnly } of imports) if (from === path && !typeOnly && to.startsWith('src/')) follow(to)
  }
  sources.filter((path) => folderOf(path) === BROWSER.folder).forEach(follow)
  const builtins = imports.filter(({ from, to, typeOnly }) => reached.has(from) && !typeOnly && to.startsWith('node:'))
  t.strictSame(builtins.map(({ from, to }) => `${from}, which the client needs, needs ${to}`), [])
})

t.test('no cycles, of types neither', async (t) => {
  const next = new Map<string, string[]>()
  for (const { from, to } of imports) if (to.startsWith('src/')) next.set(from, [...(next.get(from) ?? []), to])
  const done = new Set<string>()
  const cycles: string[] = []
  const visit = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) cycles.push([...trail.slice(trail.indexOf(path)), path].join(' -> '))
    if (trail.includes(path) || done.has(path)) return
    for (const to of next.get(path) ?? []) visit(to, [...trail, path])
    done.add(path)
  }
  for (const path of sources) if (folderOf(path) !== 'fbs') visit(path, [])
  t.strictSame(cycles, [])
})

t.test('what knows one thing alone', async (t) => {
  const only = (what: RegExp, where: RegExp): string[] =>
    imports.filter(({ from, to, typeOnly }) => !typeOnly && what.test(to) && !where.test(from)).map(({ from, to }) => `${from} needs ${to}`)
  t.strictSame(only(/^rocksdb$/, /^src\/store\//), [], 'RocksDB')
  t.strictSame(only(/^uWebSockets\.js$/, /^src\/front\//), [], 'uWebSockets.js')
  t.strictSame(only(/^prom-client$|^pino$/, /^src\/observe\//), [], 'metrics and log libraries')
  // The front takes a turn of the event loop through a MessageChannel of its own; it starts no thread.
  t.strictSame(only(/^piscina$|^(node:)?worker_threads$/, /^(src\/(thread|node)|workers)\/|^src\/front\/server\.ts$/), [], 'threads')
})
