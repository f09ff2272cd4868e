import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { missing } from './tools.ts'

const ROOT = '/sys/fs/cgroup/memory'

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
    t.teardown(() => rmdirSync(group.#path))
    return group
  }

  /** A command that runs its arguments in the group. */
  get wrapper(): readonly string[] {
    return ['sh', '-c', 'echo $$ > "$0/cgroup.procs" && exec "$@"', this.#path]
  }

  /** How often the kernel has ended a process of the group since it was made. */
  get kills(): number {
    return Number(/^oom_kill (\d+)$/m.exec(this.#read('memory.oom_control'))?.[1])
  }

  /**
   * From now on the group gets no more than it has: first what files have of it is taken back, and when that is gone, whoever asks for more
   * is killed.
   */
  limitToWhatItHas(): void {
    try {
      writeFileSync(join(this.#path, 'memory.limit_in_bytes'), this.#read('memory.usage_in_bytes'))
    } catch (error) {
      // It has grown since, and has nothing that could be taken back at once.
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error
    }
  }

  unlimit(): void {
    writeFileSync(join(this.#path, 'memory.limit_in_bytes'), '-1')
  }

  #read(name: string): string {
    return readFileSync(join(this.#path, name), 'utf8').trim()
  }
}
