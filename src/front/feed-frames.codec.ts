import { Builder, ByteBuffer } from 'flatbuffers'
import { must } from '../base/assert.ts'
import { ERROR_CODES, errorNameOf, type ErrorName } from '../base/error-codes.ts'
import { DbError } from '../base/errors.ts'
import type { Lsn } from '../base/lsn.ts'
import { AnswerDelivery } from '../fbs/stemedb/answer-delivery.ts'
import { Hash } from '../fbs/stemedb/hash.ts'
import { Heartbeat } from '../fbs/stemedb/heartbeat.ts'
import { QueryRequest } from '../fbs/stemedb/query-request.ts'
import { Reached } from '../fbs/stemedb/reached.ts'
import { Subscribe } from '../fbs/stemedb/subscribe.ts'
import { Subscribed } from '../fbs/stemedb/subscribed.ts'
import { SubscriptionEnd } from '../fbs/stemedb/subscription-end.ts'
import { Unsubscribe } from '../fbs/stemedb/unsubscribe.ts'
import { bytesOfLatin1, latin1Of, type FeedFilter } from '../feed/filter.ts'
import { AGENT_BYTES } from '../record/limits.ts'
import { verifyBuffer, verifyFault } from '../wire/verifier.ts'
import { QUERY_BY_LENS } from '../query/plan.ts'

const SSUB = 0x42555353 // little-endian
const SUNS = 0x534e5553

/** What a client's frame is to the feed, by its identifier; undefined: something else. */
export function feedFrameKind(frame: Uint8Array): 'subscribe' | 'unsubscribe' | undefined {
  if (frame.length < 12) return undefined
  const identifier = (frame[4]! | (frame[5]! << 8) | (frame[6]! << 16) | (frame[7]! << 24)) >>> 0
  return identifier === SSUB ? 'subscribe' : identifier === SUNS ? 'unsubscribe' : undefined
}

export interface SubscribeFrame {
  readonly subscriptionId: bigint
  readonly filter: FeedFilter
  readonly lens: string | undefined
  readonly fromLsn: Lsn
}

function checked(root: 'Subscribe' | 'Unsubscribe', frame: Uint8Array): ByteBuffer {
  const code = verifyBuffer(root, frame)
  if (code !== 0) throw new DbError(errorNameOf(code), verifyFault())
  return new ByteBuffer(frame)
}

const utf8 = new TextEncoder()
// 1 is flatbuffers' Encoding.UTF8_BYTES: the bytes as they are, undecoded.
const RAW = 1
const textOf = (text: string | Uint8Array | null): string | undefined =>
  (text === null ? undefined : latin1Of(typeof text === 'string' ? utf8.encode(text) : text))

/** Copies everything. @throws {DbError} `malformed_frame`, `field_missing` */
export function decodeSubscribe(frame: Uint8Array): SubscribeFrame {
  const subscribe = Subscribe.getRootAsSubscribe(checked('Subscribe', frame))
  const agent = subscribe.agent()
  const fromLsn = subscribe.fromLsn()
  return {
    subscriptionId: subscribe.subscriptionId(),
    filter: {
      subject: textOf(subscribe.subject(RAW)), subjectIsPrefix: subscribe.subjectIsPrefix(), predicate: textOf(subscribe.predicate(RAW)),
      tiers: subscribe.tiers(),
      agent: agent === null ? undefined : latin1Of(must(agent.bb).bytes().subarray(agent.bb_pos, agent.bb_pos + AGENT_BYTES)),
    },
    lens: subscribe.lens() ?? undefined,
    // What is no LSN of any node is in the future of this one, too.
    fromLsn: Number(fromLsn),
  }
}

/** @throws {DbError} `malformed_frame` */
export const decodeUnsubscribe = (frame: Uint8Array): bigint =>
  Unsubscribe.getRootAsUnsubscribe(checked('Unsubscribe', frame)).subscriptionId()

export function encodeSubscribed(subscriptionId: bigint, fromLsn: Lsn): Uint8Array {
  const builder = new Builder(64)
  builder.finish(Subscribed.createSubscribed(builder, subscriptionId, BigInt(fromLsn)), 'SSBD')
  return builder.asUint8Array()
}

export function encodeHeartbeat(subscriptionId: bigint, lsn: Lsn): Uint8Array {
  const builder = new Builder(64)
  Heartbeat.startReachedVector(builder, 1)
  Reached.createReached(builder, subscriptionId, BigInt(lsn))
  const reached = builder.endVector()
  builder.finish(Heartbeat.createHeartbeat(builder, reached), 'SHBT')
  return builder.asUint8Array()
}

export function encodeSubscriptionEnd(subscriptionId: bigint, code: ErrorName | undefined, detail: string, lastLsn: Lsn): Uint8Array {
  const builder = new Builder(128)
  const text = builder.createString(detail)
  SubscriptionEnd.startSubscriptionEnd(builder)
  SubscriptionEnd.addSubscriptionId(builder, subscriptionId)
  SubscriptionEnd.addCode(builder, code === undefined ? 0 : ERROR_CODES[code].number)
  SubscriptionEnd.addDetail(builder, text)
  SubscriptionEnd.addLastLsn(builder, BigInt(lastLsn))
  builder.finish(SubscriptionEnd.endSubscriptionEnd(builder), 'SSUE')
  return builder.asUint8Array()
}

/** @param reply a QueryReply buffer, taken as it is. */
export function encodeAnswerDelivery(subscriptionId: bigint, seenLsn: Lsn, reply: Uint8Array): Uint8Array {
  const builder = new Builder(256 + reply.length)
  builder.prep(8, reply.length)
  const bytes = AnswerDelivery.createReplyVector(builder, reply)
  builder.finish(AnswerDelivery.createAnswerDelivery(builder, subscriptionId, BigInt(seenLsn), bytes), 'SANS')
  return builder.asUint8Array()
}

/** The question behind a lens subscription. */
export function encodeLensQuestion(requestId: bigint, filter: FeedFilter, lens: string, limit: number): Uint8Array {
  const builder = new Builder(256)
  const subject = builder.createString(bytesOfLatin1(filter.subject ?? ''))
  const predicate = filter.predicate === undefined ? 0 : builder.createString(bytesOfLatin1(filter.predicate))
  const lensName = builder.createString(lens)
  QueryRequest.startQueryRequest(builder)
  QueryRequest.addRequestId(builder, requestId)
  QueryRequest.addKind(builder, QUERY_BY_LENS)
  QueryRequest.addSubject(builder, subject)
  QueryRequest.addSubjectIsPrefix(builder, filter.subjectIsPrefix)
  if (predicate !== 0) QueryRequest.addPredicate(builder, predicate)
  QueryRequest.addLens(builder, lensName)
  QueryRequest.addLimit(builder, limit)
  if (filter.agent !== undefined) QueryRequest.addAgent(builder, Hash.createHash(builder, [...bytesOfLatin1(filter.agent)]))
  QueryRequest.addTiers(builder, filter.tiers)
  builder.finish(QueryRequest.endQueryRequest(builder), 'SQRQ')
  return builder.asUint8Array()
}
