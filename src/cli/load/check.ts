import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../../base/clock.ts'
import { toHex } from '../../base/bytes.ts'
import { HASH_BYTES } from '../../record/limits.ts'
import type { NodeUrls } from '../../client/urls.ts'
import type { CheckReport } from './load.types.ts'
import type { Outcomes } from './outcomes.ts'
import { IDS_PER_MESSAGE, ReadBackConnection } from './read-back.ts'
import type { FrameMaker } from './template.ts'

/** Ids that are asked for again; more are counted as missing at once. */
const RETRY_IDS_MAX = 100_000
const MISSING_SHOWN_MAX = 20
/** Indexes may lag behind the acks: ids that are not there yet are asked for again so long. */
const RETRY_MS_MAX = 20_000
const RETRY_PAUSE_MS = 250

export interface CheckInput {
  readonly urls: NodeUrls
  readonly maker: FrameMaker
  readonly outcomes: Outcomes
  readonly connections: number
  readonly onProgress: ((read: number, elapsedMs: number) => void) | undefined
}

function* storedIds(maker: FrameMaker, outcomes: Outcomes): Generator<Uint8Array> {
  const ids = new Uint8Array(maker.batch * HASH_BYTES)
  for (const { frame, except } of outcomes.stored()) {
    maker.idsInto(ids, frame)
    for (let i = 0; i < maker.batch; i++) {
      if (except?.has(i) !== true) yield ids.slice(i * HASH_BYTES, (i + 1) * HASH_BYTES)
    }
  }
}

/** Reads every id that was acked; each must be there, under its own id. */
export async function checkStored(input: CheckInput): Promise<CheckReport> {
  const startMs = systemClock.monoMs()
  let read = 0
  let found = 0
  let failed = 0
  let retry: Uint8Array[] = []
  let lost = 0
  const missingIds: string[] = []

  const pass = async (ids: Iterator<Uint8Array>, onMiss: (id: Uint8Array, isMissing: boolean) => void): Promise<void> => {
    const worker = async (): Promise<void> => {
      let connection = new ReadBackConnection()
      try {
        for (let some = taken(ids); some.length > 0; some = taken(ids)) {
          if (!connection.isOpen) {
            connection = new ReadBackConnection()
            // Nobody there: what is asked for counts as not answered.
            await connection.open(input.urls).catch(() => undefined)
          }
          const outcomes = await connection.ask(some)
          outcomes.forEach((outcome, i) => {
            if (outcome === 'found') found++
            else onMiss(some[i]!, outcome === 'missing')
          })
          read += some.length
          input.onProgress?.(read, systemClock.monoMs() - startMs)
        }
      } finally {
        connection.close()
      }
    }
    await Promise.all(Array.from({ length: input.connections }, worker))
  }

  const miss = (id: Uint8Array): void => {
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
  await pass(last.values(), (id, isMissing) => {
    if (isMissing) lost++
    else failed++
    if (missingIds.length < MISSING_SHOWN_MAX) missingIds.push(toHex(id))
  })
  return { read: total, found, missing: lost, failed, seconds: (systemClock.monoMs() - startMs) / 1000, missingIds }
}

/** The next ids, as many as share a message. */
function taken(ids: Iterator<Uint8Array>): Uint8Array[] {
  const some: Uint8Array[] = []
  while (some.length < IDS_PER_MESSAGE) {
    const next = ids.next()
    if (next.done === true) break
    some.push(next.value)
  }
  return some
}
