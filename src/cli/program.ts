import { createRequire } from 'node:module'
import { Command, CommanderError, Option } from 'commander'
import { OPTIONS, flagOf, variableOf, type Option as Setting, type OptionName } from '../config/options.ts'
import { defaultText, optionGroups, rangeText } from './config-docs.ts'
import { DbError } from '../base/errors.ts'
import { reportError, type Console, type OutputOptions } from './console.ts'
import { EXIT } from '../base/exit-codes.ts'
import { ANSWER_TIMEOUT_MS } from '../client/http.ts'
import { DEFAULT_KEY_FILE } from './keys.ts'

/*
 * The command line, as data and help. Every command's code is imported when it runs: help is fast, and works where a
 * native module does not.
 */

/** The package knows itself by name, wherever the built files lie. */
const { version } = createRequire(import.meta.url)('stemedb/package.json') as { version: string }

const DEFAULT_URL = 'ws://127.0.0.1:18180'

const EXIT_HELP = `
Exit codes: 0 done; 1 refused, not found or not right; 2 wrong command line; 66 data directory in use or damaged;
69 node not reachable; 70 bug; 74 disk failure, or output that can not be written; 78 wrong setting or key file.`

const urlOption = (): Option => new Option('--url <url>', 'node to talk to').env('STEMEDB_URL').default(DEFAULT_URL)
const fullIdsOption = (): Option => new Option('--full-ids', 'whole ids on a terminal, too; elsewhere they are whole anyway').helpGroup('Output:')
const keyOption = (): Option => new Option('--key-file <path>', 'agent\'s secret key').env('STEMEDB_KEY_FILE').default(DEFAULT_KEY_FILE)
const dataDirOption = (): Option => new Option('--data-dir <path>', 'the node\'s folder').env(variableOf('dataDir')).default(OPTIONS.dataDir.default)

/** Options that every command has. */
function common(command: Command): Command {
  return command
    .addOption(new Option('--json', 'print JSON for programs, one object a line').helpGroup('Output:'))
    .addOption(new Option('-v, --verbose', 'show the stack of an error').helpGroup('Output:'))
}

/** Options of those who ask a node and wait for the answer. */
function reading(command: Command): Command {
  return command.addOption(urlOption()).option('--timeout <time>', 'longest wait for an answer: 30s, 500ms', `${ANSWER_TIMEOUT_MS / 1000}s`)
}

function writing(command: Command): Command {
  return command.addOption(urlOption()).addOption(keyOption())
    .option('--realm <name>', 'realm that the node must be of; signatures are bound to it')
    .option('--no-sign', 'send unsigned (for nodes with signatures=optional)')
}

type Run<O> = (args: readonly string[], options: O) => Promise<number>

/** What a command does, with its errors told and its exit code kept. */
function action<O extends OutputOptions>(command: Command, console: Console, finish: (code: number) => void, run: Run<O>): Command {
  return command.action(async (...given: unknown[]) => {
    const options = given[given.length - 2] as O
    const args = given.slice(0, -2).flat().filter((arg): arg is string => typeof arg === 'string')
    try {
      finish(await run(args, options))
    } catch (error) {
      finish(reportError(console, error, options))
    }
  })
}

function settingText(setting: Setting): string {
  const shown = defaultText(setting)
  return `${setting.meaning} [${rangeText(setting)}; default ${shown === '' ? 'empty' : shown}]`
}

