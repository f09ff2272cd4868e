import childProcess from 'node:child_process'
import crypto from 'node:crypto'
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import net from 'node:net'

/** Something in the simulation asked the real world. */
export class Leak extends Error {
  override name = 'Leak'
}

type Holder = Record<string | symbol, unknown>

/** Functions by which the real world has a say. Promises stay: their order follows from the program alone. */
const TARGETS: readonly (readonly [name: string, holder: object, keys: readonly string[]])[] = [
  ['Date', Date, ['now']],
  ['performance', performance, ['now']],
  ['process', process, ['hrtime', 'uptime', 'nextTick']],
  ['Math', Math, ['random']],
  ['globalThis', globalThis, ['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask', 'fetch', 'MessageChannel', 'WebSocket']],
  ['Atomics', Atomics, ['wait', 'waitAsync']],
  ['crypto', crypto, ['randomBytes', 'randomInt', 'randomFill', 'randomFillSync', 'randomUUID', 'generateKeyPairSync']],
  ['webcrypto', crypto.webcrypto, ['getRandomValues', 'randomUUID']],
  ['fs', fs, Object.keys(fs).filter((key) => typeof (fs as unknown as Holder)[key] === 'function' && /^[a-z]/.test(key))],
  ['fs.promises', fs.promises, Object.keys(fs.promises).filter((key) => typeof (fs.promises as unknown as Holder)[key] === 'function')],
  ['child_process', childProcess, ['spawn', 'spawnSync', 'exec', 'execSync', 'execFile', 'execFileSync', 'fork']],
  ['net', net, ['connect', 'createConnection', 'createServer']],
]

/** `new Date()` and `Date()` ask the clock; `new Date(ms)` does not. */
function poisonedDate(real: DateConstructor, leak: (what: string) => never): DateConstructor {
  return new Proxy(real, {
    construct: (target, args: unknown[], newTarget) =>
      args.length === 0 ? leak('new Date()') : Reflect.construct(target, args, newTarget) as object,
    apply: () => leak('Date()'),
  })
}

/**
 * Runs `work` with every clock, source of chance, timer and file of the real world poisoned: a call throws, and is
 * reported even where somebody catches that. Nothing else may run meanwhile: `work` awaits nothing but what follows from itself.
 */
export async function poisoned<T>(work: () => Promise<T>): Promise<{ readonly result: T, readonly leaks: readonly string[] }> {
  const leaks: string[] = []
  const leak = (what: string): never => {
    leaks.push(what)
    throw new Leak(`the simulation called ${what}`)
  }
  const restores: (() => void)[] = []
  const replace = (holder: object, key: string, value: unknown): void => {
    const own = Object.getOwnPropertyDescriptor(holder, key)
    Object.defineProperty(holder, key, { configurable: true, enumerable: own?.enumerable ?? true, writable: true, value })
    restores.push(() => {
      if (own === undefined) Reflect.deleteProperty(holder, key)
      else Object.defineProperty(holder, key, own)
    })
  }
  try {
    for (const [name, holder, keys] of TARGETS) {
      for (const key of keys) {
        const fake = (): never => leak(`${name}.${key}`)
        if (key === 'hrtime') Object.assign(fake, { bigint: () => leak('process.hrtime.bigint') })
        replace(holder, key, fake)
      }
    }
    replace(globalThis, 'Date', poisonedDate(Date, leak))
    syncBuiltinESMExports()
    return { result: await work(), leaks }
  } finally {
    for (const restore of restores.reverse()) restore()
    syncBuiltinESMExports()
  }
}
