import t from 'tap'
import { importsOf } from '../support/imports.ts'
import { projectFiles, readProjectFile } from '../support/tree.ts'

interface Package {
  readonly dependencies: Record<string, string>
  readonly devDependencies: Record<string, string>
  readonly engines: { readonly node: string }
}
interface Lock {
  readonly packages: Record<string, { version?: string, resolved?: string, integrity?: string, license?: string, name?: string }>
}
const manifest = JSON.parse(readProjectFile('package.json')) as Package
const lock = JSON.parse(readProjectFile('package-lock.json')) as Lock
const page = readProjectFile('docs/dependencies.md')
const all = { ...manifest.dependencies, ...manifest.devDependencies }

t.test('every version is exact', async (t) => {
  for (const [name, version] of Object.entries(all)) t.match(version, /^(npm:(@[\w.-]+\/)?[\w.-]+@)?\d+\.\d+\.\d+$/, name)
})

const REGISTRY = 'https://registry.npmjs.org/'

t.test('the lock file has the same versions, each with a hash and from the registry', async (t) => {
  for (const [name, wanted] of Object.entries(all)) {
    const version = wanted.slice(wanted.lastIndexOf('@') + 1)
    t.equal(lock.packages[`node_modules/${name}`]?.version, version, name)
  }
  const loose = Object.entries(lock.packages).filter(([path, entry]) => path !== '' && (entry.integrity === undefined || !(entry.resolved ?? REGISTRY).startsWith(REGISTRY)))
  t.strictSame(loose.map(([path]) => path), [])
})

t.test('docs/dependencies.md names each with its version and licence', async (t) => {
  for (const [name, wanted] of Object.entries(all)) {
    const row = page.split('\n').find((line) => line.startsWith(`| \`${name}\` `))
    t.ok(row !== undefined, `${name} has a row`)
    t.ok(row?.includes(wanted.slice(wanted.lastIndexOf('@') + 1)), `${name}: version ${wanted}`)
    const licence = lock.packages[`node_modules/${name}`]?.license
    if (licence !== undefined) t.ok(row?.includes(licence), `${name}: licence ${licence}`)
  }
  const documented = [...page.matchAll(/^\| `([^`]+)` \|/gm)].map((match) => match[1]!)
  t.strictSame(documented.filter((name) => !(name in all)), [], 'documented, not there')
})

t.test('what the program imports is a dependency, and each dependency is imported', async (t) => {
  const imported = new Set<string>()
  for (const path of projectFiles().filter((file) => /^(src|workers)\/.*\.ts$/.test(file))) {
    for (const { to } of importsOf(path)) {
      if (!/^(node:|src\/|workers\/|stemedb\/)/.test(to)) imported.add(to.split('/').slice(0, to.startsWith('@') ? 2 : 1).join('/'))
    }
  }
  t.strictSame([...imported].filter((name) => !(name in manifest.dependencies)), [], 'imported, not a dependency')
  t.strictSame(Object.keys(manifest.dependencies).filter((name) => !imported.has(name)), [], 'a dependency, not imported')
})
