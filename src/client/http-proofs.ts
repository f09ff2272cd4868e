import { fromHex } from '../base/bytes.ts'
import { DbError } from '../base/errors.ts'
import { isTlogProof } from '../merkle/checkpoint.ts'
import { HASH_BYTES } from '../record/limits.ts'
import { getText, isMembers, isSuccess, notAnswered, parsed } from './http.ts'
import type { ProofSource } from './proofs.ts'

const malformed = (what: string): never => {
  throw new DbError('proof_invalid', `the node answered with no ${what}`)
}

function pathOf(value: unknown): Uint8Array[] {
  const path = Array.isArray(value) ? value.map((hash) => (typeof hash === 'string' ? fromHex(hash, HASH_BYTES) : undefined)) : [undefined]
  return path.includes(undefined) ? malformed('path') : path as Uint8Array[]
}

/**
 * Proofs of a node over HTTP. All calls reject with {DbError}: the problem's code, `timeout`, `unreachable`, also for what no node answers,
 * `proof_invalid` for answers that prove nothing.
 * @param base `http://host:port`
 * @param timeoutMs longest wait for an answer, 30 s where it is left out
 */
export function httpProofs(
  base: string, fetchImpl: typeof fetch = globalThis.fetch.bind(globalThis), timeoutMs?: number,
): ProofSource & { bundle(id: string): Promise<string> } {
  const root = `${base.replace(/\/$/, '')}/v1/proofs`
  const text = async (url: string, isAnswer: (text: string) => boolean = () => true): Promise<string> => {
    const { status, text } = await getText(fetchImpl, url, '*/*', timeoutMs)
    return isSuccess(status) && isAnswer(text) ? text : notAnswered(url, status, parsed(text))
  }
  const json = async (url: string): Promise<Readonly<Record<string, unknown>>> => {
    const members = parsed(await text(url))
    return isMembers(members) ? members : malformed('JSON')
  }
  return {
    checkpoint: () => text(`${root}/checkpoint`),
    bundle: (id) => text(`${root}/bundle/${encodeURIComponent(id)}`, isTlogProof),
    async consistency(from, to) {
      return pathOf((await json(`${root}/consistency?from=${from}&to=${to}`))['path'])
    },
    async inclusion(id, size) {
      const { index, path } = await json(`${root}/inclusion/${encodeURIComponent(id)}?size=${size}`)
      return { index: typeof index === 'number' ? index : malformed('index'), path: pathOf(path) }
    },
  }
}
