import { toHex } from '../../src/base/bytes.ts'
import { connect, type StemeClient } from '../../src/client/client.ts'
import { assertionToJson } from '../../src/record/assertion.json.ts'
import { LIFECYCLES, SOURCE_CLASSES, lifecycleNumber } from '../../src/record/assertion.ts'
import type { FoundJson, QueryReplyJson } from '../../src/front/query.codec.ts'
import { WebSocket } from 'ws'
import type { Shown } from '../unit/query/ask.ts'
import type { Accepted, Step } from './history.ts'
import type { Question } from './model.query.ts'

/** What a reply comes to, in the words of the in-process engine. */
export type Answered = Pick<Shown, 'refused' | 'detail' | 'listed'> & {
  readonly answers: readonly (Omit<Shown['answers'][number], 'winner' | 'signedBy' | 'lsn' | 'explanation'>)[]
}

const namesOf = (bits: number, names: readonly string[], firstBit: number): string => names.filter((_, i) => (bits >> i + firstBit & 1) === 1).join(',')

/** What is left of a question over HTTP: there is no empty prefix, which asks for the order of the index. */
export function overHttp({ subject, prefix, ...rest }: Question): Question {
  return subject === '' ? rest : { ...rest, ...subject !== undefined && { subject }, ...prefix !== undefined && { prefix } }
}

/** A question of the model as parameters of `GET /v1/query`. */
export function parametersOf(question: Question, minLsn: number): URLSearchParams {
  const { subject, predicate, lens, agent, source, epoch, lifecycles, tiers, fromHlc, untilHlc, assertedFromMs, assertedUntilMs, confidenceMin, object, asOfHlc, tolerance, aliases } = question
  const isPrefix = question.prefix ?? subject === undefined
  const given: Record<string, string | undefined> = {
    [isPrefix ? 'prefix' : 'subject']: subject === '' ? undefined : subject,
    predicate, lens, agent: agent && toHex(agent), source: source && toHex(source), epoch: epoch && toHex(epoch),
    lifecycle: lifecycles === undefined ? undefined : namesOf(lifecycles, LIFECYCLES, 1),
    tier: tiers === undefined ? undefined : namesOf(tiers, SOURCE_CLASSES, 0),
    from: fromHlc?.toString(), until: untilHlc?.toString(), asserted_from: assertedFromMs?.toString(), asserted_until: assertedUntilMs?.toString(),
    confidence_min: confidenceMin?.toString(), object: object === undefined ? undefined : `${object.kind}:${String(object.value)}`,
    as_of: asOfHlc?.toString(), tolerance: tolerance?.toString(), aliases: aliases?.toString(), min_lsn: String(minLsn), limit: '1000',
  }
  const named = Object.entries(given).filter((entry): entry is [string, string] => entry[1] !== undefined)
  const asks = ['subject', 'prefix', 'predicate', 'agent', 'source', 'epoch', 'lifecycle', 'tier', 'from', 'until', 'asserted_from', 'asserted_until', 'confidence_min', 'object']
  // Everything: over HTTP a question has to name something.
  if (!named.some(([name]) => asks.includes(name))) named.push(['tier', SOURCE_CLASSES.join(',')])
  return new URLSearchParams(named)
}

/** A node that runs, as the trial sees the engine: told over the WebSocket and over HTTP in turns, asked over HTTP. */
export class NodeEngine {
  readonly #url: string
  readonly #client: StemeClient
  #steps = 0
  lastLsn = 0

  private constructor(url: string, client: StemeClient) {
    this.#url = url
    this.#client = client
  }

  static async open(url: string): Promise<NodeEngine> {
    return new NodeEngine(url, await connect(url, { WebSocket }))
  }

  close(): Promise<void> {
    return this.#client.close()
  }

  /** @returns what was written, under the stamps that the node gave. @throws {Error} where it refuses anything */
  async accept({ accepted }: Step): Promise<Accepted[]> {
    const stored = this.#steps++ % 2 === 0 ? await this.#bySocket(accepted) : await this.#byHttp(accepted)
    this.lastLsn = stored.at(-1)!.lsn
    return stored
  }

  async #bySocket(accepted: readonly Accepted[]): Promise<Accepted[]> {
    const results = (await this.#client.assertMany(accepted.map(({ assertion }) => assertion))).flatMap((ack) => ack.results)
    return results.map((result, i) => {
      if (!result.ok) throw new Error(`refused: ${JSON.stringify(assertionToJson(accepted[i]!.assertion))}: ${result.error.message}`)
      return stamped(accepted[i]!, toHex(result.id), result.lsn, result.hlc)
    })
  }

  async #byHttp(accepted: readonly Accepted[]): Promise<Accepted[]> {
    const stored: Accepted[] = []
    for (const one of accepted) {
      const body = JSON.stringify(assertionToJson(one.assertion))
      const response = await fetch(`${this.#url}/v1/assert`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
      const answer = await response.json() as { id: string, lsn: number, hlc: string }
      if (!response.ok) throw new Error(`refused: ${body}: ${JSON.stringify(answer)}`)
      stored.push(stamped(one, answer.id, answer.lsn, BigInt(answer.hlc)))
    }
    return stored
  }

  async ask(question: Question): Promise<Answered> {
    const response = await fetch(`${this.#url}/v1/query?${parametersOf(question, this.lastLsn).toString()}`)
    const reply = await response.json() as QueryReplyJson & { code?: string, detail?: string }
    if (!response.ok) return { refused: reply.code ?? String(response.status), detail: reply.detail ?? '', listed: [], answers: [] }
    if (reply.truncated) return { refused: 'truncated', detail: '', listed: [], answers: [] }
    return {
      refused: '', detail: '', listed: (reply.listed ?? []).map(({ id }) => id),
      answers: reply.answers.map(({ subject, predicate, candidates, winner, why = '', conflict = -1, certainty = -1, status = '', sides = [] }) => ({
        subject, predicate, candidates, id: winner?.id ?? '', lifecycle: givenTo(winner), why, conflict, certainty, status,
        sides: sides.map(({ label, winner: side, weight, share, candidates: count, sources, conflict: inside = -1 }) =>
          ({ label, id: side?.id ?? '', lifecycle: givenTo(side), weight, share, candidates: count, sources, conflict: inside })),
      })),
    }
  }
}

const givenTo = (winner: FoundJson | null | undefined): number => winner?.effective_lifecycle === undefined ? 0 : lifecycleNumber(winner.effective_lifecycle)

function stamped(one: Accepted, id: string, lsn: number, hlc: bigint): Accepted {
  if (id !== one.id) throw new Error(`the node calls ${one.id} ${id}`)
  return { ...one, lsn, hlc }
}