function addServe(program: Command, console: Console, finish: (code: number) => void): void {
  const command = common(program.command('serve')
    .summary('run a node')
    .description('Runs a node until SIGTERM or SIGINT. When it serves, it prints one line of JSON with its address; logs go to standard error.\nEvery flag is also a variable: --api-port is STEMEDB_API_PORT. A flag goes first.')
    .addHelpText('after', `
Examples:
  stemedb serve
  stemedb serve --data-dir /var/lib/stemedb --bind-address 0.0.0.0
  STEMEDB_SIGNATURES=optional stemedb serve --api-port 0
${EXIT_HELP}`))
  for (const { title, names } of optionGroups()) {
    for (const name of names) {
      const setting: Setting = OPTIONS[name]
      const placeholder = setting.type === 'number' ? setting.unit.replaceAll('/', '-per-') : setting.type === 'choice' ? setting.choices.join('|') : 'text'
      command.addOption(new Option(`${flagOf(name)} <${placeholder}>`, settingText(setting)).helpGroup(`${title}:`))
    }
  }
  action<OutputOptions & Partial<Record<OptionName, string>>>(command, console, finish, async (_args, options) => {
    const { runServe } = await import('./serve.ts')
    const { json: _json, verbose: _verbose, ...flags } = options
    return runServe(flags)
  })
}

function addAssert(program: Command, console: Console, finish: (code: number) => void): void {
  const command = writing(common(program.command('assert')
    .summary('write assertions')
    .description('Writes one assertion, or many from a file with one JSON object a line, and waits until they are on stable storage.')
    .argument('[subject]', 'what it is about: a path such as drug/aspirin/safety, or a URI')
    .argument('[predicate]', 'which of its properties')
    .argument('[object]', 'the value that is claimed')
    .option('--file <path>', 'JSON lines to read; - for standard input')
    .addOption(new Option('--type <type>', 'kind of the object').choices(['text', 'number', 'boolean', 'reference']).default('text'))
    .option('--confidence <0..1>', 'how sure the agent is', '1')
    .option('--source-class <tier>', '0..5 or regulatory, clinical, observational, expert, community, anecdotal (default)')
    .option('--source-hash <hex>', 'BLAKE3 of the source, 64 hex digits')
    .option('--source-uri <uri>', 'where the source is')
    .option('--lifecycle <stage>', 'proposed (default), under_review, approved, deprecated, rejected, retracted')
    .option('--epoch <hex>', 'epoch that the assertion belongs to')
    .option('--parent <hex>', 'id of the assertion that it follows or retracts')
    .option('--asserted-at <time>', 'Unix milliseconds or RFC 3339; default now')
    .option('--note <text>', 'remark')
    .option('--receipt', 'ask for a receipt that the node has signed')
    .addHelpText('after', `
Examples:
  stemedb assert drug/aspirin/safety risk "gastric bleeding" --confidence 0.9 --source-class clinical
  stemedb assert sensor/7/room temperature 21.5 --type number
  stemedb assert --file claims.ndjson --json > acks.ndjson

A line of a file: {"subject":"drug/aspirin","predicate":"dose","object":500,"confidence":0.8,"asserted_at":"2026-01-01T00:00:00Z"}
With "asserted_at" in a line (--asserted-at for a single one) it is safe to send again: the answer is the LSN of the first time. Without it
the time of the run stands there, and each run makes another claim. A wrong line ends the reading; the lines before it are stored.
${EXIT_HELP}`)))
  action(command, console, finish, async (args, options: import('./assert.ts').AssertOptions) => (await import('./assert.ts')).runAssert(args, options, console))
}

