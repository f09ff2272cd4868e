import { fromHex } from '../base/bytes.ts'
import { DbError } from '../base/errors.ts'
import { HASH_BYTES } from '../record/limits.ts'
import { getText, okOrThrow } from './http.ts'
import type { ProofSource } from './proofs.ts'

const malformed = (what: string): never => {
  throw new DbError('proof_invalid', `the node answered with no ${what}`)
}

function pathOf(value: unknown): Uint8Array[] {
  const path = Array.isArray(value) ? value.map((hash) => (typeof hash === 'string' ? fromHex(hash, HASH_BYTES) : undefined)) : [undefined]
  return path.includes(undefined) ? malformed('path') : path as Uint8Array[]
}

/** @throws {DbError} as rejection: the problem's code, or `unreachable` */
async function text(fetchImpl: typeof fetch, url: string): Promise<string> {
  const { status, text } = await getText(fetchImpl, url)
  if (status >= 200 && status < 300) return text
  let problem: unknown = null
  try {
    problem = JSON.parse(text)
  } catch {
    // Somebody between us and the node answered.
  }
  return okOrThrow(status, problem) as never
}

async function json(fetchImpl: typeof fetch, url: string): Promise<Record<string, unknown>> {
  const body = await text(fetchImpl, url)
  try {
    const members: unknown = JSON.parse(body)
    if (typeof members === 'object' && members !== null) return members as Record<string, unknown>
  } catch {
    // Said below.
  }
  return malformed('JSON')
}

/**
 * Proofs of a node over HTTP. All calls reject with {DbError}: the problem's code, `unreachable`, `proof_invalid` for answers that are none.
 * @param base `http://host:port`
 */
export function httpProofs(base: string, fetchImpl: typeof fetch = globalThis.fetch.bind(globalThis)): ProofSource & { bundle(id: string): Promise<string> } {
  const root = `${base.replace(/\/$/, '')}/v1/proofs`
  return {
    checkpoint: () => text(fetchImpl, `${root}/checkpoint`),
    bundle: (id) => text(fetchImpl, `${root}/bundle/${encodeURIComponent(id)}`),
    async consistency(from, to) {
      return pathOf((await json(fetchImpl, `${root}/consistency?from=${from}&to=${to}`))['path'])
    },
    async inclusion(id, size) {
      const { index, path } = await json(fetchImpl, `${root}/inclusion/${encodeURIComponent(id)}?size=${size}`)
      return { index: typeof index === 'number' ? index : malformed('index'), path: pathOf(path) }
    },
  }
}
