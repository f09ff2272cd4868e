import type { HttpRequest } from 'uWebSockets.js'
import { DbError } from '../base/errors.ts'

/** What uWebSockets lets pass, and would make something else of than whoever stands before the node. */

const VISIBLE_ASCII = /^[\x21-\x7e]*$/

/**
 * A request target is visible ASCII (RFC 3986); other bytes come to us as U+FFFD, which is to ask about something else than was asked.
 * @returns what is wrong with it, if anything
 */
export function targetFault(req: HttpRequest): DbError | undefined {
  if (VISIBLE_ASCII.test(req.getUrl()) && VISIBLE_ASCII.test(req.getQuery() ?? '')) return undefined
  return new DbError('parameter_invalid', 'the request target has bytes that are no visible ASCII: percent-encode them', { parameter: 'target' })
}

/**
 * Where a body ends must have one answer only (RFC 9112, 6.3): uWebSockets takes the first of several Content-Lengths, none of an empty
 * one, and any Transfer-Encoding for chunked. A proxy that takes them otherwise would forward one request, and the node see two. The
 * connection is of no use afterwards. To look through all fields costs more than to ask for one, and is done only where a body may come.
 * @param method upper case
 * @returns what is wrong with its framing, if anything
 */
export function framingFault(req: HttpRequest, method: string): DbError | undefined {
  if (method !== 'POST' && req.getHeader('content-length') === '' && req.getHeader('transfer-encoding') === '') return undefined
  let fields = 0
  let wrong: string | undefined
  req.forEach((name, value) => {
    if (name !== 'content-length' && name !== 'transfer-encoding') return
    fields++
    if (name === 'content-length' ? value === '' : value.toLowerCase() !== 'chunked') wrong ??= name
    if (fields > 1) wrong ??= name
  })
  if (wrong === undefined) return undefined
  const why = fields > 1 ? 'is not the only field that says where the body ends'
    : wrong === 'content-length' ? 'is empty' : 'may be chunked only'
  return new DbError('parameter_invalid', `${wrong} ${why}`, { parameter: wrong })
}