function addReading(program: Command, console: Console, finish: (code: number) => void): void {
  type Options = import('./query.ts').QueryOptions
  const query = reading(common(program.command('query')
    .summary('ask what is claimed about a subject')
    .description('Asks the node what it holds about a subject and shows, for each predicate, the claim that the lens chose.')
    .argument('[subject]', 'the whole subject, or with --prefix its beginning; left out: all, by --agent, --from or --until, the newest first')
    .argument('[predicate]', 'only this one')
    .option('--prefix', 'all subjects that begin like this')
    .option('--lens <names>', 'how one claim is chosen: recency (default), confidence, consensus, independent, ballot, authority, trust-authority, epoch, layered, skeptic, constraints, versions; several between commas; none lists all')
    .option('--as-of <time>', 'the answer of that moment: an HLC, Unix milliseconds or RFC 3339')
    .option('--explain', 'say of every candidate what became of it, and what it cost')
    .option('--limit <count>', 'most answers')
    .option('--cursor <text>', 'go on where the page before ended')
    .option('--agent <key>', 'only of this agent: 64 hex digits or did:key')
    .option('--source <hex>', 'only what cites the source with this hash')
    .option('--epoch <hex>', 'only of this epoch')
    .option('--lifecycle <stages>', 'only of these, between commas; default proposed,under_review,approved')
    .option('--tier <tiers>', 'only of these source tiers, between commas: 0..5 or names')
    .option('--from <time>', 'accepted at or after')
    .option('--until <time>', 'accepted before')
    .option('--asserted-from <time>', 'asserted at or after, by the agent\'s clock')
    .option('--asserted-until <time>', 'asserted before, by the agent\'s clock')
    .option('--confidence-min <0..1>', 'at least this sure')
    .option('--object <value>', 'only this one: text:..., number:..., boolean:true, reference:...')
    .option('--tolerance <0..1>', 'numbers this far apart, relative to the greater, are one value')
    .option('--aliases', 'claims about aliases of the subject count as its own')
    .option('--min-lsn <lsn>', 'answer only from what includes this LSN (read your own writes)')
    .addOption(fullIdsOption())
    .addHelpText('after', `
Examples:
  stemedb query drug/aspirin/safety
  stemedb query debian/bash version --lens authority,recency --explain
  stemedb query drug/aspirin/safety verdict --lens skeptic
  stemedb query drug/aspirin/safety --as-of 2026-01-01T00:00:00Z
  stemedb query debian/ba version --prefix --limit 20 --json
  stemedb query --from 2026-01-01T00:00:00Z --lens none --limit 20
${EXIT_HELP}`)))
  action(query, console, finish, async ([subject, predicate], options: Options) =>
    (await import('./query.ts')).runQuery(subject, predicate, options, console))
  const get = reading(common(program.command('get')
    .summary('show one assertion by its id')
    .description('Shows the assertion with an id.')
    .argument('<id>', '64 hex digits')
    .addHelpText('after', EXIT_HELP)))
  action(get, console, finish, async ([id], options: Options) => (await import('./query.ts')).runGet(id!, options, console))
}

function addExploring(program: Command, console: Console, finish: (code: number) => void): void {
  type TraceOptions = import('./trace.ts').TraceOptions
  const trace = reading(common(program.command('trace')
    .summary('show what hangs on an assertion')
    .description('Shows what an assertion follows and what follows it, who asserted it and how far that agent is trusted, its source and who else cites it,\nits epoch, the votes on it, and where its agent contradicts itself.')
    .argument('<id>', '64 hex digits')
    .option('--depth <steps>', 'most steps from the assertion, 1 to 16; default 3')
    .option('--as-of <time>', 'as it was then: an HLC, Unix milliseconds or RFC 3339')
    .addOption(fullIdsOption())
    .addHelpText('after', `
Examples:
  stemedb trace 9f1c...
  stemedb trace 9f1c... --depth 6 --json | jq .edges
${EXIT_HELP}`)))
  action(trace, console, finish, async ([id], options: TraceOptions) => (await import('./trace.ts')).runTrace(id!, options, console))
  const concepts = reading(common(program.command('concepts')
    .summary('list what claims are about')
    .description('Lists subjects one level below a prefix, as a directory is listed; what ends in a slash goes on.')
    .argument('[prefix]', 'beginning of subjects; default: all')
    .option('--limit <count>', 'most lines; default all')
    .option('--as-of <time>', 'as it was then: an HLC, Unix milliseconds or RFC 3339')
    .addHelpText('after', `
Examples:
  stemedb concepts
  stemedb concepts drug/
  stemedb concepts rfc:// --json
${EXIT_HELP}`)))
  action(concepts, console, finish, async ([prefix], options: import('./concepts.ts').ConceptsOptions) =>
    (await import('./concepts.ts')).runConcepts(prefix ?? '', options, console))
}

