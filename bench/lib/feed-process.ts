import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { FeedReport, FeedWork } from './feed-child.types.ts'

export interface FeedProcess {
  /** Ends the writing, and resolves when all subscribers have all. @throws {Error} with what the process said, as a rejection. */
  stop(): Promise<FeedReport>
  /** Rejects where the process ends before it is stopped. */
  readonly failed: Promise<never>
  /** Ends it at once, whatever it does. */
  kill(): void
}

/** Starts bench/feed-child.ts; resolves when all are subscribed and it writes. @throws {Error} with what it said. */
export async function startFeed(work: FeedWork): Promise<FeedProcess> {
  const path = fileURLToPath(new URL('../feed-child.js', import.meta.url))
  const child = spawn(process.execPath, [path, JSON.stringify(work)], { stdio: ['pipe', 'pipe', 'pipe'] })
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => { errors = (errors + chunk).slice(-4000) })
  child.stdin.on('error', () => undefined) // it has ended, which `failed` says
  const failed = new Promise<never>((_resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => reject(new Error(`feed-child ended with ${String(code)}: ${errors}`)))
  })
  failed.catch(() => undefined) // whoever waits has it from the race
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const nextLine = async (): Promise<unknown> => {
    const line: IteratorResult<string, undefined> = await Promise.race([lines.next(), failed])
    return line.done === true ? failed : JSON.parse(line.value)
  }
  await nextLine()
  return {
    async stop() {
      child.stdin.end()
      return await nextLine() as FeedReport
    },
    failed,
    kill: () => void child.kill('SIGKILL'),
  }
}
