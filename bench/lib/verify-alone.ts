import { Worker } from 'node:worker_threads'

const workerUrl = new URL('../verify-worker.js', import.meta.url)

export interface VerifyAlone {
  readonly seconds: number
  /** Frames that each thread makes beforehand and goes round in. */
  readonly frames: number
}

/**
 * Signed assertions a second that `threads` threads check, each a frame of its own, when they do nothing but
 * src/verify: no ring, no socket, no disk. The ceiling of any node with so many verify threads on this machine.
 */
export async function verifyAlone(threads: number, work: VerifyAlone): Promise<number> {
  const rates = await Promise.all(Array.from({ length: threads }, () => new Promise<number>((resolve, reject) => {
    const worker = new Worker(workerUrl, { workerData: work })
    worker.once('message', resolve)
    worker.once('error', reject)
  })))
  return rates.reduce((sum, rate) => sum + rate, 0)
}