function addFeed(program: Command, console: Console, finish: (code: number) => void): void {
  const feed = common(program.command('feed')
    .summary('follow what is claimed, as it comes')
    .description('Shows every assertion that matches, in the order of the node\'s log, until Ctrl-C. A lost connection is found again, and nothing is missed\nor shown twice. With --lens: the resolved answer, whenever it changes.')
    .argument('[subject]', 'a whole subject, or with --prefix its beginning; default: everything')
    .option('--prefix', 'all subjects that begin like this')
    .option('--predicate <name>', 'only this one')
    .option('--tier <tiers>', 'only these, separated by commas: 0..5 or their names')
    .option('--agent <key>', 'only this agent\'s: 64 hex digits or did:key:z6Mk...')
    .option('--from-lsn <lsn>', 'begin there, not now')
    .option('--lens <name>', 'follow the answer of a lens')
    .option('--limit <count>', 'end after so many')
    .addOption(urlOption())
    .addHelpText('after', `
Examples:
  stemedb feed
  stemedb feed debian/ --prefix --predicate version --from-lsn 1 --json
  stemedb feed drug/aspirin/safety --lens recency
${EXIT_HELP}`))
  action(feed, console, finish, async ([subject], options: import('./feed.ts').FeedOptions) =>
    (await import('./feed.ts')).runFeed(subject, options, console))
}

function addVerify(program: Command, console: Console, finish: (code: number) => void): void {
  const command = reading(common(program.command('verify')
    .summary('check the proof of an assertion')
    .description('Checks a proof file without any node, or asks a node for the proof of an assertion and checks that: the tree head\'s signature, the\npath to it, the assertion\'s id and its agent\'s signature.')
    .argument('<file or id>', 'a .tlog-proof file, or 64 hex digits')
    .option('--key <key>', 'the node\'s public key: 64 hex digits, or name+id+key; default: the one that the proof names itself')
    .option('--id <id>', 'the proof must be of this assertion')
    .option('--realm <name>', 'the log must be of this realm')
    .addHelpText('after', `
Examples:
  curl -OJ http://127.0.0.1:18180/v1/proofs/bundle/<id>
  stemedb verify <id>.tlog-proof --key <64 hex digits>
  stemedb verify <id> --json
${EXIT_HELP}`)))
  action(command, console, finish, async ([what], options: import('./verify.ts').VerifyOptions) =>
    (await import('./verify.ts')).runVerify(what!, options, console))
}

function addKeygen(program: Command, console: Console, finish: (code: number) => void): void {
  const command = common(program.command('keygen')
    .summary('make an agent\'s key')
    .description('Makes an Ed25519 key, writes it to the key file (for you alone; never over an existing one) and prints the agent\'s name.')
    .addOption(keyOption())
    .addHelpText('after', EXIT_HELP))
  action(command, console, finish, async (_args, options: { keyFile: string } & OutputOptions) => (await import('./keys.ts')).runKeygen(options, console))
}

function addLoad(program: Command, console: Console, finish: (code: number) => void): void {
  const command = common(program.command('load')
    .summary('load test a node')
    .description('Sends assertions that are all different, as fast as the node takes them or at a fixed rate, and measures the acks.\nRefusals, lost connections and (with --check) missing ids make the exit code 1.')
    .addOption(urlOption())
    .option('--rate <per-second>', 'open loop: assertions a second, latency from when a request was due; default: closed loop')
    .option('--connections <count>', 'WebSocket connections', '8')
    .option('--batch <count>', 'assertions a frame', '256')
    .option('--window <frames>', 'closed loop: unacked frames a connection', '4')
    .option('--duration <time>', 'measured time: 30s, 500ms, 2m', '10s')
    .option('--warmup <time>', 'time before it, not measured', '0s')
    .addOption(new Option('--sign <how>', 'one signature a frame, one an assertion, or none').choices(['batch', 'single', 'none']).default('batch'))
    .option('--record-bytes <bytes>', 'size of an encoded assertion, about', '300')
    .option('--assertions <count>', 'stop after so many, in whole frames')
    .option('--prepare <count>', 'assertions to sign before the run; default: what rate or duration ask for')
    .option('--prepare-bytes <size>', 'most memory for signed frames', '1GiB')
    .option('--check', 'read every acked id back')
    .option('--check-connections <count>', 'connections of the check', '32')
    .option('--run-id <hex>', '16 hex digits; the same id makes the same assertions again')
    .addHelpText('after', `
Examples:
  stemedb load --duration 30s --check
  stemedb load --connections 64 --batch 1 --window 16 --sign single
  stemedb load --rate 100k --duration 1m --json > report.json

docs/operations/load-testing.md says how to read the result.
${EXIT_HELP}`))
  action(command, console, finish, async (_args, options: import('./load-command.ts').LoadCommandOptions) =>
    (await import('./load-command.ts')).runLoadCommand(options, console))
}

