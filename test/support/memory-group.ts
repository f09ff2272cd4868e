import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { sleep } from './history.trial.ts'
import { missing } from './tools.ts'

const ROOT = '/sys/fs/cgroup/memory'
const ATTEMPTS_MAX = 100
const REMOVE_PAUSE_MS = 20

/** Processes whose memory the kernel counts and bounds together: a control group (version 1) of its memory controller. */
export class MemoryGroup {
  readonly #path = join(ROOT, `stemedb-test-${process.pid}`)

  /** Where there is no such controller, or it is not this process's to use, the test is skipped (in CI: failed): undefined. */
  static require(t: Test): MemoryGroup | undefined {
    const group = new MemoryGroup()
    if (!existsSync(join(ROOT, 'memory.limit_in_bytes'))) {
      missing(t, `the memory controller of cgroup v1 at ${ROOT}`)
      return undefined
    }
    try {
      mkdirSync(group.#path)
    } catch (error) {
      missing(t, `leave to make control groups: ${String(error)}`)
      return undefined
    }
    t.teardown(() => group.#remove())
    return group
  }

  /** A command that runs its arguments in the group, as what the kernel kills first. */
  get wrapper(): readonly string[] {
    return ['sh', '-c', 'echo 1000 > /proc/$$/oom_score_adj && echo $$ > "$0/cgroup.procs" && exec "$@"', this.#path]
  }

  /** How often the kernel has ended a process of the group since it was made. */
  get kills(): number {
    return Number(/^oom_kill (\d+)$/m.exec(this.#read('memory.oom_control'))?.[1])
  }

  /**
   * Takes all memory that is left: the group gets no more than it has, and somebody in it wants more without end. What files have of it is
   * taken back first, and when that is gone, the kernel kills.
   * @returns gives it back; call it when who was to be killed is gone
   */
  exhaust(): () => Promise<void> {
    this.#limitToUsage()
    // Without a newline it keeps all that it has read.
    const glutton = spawn('sh', ['-c', 'echo $$ > "$0/cgroup.procs" && exec tail /dev/zero', this.#path], { stdio: 'ignore' })
    const gone = new Promise((resolve) => glutton.once('close', resolve))
    return async () => {
      glutton.kill('SIGKILL')
      this.#write('memory.limit_in_bytes', '-1')
      await gone
    }
  }

  /** Who has ended may stand in it for another moment. */
  async #remove(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        return rmdirSync(this.#path)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EBUSY' || attempt === ATTEMPTS_MAX) throw error
        await sleep(REMOVE_PAUSE_MS)
      }
    }
  }

  #limitToUsage(): void {
    for (let attempt = 1; ; attempt++) {
      try {
        return this.#write('memory.limit_in_bytes', this.#read('memory.usage_in_bytes'))
      } catch (error) {
        // It has grown since, and has nothing that could be taken back at once.
        if ((error as NodeJS.ErrnoException).code !== 'EBUSY' || attempt === ATTEMPTS_MAX) throw error
      }
    }
  }

  #write(name: string, value: string): void {
    writeFileSync(join(this.#path, name), value)
  }

  #read(name: string): string {
    return readFileSync(join(this.#path, name), 'utf8').trim()
  }
}
