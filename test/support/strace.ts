import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'

/**
 * A system call as strace saw it. With `-f` a call may be split by those of other threads: then it has an `enter` and an
 * `exit`, in between which the others happened; `whole` is both at once. strace writes a thread's line before it lets the
 * thread go on, so that the order of lines is an order that cause and effect keep.
 */
export interface SystemCall {
  readonly phase: 'enter' | 'exit' | 'whole'
  readonly thread: number
  readonly name: string
  /** Everything between the parentheses that is known at this phase. */
  readonly args: string
  /** The result; undefined at `enter`. NaN where there is none. */
  readonly result: number | undefined
}

/** Flags of an strace whose output {@link systemCalls} reads: all strings in hex and whole, files by their paths. */
export function straceCommand(output: string, calls: readonly string[], options: { readonly fast?: boolean, readonly extra?: readonly string[] } = {}): string[] {
  // --seccomp-bpf stops at traced calls only, which costs far less; injected faults do not fire with it.
  const fast = options.fast === true ? ['--seccomp-bpf'] : []
  return ['strace', '-f', ...fast, '-yy', '-xx', '-s', '65536', '-qq', '-o', output, '-e', `trace=${calls.join(',')}`, '-e', 'signal=none', ...(options.extra ?? [])]
}

/** Parses one line; undefined where it is no system call (exits, signals). */
export function parseLine(line: string, unfinished: Map<number, string>): SystemCall | undefined {
  const head = /^(\d+)\s+/.exec(line)
  if (head === null) return undefined
  const thread = Number(head[1])
  const text = line.slice(head[0].length)
  const resumed = /^<\.\.\. (\w+) resumed>/.exec(text)
  if (resumed !== null) {
    const before = unfinished.get(thread) ?? ''
    unfinished.delete(thread)
    return { phase: 'exit', thread, name: resumed[1]!, ...argsAndResult(before + text.slice(resumed[0].length)) }
  }
  const call = /^(\w+)\(/.exec(text)
  if (call === null) return undefined
  const rest = text.slice(call[0].length)
  if (rest.endsWith('<unfinished ...>')) {
    const args = rest.slice(0, -'<unfinished ...>'.length).trimEnd()
    unfinished.set(thread, args)
    return { phase: 'enter', thread, name: call[1]!, args, result: undefined }
  }
  return { phase: 'whole', thread, name: call[1]!, ...argsAndResult(rest) }
}

function argsAndResult(text: string): { args: string, result: number } {
  const at = text.lastIndexOf(') = ')
  if (at >= 0) return { args: text.slice(0, at), result: Number.parseInt(text.slice(at + 4), 10) }
  // strace pads short calls: `fsync(3)               = 0`.
  const padded = /\)\s+= (-?\d+|\?)/.exec(text)
  return padded === null ? { args: text, result: Number.NaN } : { args: text.slice(0, padded.index), result: Number.parseInt(padded[1]!, 10) }
}

/** All calls of an output file, in order. */
export async function* systemCalls(path: string): AsyncGenerator<SystemCall> {
  const unfinished = new Map<number, string>()
  const lines = createInterface({ input: createReadStream(path, { encoding: 'latin1' }), crlfDelay: Infinity })
  for await (const line of lines) {
    const call = parseLine(line, unfinished)
    if (call !== undefined) yield call
  }
}

/** `\x2f\x74...` → `/t...` */
export function unhex(text: string): Buffer {
  return Buffer.from(text.replaceAll('\\x', ''), 'hex')
}

/** The file descriptor argument at the front: its number and what it stands for (a path, or `TCP:[...]`). */
export function fdOf(args: string): { readonly fd: number, readonly label: string } | undefined {
  const match = /^(\d+)<((?:[^<>]|->)*)>/.exec(args)
  if (match === null) return undefined
  const label = match[2]!
  return { fd: Number(match[1]), label: label.startsWith('\\x') ? unhex(label).toString() : label }
}

/** All quoted strings among the arguments. `cut` says whether strace left the end of one out. */
export function stringsOf(args: string): { readonly strings: Buffer[], readonly cut: boolean } {
  const strings: Buffer[] = []
  let cut = false
  for (const match of args.matchAll(/"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?/g)) {
    strings.push(unhex(match[1]!))
    if (match[2] !== undefined) cut = true
  }
  return { strings, cut }
}