function addTune(program: Command, console: Console, finish: (code: number) => void): void {
  const command = common(program.command('tune')
    .summary('find settings for this machine')
    .description('Measures this machine and the data directory\'s disk with short loads on nodes of its own, in a temporary folder there, and prints\nthe settings that it would choose, and why. What is stored is not touched. Not beside a node that serves: both would suffer.')
    .addOption(dataDirOption())
    .option('--duration <time>', 'time of measuring, about; starts of nodes and signing come on top', '24s')
    .option('--connections <count>', 'WebSocket connections of the load', '8')
    .option('--batch <count>', 'assertions a frame', '256')
    .addOption(new Option('--sign <how>', 'one signature a frame, one an assertion, or none').choices(['batch', 'single', 'none']).default('batch'))
    .option('--record-bytes <bytes>', 'size of an encoded assertion, about', '300')
    .addHelpText('after', `
Examples:
  stemedb tune --data-dir /var/lib/stemedb
  stemedb tune --connections 64 --batch 1 --sign single
  stemedb tune --json | jq .settings

docs/operations/tuning.md says how to read the result.
${EXIT_HELP}`))
  action(command, console, finish, async (_args, options: import('./tune.ts').TuneCommandOptions) => (await import('./tune.ts')).runTune(options, console))
}

function addData(program: Command, console: Console, finish: (code: number) => void): void {
  type Inspect = import('./wal.ts').WalInspectOptions
  const wal = program.command('wal').description('Look into a node\'s log, or cut a damaged one.')
  action(common(wal.command('inspect').description('Lists the records of the log, one a line.')
    .addOption(dataDirOption())
    .option('--from-lsn <lsn>', 'first LSN of interest')
    .option('--to-lsn <lsn>', 'last LSN of interest')
    .option('--from-segment <id>', 'first segment of interest')
    .option('--limit <count>', 'most records', '1000')
    .addHelpText('after', EXIT_HELP)), console, finish,
  async (_args, options: Inspect) => (await import('./wal.ts')).runWalInspect(options, console))
  action(common(wal.command('verify').description('Reads every byte of the log and checks it: checksums, LSNs without a gap, the end.')
    .addOption(dataDirOption()).addHelpText('after', EXIT_HELP)), console, finish,
  async (_args, options: Inspect) => (await import('./wal.ts')).runWalVerify(options, console))
  action(common(wal.command('cut').description('The last resort for a damaged log without a backup: cuts it at its first damage, so that the node starts with what is before.\nAssertions behind it are lost to the node; their bytes stay aside. The node must be stopped.')
    .addOption(dataDirOption())
    .requiredOption('--at <segment:offset>', 'the first damage, as wal verify names it; it is cut nowhere else')
    .addHelpText('after', EXIT_HELP)), console, finish,
  async (_args, options: import('./wal-cut.ts').WalCutOptions) => (await import('./wal-cut.ts')).runWalCut(options, console))
  const store = program.command('store').description('Check or rebuild a stopped node\'s indexes.')
  type StoreOptions = import('./store.ts').StoreOptions
  action(common(store.command('verify').description('Recomputes every id and checks that indexes and log agree. The node must be stopped.')
    .addOption(dataDirOption()).addHelpText('after', EXIT_HELP)), console, finish,
  async (_args, options: StoreOptions) => (await import('./store.ts')).runStoreVerify(options, console))
  action(common(store.command('rebuild').description('Makes the indexes anew from the log. The node must be stopped; the log is not changed.')
    .addOption(dataDirOption()).addHelpText('after', EXIT_HELP)), console, finish,
  async (_args, options: StoreOptions) => (await import('./store.ts')).runStoreRebuild(options, console))
}

