import { statSync } from 'node:fs'
import { basename, join } from 'node:path'
import t from 'tap'
import ts from 'typescript'
import { repoRoot } from '../support/root.ts'
import { importsOf } from '../support/imports.ts'
import { projectFiles, readProjectFile } from '../support/tree.ts'

const LINES_MAX = 500
const BYTES_MAX = 1_000_000
const files = projectFiles()
const code = files.filter((path) => /^(src|workers|test|bench|fbs)\/.*\.(ts|mjs|js)$/.test(path) && !path.startsWith('src/fbs/'))
const prose = files.filter((path) => /\.(md|ya?ml|fbs|service|sh|env)$|Dockerfile$|^\.ci\//.test(path))

/** All comments of a TypeScript file, in one text. */
function commentsOf(path: string): string {
  const text = readProjectFile(path)
  const comments: string[] = []
  const seen = new Set<number>()
  const collect = (position: number): void => {
    for (const range of [...(ts.getLeadingCommentRanges(text, position) ?? []), ...(ts.getTrailingCommentRanges(text, position) ?? [])]) {
      if (seen.has(range.pos)) continue
      seen.add(range.pos)
      comments.push(text.slice(range.pos, range.end))
    }
  }
  const visit = (node: ts.Node): void => {
    collect(node.getFullStart())
    collect(node.getEnd())
    ts.forEachChild(node, visit)
  }
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)
  visit(source)
  collect(source.endOfFileToken.getFullStart())
  return comments.join('\n')
}

const offending = (paths: readonly string[], textOf: (path: string) => string, wrong: RegExp): string[] =>
  paths.flatMap((path) => [...textOf(path).matchAll(wrong)].map((match) => `${path}: ${match[0].trim()}`))

t.test('no file too long to be read at one go', async (t) => {
  const long = code.filter((path) => path.startsWith('src/') || path.startsWith('workers/')).filter((path) => {
    const text = readProjectFile(path)
    return text.split('\n').length > LINES_MAX + 1 && !text.slice(0, 800).includes('Long on purpose:')
  })
  t.strictSame(long, [], `over ${LINES_MAX} lines: split it, or say "Long on purpose: ..." in its first lines`)
})

t.test('names say what is in a file', async (t) => {
  const dumping = code.filter((path) => path.split('/').some((part) => /^(utils?|helpers?|common|misc)(\.|$)/i.test(part)))
  t.strictSame(dumping, [], 'a helper lives beside its one user until it has a name of its own')
  t.strictSame(code.filter((path) => basename(path) === 'index.ts'), [], 'no barrels')
})

t.test('suffixes keep their promise', async (t) => {
  const messages = code.filter((path) => path.endsWith('.messages.ts'))
  t.strictSame(offending(messages, readProjectFile, /^export (const|let|function|class|default)\b.*/gm), [], '.messages.ts: types only')
  const pure = code.filter((path) => /^src\/.*\.(layout|codec)\.ts$/.test(path))
  t.strictSame(offending(pure, readProjectFile, /from '(node:|rocksdb|uWebSockets)[^']*'/g), [], '.layout.ts, .codec.ts: no I/O')
})

t.test('comments speak of the code, not of how it came to be', async (t) => {
  const wrong = /\b(TODO|FIXME|XXX|HACK)\b|\bissues? #?\d+|(?<![\w&/(])#\d{1,5}\b|\b(this|last|next|previous) session\b|\bhelper [A-H]\b|\bthe lead\b|\bClaude\b|\bAI assistant\b/g
  t.strictSame(offending(code.filter((path) => path !== 'test/tidy/files.test.ts'), commentsOf, wrong), [])
  t.strictSame(offending(prose, readProjectFile, wrong), [])
})

t.test('nothing tracked that a command makes, or that is not ours', async (t) => {
  const made = files.filter((path) => /(^|\/)(dist|node_modules|coverage|\.out|\.tap)\//.test(path) || /\.(tgz|node|so|o|sst|wal|log)$/.test(path))
  t.strictSame(made, [])
  t.strictSame(files.filter((path) => /^(src|workers)\/.*\.js$/.test(path)), [], 'compiled beside its source')
  const banner = files.filter((path) => /\.(ts|js|mjs)$/.test(path) && !path.startsWith('src/fbs/') && readProjectFile(path).slice(0, 200).includes('automatically generated'))
  t.strictSame(banner, [], 'generated code stands in src/fbs/ only, and a test makes it again')
  const heavy = files.filter((path) => path !== 'package-lock.json' && statSync(join(repoRoot, path)).size > BYTES_MAX)
  t.strictSame(heavy, [], `over ${BYTES_MAX} bytes`)
})

t.test('no dead files: a program or a thread reaches each', async (t) => {
  const sources = code.filter((path) => /^(src|workers)\//.test(path))
  const reached = new Set<string>()
  const follow = (path: string): void => {
    if (reached.has(path) || !files.includes(path)) return
    reached.add(path)
    for (const { to } of importsOf(path)) follow(to)
  }
  // Doubles of an interface, for tests of what builds on it.
  const doubles = /-memory\.ts$/
  const entries = ['src/cli/main.ts', 'src/client/client.ts', ...sources.filter((path) => path.startsWith('workers/'))]
  entries.forEach(follow)
  t.strictSame(sources.filter((path) => !reached.has(path) && !path.endsWith('.d.ts') && !doubles.test(path)), [])
})
