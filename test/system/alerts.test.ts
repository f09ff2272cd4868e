import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { runLoadProcess } from '../../bench/lib/load-process.ts'
import { freePort } from '../support/free-port.ts'
import { sleep } from '../support/history.trial.ts'
import { repoRoot } from '../support/root.ts'
import { startServer, type RunningServer } from '../support/server.ts'
import { requireTool } from '../support/tools.ts'
import { readProjectFile } from '../support/tree.ts'

t.setTimeout(240_000)

// The alert rules, as Prometheus itself understands them, over a node that is well and one that is not.

interface Groups { readonly groups: readonly { readonly rules: readonly Rule[] }[] }
interface Vector { readonly result: readonly { readonly value: readonly [number, string] }[] }
interface Rule { readonly name: string, readonly query: string, readonly health: string, readonly lastError?: string, readonly lastEvaluation: string, readonly state: string, readonly labels: { readonly severity: string } }

const DEPLOYED = join(repoRoot, 'deploy', 'prometheus')
const WAIT_MS_MAX = 60_000
/** Restarts within a quarter of an hour that are too many. */
const RESTARTS = 3
const STARTED = 'process_start_time_seconds'
/** They have no series before the first of their kind has happened. */
const RARE_SELECTORS = /^stemedb_refusals_total\{/
/** A metric's name with what its labels must be. */
const SELECTOR = /\b(?:stemedb|nodejs|process)_[a-z0-9_]+(?:\{[^}]*\})?/g

/** Prometheus with the rules of deploy/, but that they fire at once and are looked at all the time. */
class Prometheus {
  readonly #process: ChildProcess
  readonly #url: string

  constructor(dir: string, port: number, target: string) {
    const config = parse(readProjectFile('deploy/prometheus/prometheus.yml')) as { scrape_configs: { static_configs: { targets: string[] }[] }[] }
    config.scrape_configs[0]!.static_configs[0]!.targets = [target]
    writeFileSync(join(dir, 'prometheus.yml'), JSON.stringify({ ...config, global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '500ms' } }))
    writeFileSync(join(dir, 'alerts.yml'), readProjectFile('deploy/prometheus/alerts.yml').replaceAll(/^ +for: .*\n/gm, ''))
    this.#url = `http://127.0.0.1:${port}`
    this.#process = spawn('prometheus', [`--config.file=${join(dir, 'prometheus.yml')}`, `--storage.tsdb.path=${join(dir, 'data')}`, `--web.listen-address=127.0.0.1:${port}`, '--log.level=error'], { stdio: 'ignore' })
  }

  async get<T>(path: string): Promise<T> {
    const response = await fetch(`${this.#url}/api/v1/${path}`)
    const { status, data, error } = await response.json() as { status: string, data: T, error?: string }
    if (status !== 'success') throw new Error(`${path}: ${error ?? response.status}`)
    return data
  }

  /** What it answers, once that is as wanted; or what it answers in the end. It takes a moment until it answers at all. */
  async #until<T>(path: string, isWanted: (data: T) => boolean): Promise<T> {
    const endMs = performance.now() + WAIT_MS_MAX
    for (;;) {
      const isLate = performance.now() > endMs
      const data = await this.get<T>(path).catch((error: unknown) => {
        if (isLate) throw error
      })
      if (data !== undefined && (isLate || isWanted(data))) return data
      await sleep(200)
    }
  }

  /** The rules, once they are as wanted; or as they are in the end. */
  async rules(isWanted: (rules: readonly Rule[]) => boolean): Promise<Rule[]> {
    const rulesOf = ({ groups }: Groups): Rule[] => groups.flatMap(({ rules }) => rules)
    return rulesOf(await this.#until<Groups>('rules', (groups) => isWanted(rulesOf(groups))))
  }

  /** How many series a selector selects, once there is one. */
  async seriesOf(selector: string): Promise<number> {
    return (await this.#until<unknown[]>(`series?match[]=${encodeURIComponent(selector)}`, (series) => series.length > 0)).length
  }

  /** When the node was started, as its last scrape says, once that is not `before`. Seconds since 1970, whole. */
  async startOtherThan(before: number): Promise<number> {
    const startOf = ({ result: [sample] }: Vector): number => Number(sample?.value[1] ?? before)
    return startOf(await this.#until<Vector>(`query?query=${STARTED}`, (vector) => startOf(vector) !== before))
  }

  async stop(): Promise<void> {
    const exited = new Promise((resolve) => this.#process.once('exit', resolve))
    this.#process.kill('SIGKILL')
    await exited
  }
}

const firing = (rules: readonly Rule[], severity?: string): string[] =>
  rules.filter((rule) => rule.state === 'firing' && (severity === undefined || rule.labels.severity === severity)).map(({ name }) => name)

t.test('promtool accepts what is deployed', (t) => {
  if (requireTool(t, 'promtool')) {
    t.match(execFileSync('promtool', ['check', 'config', join(DEPLOYED, 'prometheus.yml')], { encoding: 'utf8' }), /SUCCESS: \d+ rules found/)
  }
  t.end()
})

t.test('every rule is evaluated over metrics that a node has; a node that is well fires none, one that dies does', async (t) => {
  if (!requireTool(t, 'prometheus')) return
  const dir = mkdtempSync(join(tmpdir(), 'stemedb-alerts-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  const apiPort = await freePort()
  const start = (): Promise<RunningServer> => startServer({ dataDir: join(dir, 'node'), settings: { apiPort, signatures: 'optional', verifyThreads: 1, lensThreads: 1 } })
  let server = await start()
  t.teardown(() => server.kill9())
  const prometheus = new Prometheus(dir, await freePort(), `127.0.0.1:${apiPort}`)
  t.teardown(() => prometheus.stop())

  await runLoadProcess({ url: server.url, connections: 2, batch: 16, sign: 'none', ratePerSecond: 500, durationMs: 5000 })
  const rules = await prometheus.rules((rules) => rules.length > 0)
  t.equal(rules.length, readProjectFile('deploy/prometheus/alerts.yml').match(/- alert: /g)?.length, 'all are there')
  const selectors = new Set(rules.flatMap(({ query }) => query.match(SELECTOR) ?? []))
  t.ok(selectors.size > 15, `${selectors.size} selectors`)
  for (const selector of selectors) {
    if (RARE_SELECTORS.test(selector)) continue
    t.not(await prometheus.seriesOf(selector), 0, `${selector} selects something`)
  }
  const seenMs = Date.now()
  const well = await prometheus.rules((rules) => rules.every(({ lastEvaluation }) => Date.parse(lastEvaluation) > seenMs))
  t.same(well.filter(({ health, lastError = '' }) => health !== 'ok' || lastError !== ''), [], 'each is evaluated')
  t.same(firing(well, 'critical'), [])

  let startedSec = await prometheus.startOtherThan(0)
  await server.kill9()
  t.ok(firing(await prometheus.rules((rules) => firing(rules).includes('StemedbDown'))).includes('StemedbDown'), 'a node that is gone')
  for (let n = 0; n < RESTARTS; n++) {
    server = await start()
    // A scrape has seen it, and it lives for longer than the second to which its start is rounded.
    startedSec = await prometheus.startOtherThan(startedSec)
    await sleep(1000)
    if (n < RESTARTS - 1) await server.kill9()
  }
  const again = firing(await prometheus.rules((rules) => firing(rules).includes('StemedbRestarting') && !firing(rules).includes('StemedbDown')))
  t.ok(again.includes('StemedbRestarting') && !again.includes('StemedbDown'), `one that is back, for the ${RESTARTS}rd time: ${again.join(', ')}`)
})