function addImport(program: Command, console: Console, finish: (code: number) => void): void {
  const group = program.command('import').description('Bring real data in.')
  const debian = writing(common(group.command('debian')
    .summary('claims of Debian package lists')
    .description('Turns package lists into claims about debian/<package>: version, depends, maintainer and more. Security, updates and\nmain lists are sources of different tiers, which contradict each other.')
    .argument('[files...]', 'Packages files (plain, .gz, .lz4, .xz); default: those of apt-get update in /var/lib/apt/lists')
    .option('--limit <count>', 'packages of each list, at most')
    .addHelpText('after', `
Examples:
  stemedb import debian
  stemedb import debian --limit 1000 ./Packages.gz
${EXIT_HELP}`)))
  action(debian, console, finish, async (files, options: import('./import-debian.ts').ImportOptions) =>
    (await import('./import-debian.ts')).runImportDebian(files, options, console))
}

function addConfig(program: Command, console: Console, finish: (code: number) => void): void {
  const command = common(program.command('config')
    .summary('show settings')
    .description('Shows the settings that serve would run with (variables and defaults), or the documents made from the table of settings.')
    .argument('[form]', 'show, env (.env.example) or markdown (docs/reference/config.md)', 'show'))
  action(command, console, finish, async ([form], options: OutputOptions) => (await import('./config-command.ts')).runConfig(form ?? 'show', options, console))
}

function addDashboard(program: Command, console: Console, finish: (code: number) => void): void {
  const command = common(program.command('dashboard')
    .summary('print a dashboard for Grafana')
    .description('Prints a dashboard of every metric that a node serves, to import into Grafana (Dashboards, New, Import).')
    .addHelpText('after', `
Example:
  stemedb dashboard > stemedb.json
${EXIT_HELP}`))
  action(command, console, finish, async (_args, options: OutputOptions) => (await import('./dashboard.ts')).runDashboard(options, console))
}

/** Commander's code for help that it shows where a command is missing. */
const HELP_SHOWN = 'commander.help'

/**
 * Runs one command line (without node and script).
 * @returns the exit code
 */
export async function runCli(args: readonly string[], console: Console): Promise<number> {
  let exitCode: number = EXIT.ok
  const finish = (code: number): void => { exitCode = code }
  const program = new Command('stemedb')
    .description('StemeDB, a database of claims: signed, immutable assertions, resolved when somebody reads.')
    .version(version)
    .showSuggestionAfterError()
    .addHelpText('after', `
First minute:
  stemedb serve                                        # in one terminal
  stemedb assert sky colour blue --confidence 0.9      # in another
  stemedb query sky
${EXIT_HELP}`)
  const groups = [addServe, addAssert, addReading, addExploring, addFeed, addImport, addLoad, addTune, addVerify, addKeygen, addData, addConfig, addDashboard]
  for (const add of groups) add(program, console, finish)
  // Help that nobody asked for, or what is wrong: said below, in the form of all errors.
  let said = ''
  const quiet = (command: Command): void => {
    command.exitOverride().configureOutput({ writeOut: (text) => console.out(text.trimEnd()), writeErr: (text) => { said += text } })
    command.commands.forEach(quiet)
  }
  quiet(program)
  try {
    await program.parseAsync(args, { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    // Help and version are no errors; a bare `stemedb` is one.
    if (error.exitCode === 0) return EXIT.ok
    const json = args.includes('--json')
    if (error.code !== HELP_SHOWN) return reportError(console, new DbError('parameter_invalid', error.message.replace(/^error: /, '').replaceAll(/\s+/g, ' ')), { json })
    if (json) return reportError(console, new DbError('parameter_invalid', 'no command is named'), { json })
    console.err(said.trimEnd())
    return EXIT.usage
  }
  return exitCode
}
