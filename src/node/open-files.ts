import { readFileSync } from 'node:fs'

const LIMITS_PATH = '/proc/self/limits'

/** Files and sockets that this process may have open; infinite where the system has no such limit, or does not say. */
export function openFilesMax(): number {
  let limits: string
  try {
    limits = readFileSync(LIMITS_PATH, 'latin1')
  } catch {
    return Infinity // no Linux
  }
  const soft = /^Max open files\s+(\d+)/m.exec(limits)?.[1]
  return soft === undefined ? Infinity : Number(soft)
}
