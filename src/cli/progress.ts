import type { Console } from './console.ts'

export interface Progress {
  /** @param text what stands behind the bar */
  update(done: number, total: number, text: string): void
  /** Takes the bar away. */
  stop(): void
}

const NONE: Progress = { update: () => undefined, stop: () => undefined }

/** A bar on standard error, where that is a terminal and nobody asked for JSON; else nothing. */
export async function createProgress(console: Console, what: string, json = false): Promise<Progress> {
  if (!console.isTerminal || json) return NONE
  const { default: bars } = await import('cli-progress')
  const bar = new bars.SingleBar({
    format: `${what} {bar} {percentage}% {text}`, barsize: 24, hideCursor: true, clearOnComplete: true, fps: 10, linewrap: false,
    stream: process.stderr,
  }, bars.Presets.shades_classic)
  let started = false
  return {
    update(done, total, text) {
      if (!started) bar.start(total, done, { text })
      started = true
      bar.setTotal(Math.max(1, total))
      bar.update(Math.min(done, total), { text })
    },
    stop() {
      if (started) bar.stop()
    },
  }
}
