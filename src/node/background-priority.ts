import { readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { setPriority } from 'node:os'
import { basename } from 'node:path'
import { errnoOf } from '../base/errors.ts'

/**
 * Threads that no client waits for give way to those that one does: on few cores an ack otherwise waits for a time slice of
 * a merge or a compaction. Linux has a nice value for each thread (setpriority(2), "C library/kernel differences"), by which its
 * scheduler weighs them; elsewhere, and where it is not allowed, nothing changes.
 */

/** Of the calling thread, which must not be what serves clients. @returns whether it was done */
export function lowerOwnPriority(nice: number): boolean {
  return attempt(() => setPriority(Number(basename(readlinkSync('/proc/thread-self'))), nice))
}

/** Of all threads of this process whose name begins so. @returns how many there were */
export function lowerPriorityOfThreads(namePrefix: string, nice: number): number {
  let count = 0
  attempt(() => {
    for (const thread of readdirSync('/proc/self/task')) {
      attempt(() => {
        if (!readFileSync(`/proc/self/task/${thread}/comm`, 'utf8').startsWith(namePrefix)) return
        setPriority(Number(thread), nice)
        count++
      })
    }
  })
  return count
}

/** No `/proc`, a thread that has just ended, or a kernel that says no: the node works as well, with longer tails. */
function attempt(work: () => void): boolean {
  try {
    work()
    return true
  } catch (error) {
    if (errnoOf(error) === undefined && (error as { code?: unknown }).code !== 'ERR_SYSTEM_ERROR') throw error
    return false
  }
}
