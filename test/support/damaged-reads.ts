import { printOfJson } from './history.claims.ts'
import { getAll } from './history.http.ts'

/** What a node with damage answered to reads of what it had acked. */
export interface DamagedReads {
  /** Whole and right. */
  readonly right: string[]
  /** An error that names damage: the honest answer. */
  readonly refused: string[]
  /** Everything else, with what was wrong: other content, not found, another error. */
  readonly wrong: string[]
}

const DAMAGE_CODES: readonly unknown[] = ['wal_corrupt', 'store_corrupt']

/** Reads acked claims one by one. @param prints what each must say. @throws where the node is gone. */
export async function readDamaged(port: number, prints: ReadonlyMap<string, string>): Promise<DamagedReads> {
  const reads: DamagedReads = { right: [], refused: [], wrong: [] }
  await getAll(port, [...prints.keys()].map((id) => `/v1/assertions/${id}`), (path, { status, body }) => {
    const id = path.slice(path.lastIndexOf('/') + 1)
    const json = JSON.parse(body) as { code?: unknown, id?: unknown, assertion?: Record<string, unknown> }
    if (status === 500 && DAMAGE_CODES.includes(json.code)) reads.refused.push(id)
    else if (status === 200 && json.id === id && printOfJson(json.assertion!) === prints.get(id)) reads.right.push(id)
    else reads.wrong.push(`${path}: ${status} ${body.slice(0, 300)}`)
  })
  return reads
}
