import { existsSync, readFileSync, statSync } from 'node:fs'
import { fromHex, toHex } from '../base/bytes.ts'
import { DbError, errnoOf } from '../base/errors.ts'
import { EXIT } from '../base/exit-codes.ts'
import { httpProofs } from '../client/http-proofs.ts'
import { claimedKeyOf, verifyProofFile } from '../client/proofs.ts'
import { nodeUrlsOf } from '../client/urls.ts'
import { TLOG_PROOF_BYTES_MAX, verifierKeyOf } from '../merkle/checkpoint.ts'
import { HASH_BYTES } from '../record/limits.ts'
import type { ReadOptions } from './connect.ts'
import type { Console, OutputOptions } from './console.ts'
import { timeoutOf } from './values.ts'
import { objectText, printable } from './words.ts'

export interface VerifyOptions extends ReadOptions, OutputOptions {
  readonly key?: string
  readonly id?: string
  readonly realm?: string
}

/** @throws {DbError} `parameter_invalid` where it can not be read */
function readProof(path: string): string {
  try {
    if (statSync(path).size > TLOG_PROOF_BYTES_MAX) throw new DbError('proof_invalid', `${path} is larger than any proof`, { path })
    return readFileSync(path, 'utf8')
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === undefined) throw error
    throw new DbError('parameter_invalid', `${path} is neither a file that can be read (${errno}) nor an assertion's id of 64 hex digits`, { path })
  }
}

/** `stemedb verify`: a proof file without any node, or an assertion with the proof that a node gives. Prints nothing good that it has not checked. */
export async function runVerify(what: string, options: VerifyOptions, console: Console): Promise<number> {
  const isId = fromHex(what, HASH_BYTES) !== undefined && !existsSync(what)
  const wanted = options.id ?? (isId ? what : undefined)
  const id = wanted === undefined ? undefined : fromHex(wanted, HASH_BYTES)
  if (wanted !== undefined && id === undefined) throw new DbError('parameter_invalid', '--id: an id has 64 hex digits', { parameter: '--id' })
  const text = isId ? await httpProofs(nodeUrlsOf(options.url).http, fetch, timeoutOf(options.timeout)).bundle(what.toLowerCase()) : readProof(what)
  const key = options.key ?? claimedKeyOf(text)
  if (key === undefined) throw new DbError('proof_invalid', 'the proof does not name a node of StemeDB: pass its key with --key')
  const proof = await verifyProofFile(text, {
    key, ...(id === undefined ? {} : { id }), ...(options.realm === undefined ? {} : { realm: options.realm }),
  })
  const pinned = options.key !== undefined
  const { head, index, assertion, signed } = proof
  const named = claimedKeyOf(text)
  if (options.json === true) {
    console.out(JSON.stringify({
      ok: true, id: toHex(proof.id), index, lsn: index + 1, origin: head.origin, size: head.size, root: toHex(head.root),
      signed_by: signed ?? null, agent: assertion === undefined ? null : toHex(assertion.agent), pinned,
    }))
    return EXIT.ok
  }
  console.out(`proven: ${toHex(proof.id)}`)
  console.out(`  stands at LSN ${index + 1} of the ${head.size} assertions under a tree head that ${printable(head.origin)} signed`)
  if (assertion !== undefined) {
    console.out(`  says ${printable(assertion.subject)} ${printable(assertion.predicate)} ${objectText({ type: assertion.object.kind, value: assertion.object.value })}`)
    console.out(signed === 'nobody' ? '  nobody signed it' : `  signed by ${toHex(assertion.agent)}${signed === 'batch' ? ', as one of a batch' : ''}`)
  }
  if (!pinned) {
    console.err('The node\'s key is the one that the proof names itself. To be sure whose it is, get it from somebody you trust, and pass it:')
    if (named !== undefined) console.err(`  --key ${printable(verifierKeyOf(head.origin, named))}`)
  }
  return EXIT.ok
}
