import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../../base/clock.ts'
import { toHex } from '../../base/bytes.ts'
import { HASH_BYTES } from '../../record/limits.ts'
import { GetConnection } from './get-connection.ts'
import type { CheckReport } from './load.types.ts'
import type { Outcomes } from './outcomes.ts'
import type { FrameMaker } from './template.ts'

/** Ids that are asked for again; more are counted as missing at once. */
const RETRY_IDS_MAX = 100_000
const MISSING_SHOWN_MAX = 20
/** Indexes may lag behind the acks: ids that are not there yet are asked for again so long. */
const RETRY_MS_MAX = 20_000
const RETRY_PAUSE_MS = 250

export interface CheckInput {
  readonly base: string
  readonly maker: FrameMaker
  readonly outcomes: Outcomes
  readonly connections: number
  readonly onProgress: ((read: number, elapsedMs: number) => void) | undefined
}

function* storedIds(maker: FrameMaker, outcomes: Outcomes): Generator<string> {
  const ids = new Uint8Array(maker.batch * HASH_BYTES)
  for (const { frame, except } of outcomes.stored()) {
    maker.idsInto(ids, frame)
    for (let i = 0; i < maker.batch; i++) {
      if (except?.has(i) !== true) yield toHex(ids.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES))
    }
  }
}

/** Reads every id that was acked; each must be there, under its own id. */
export async function checkStored(input: CheckInput): Promise<CheckReport> {
  const base = new URL(input.base)
  const startMs = systemClock.monoMs()
  let read = 0
  let found = 0
  let failed = 0
  let retry: string[] = []
  let lost = 0
  const missingIds: string[] = []

  const ask = async (connection: GetConnection, id: string): Promise<number> => {
    const { status, body } = await connection.get(`/v1/assertions/${id}`)
    return status === 200 && body.indexOf(id) < 0 ? 0 : status
  }
  const pass = async (ids: Iterator<string>, onMiss: (id: string, status: number) => void): Promise<void> => {
    const worker = async (): Promise<void> => {
      let connection = new GetConnection(base)
      try {
        for (let next = ids.next(); next.done !== true; next = ids.next()) {
          if (connection.failed) connection = new GetConnection(base)
          const status = await ask(connection, next.value).catch(() => 0)
          if (status === 200) found++
          else onMiss(next.value, status)
          if (++read % 1000 === 0) input.onProgress?.(read, systemClock.monoMs() - startMs)
        }
      } finally {
        connection.close()
      }
    }
    await Promise.all(Array.from({ length: input.connections }, worker))
  }

  const miss = (id: string): void => {
    if (retry.length < RETRY_IDS_MAX) retry.push(id)
    else lost++
  }
  await pass(storedIds(input.maker, input.outcomes), miss)
  const total = read
  while (retry.length > 0 && systemClock.monoMs() - startMs < RETRY_MS_MAX) {
    await sleep(RETRY_PAUSE_MS)
    const again = retry
    retry = []
    await pass(again.values(), miss)
  }
  const last = retry
  retry = []
  await pass(last.values(), (id, status) => {
    if (status === 404) lost++
    else failed++
    if (missingIds.length < MISSING_SHOWN_MAX) missingIds.push(id)
  })
  return { read: total, found, missing: lost, failed, seconds: (systemClock.monoMs() - startMs) / 1000, missingIds }
}
