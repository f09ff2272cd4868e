import { Builder, ByteBuffer } from 'flatbuffers'
import { must } from '../base/assert.ts'
import { toHex } from '../base/bytes.ts'
import { errorNameOf, type ErrorName } from '../base/error-codes.ts'
import { AnswerDelivery } from '../fbs/stemedb/answer-delivery.ts'
import { Delivery } from '../fbs/stemedb/delivery.ts'
import type { Found } from '../fbs/stemedb/found.ts'
import { Hash } from '../fbs/stemedb/hash.ts'
import { Heartbeat } from '../fbs/stemedb/heartbeat.ts'
import { QueryReply as QueryReplyFrame } from '../fbs/stemedb/query-reply.ts'
import { Subscribe } from '../fbs/stemedb/subscribe.ts'
import { Subscribed } from '../fbs/stemedb/subscribed.ts'
import { SubscriptionEnd } from '../fbs/stemedb/subscription-end.ts'
import { Unsubscribe } from '../fbs/stemedb/unsubscribe.ts'
import { assertionToJson } from '../record/assertion.json.ts'
import { HASH_BYTES, SIGNATURE_BYTES } from '../record/limits.ts'
import { decodeAssertion } from '../wire/assertion.codec.ts'
import type { StoredAssertion } from './http.ts'
import { SIGNED_BY } from '../wire/query-reply.codec.ts'

/** What the node sends for subscriptions (fbs/feed.fbs). */
export type FeedFrame =
  | { readonly kind: 'subscribed', readonly subscriptionId: bigint, readonly fromLsn: number }
  | { readonly kind: 'delivery', readonly subscriptionId: bigint, readonly items: readonly StoredAssertion[] }
  | { readonly kind: 'answers', readonly subscriptionId: bigint, readonly change: AnswerChange }
  | { readonly kind: 'heartbeat', readonly reached: readonly { readonly subscriptionId: bigint, readonly lsn: number }[] }
  | { readonly kind: 'subscriptionEnd', readonly subscriptionId: bigint, readonly code: ErrorName | undefined, readonly detail: string, readonly lastLsn: number }

/** One answer of a watched lens. */
export interface WatchedAnswer {
  readonly subject: string
  readonly predicate: string
  readonly candidates: number
  readonly winner: StoredAssertion | null
  readonly why: string
  /** `unanimous`, `agreed`, `contested`, `escalate`, where the lens says. */
  readonly status?: string
}

/** All answers of a watched lens, after one of them has changed. */
export interface AnswerChange {
  /** LSN up to which the answers saw. */
  readonly seenLsn: number
  readonly answers: readonly WatchedAnswer[]
}

/** Roots that {@link parseFeedFrame} reads, by identifier. */
export const FEED_ROOTS = {
  SSBD: 'Subscribed', SDLV: 'Delivery', SANS: 'AnswerDelivery', SHBT: 'Heartbeat', SSUE: 'SubscriptionEnd',
} as const
export type FeedIdentifier = keyof typeof FEED_ROOTS

/** @param buffer verified. */
export function parseFeedFrame(identifier: FeedIdentifier, buffer: ByteBuffer): FeedFrame {
  switch (identifier) {
    case 'SSBD': {
      const frame = Subscribed.getRootAsSubscribed(buffer)
      return { kind: 'subscribed', subscriptionId: frame.subscriptionId(), fromLsn: Number(frame.fromLsn()) }
    }
    case 'SDLV': {
      const frame = Delivery.getRootAsDelivery(buffer)
      const items = Array.from({ length: frame.itemsLength() }, (_, i) => storedOf(must(frame.items(i))))
      return { kind: 'delivery', subscriptionId: frame.subscriptionId(), items }
    }
    case 'SANS': {
      const frame = AnswerDelivery.getRootAsAnswerDelivery(buffer)
      const reply = QueryReplyFrame.getRootAsQueryReply(new ByteBuffer(must(frame.replyArray())))
      return { kind: 'answers', subscriptionId: frame.subscriptionId(), change: { seenLsn: Number(frame.seenLsn()), answers: answersOf(reply) } }
    }
    case 'SHBT': {
      const frame = Heartbeat.getRootAsHeartbeat(buffer)
      const reached = Array.from({ length: frame.reachedLength() }, (_, i) => {
        const one = must(frame.reached(i))
        return { subscriptionId: one.subscriptionId(), lsn: Number(one.lsn()) }
      })
      return { kind: 'heartbeat', reached }
    }
    case 'SSUE': {
      const frame = SubscriptionEnd.getRootAsSubscriptionEnd(buffer)
      const code = frame.code()
      return {
        kind: 'subscriptionEnd', subscriptionId: frame.subscriptionId(), code: code === 0 ? undefined : errorNameOf(code),
        detail: frame.detail() ?? '', lastLsn: Number(frame.lastLsn()),
      }
    }
  }
}

function answersOf(reply: QueryReplyFrame): WatchedAnswer[] {
  return Array.from({ length: reply.answersLength() }, (_, i) => {
    const answer = must(reply.answers(i))
    const winner = answer.winner()
    const status = answer.status()
    return {
      subject: answer.subject(), predicate: answer.predicate(), candidates: answer.candidates(),
      winner: winner === null ? null : storedOf(winner), why: answer.why() ?? '', ...(status === null ? {} : { status }),
    }
  })
}

function structBytes(at: { bb: ByteBuffer | null, bb_pos: number } | null, length: number): Uint8Array | undefined {
  return at === null ? undefined : must(at.bb).bytes().slice(at.bb_pos, at.bb_pos + length)
}

/** As `GET /v1/assertions/{id}` shows it. @throws {DbError} where the claim breaks a rule. */
function storedOf(found: Found): StoredAssertion {
  const signature = structBytes(found.signature(), SIGNATURE_BYTES)
  return {
    id: toHex(must(structBytes(found.id(), HASH_BYTES))), lsn: Number(found.lsn()), hlc: String(found.hlc()),
    signed_by: SIGNED_BY[found.signedBy()] ?? 'nobody', ...(signature === undefined ? {} : { signature: toHex(signature) }),
    assertion: assertionToJson(decodeAssertion(must(found.assertionArray()))),
  }
}

export interface SubscribeParts {
  readonly subscriptionId: bigint
  readonly subject: string | undefined
  readonly subjectIsPrefix: boolean
  readonly predicate: string | undefined
  readonly tiers: number
  readonly agent: Uint8Array | undefined
  readonly lens: string | undefined
  readonly fromLsn: number
}

export function encodeSubscribe(parts: SubscribeParts): Uint8Array {
  const builder = new Builder(256)
  const textOf = (text: string | undefined): number => (text === undefined ? 0 : builder.createString(text))
  const subject = textOf(parts.subject)
  const predicate = textOf(parts.predicate)
  const lens = textOf(parts.lens)
  Subscribe.startSubscribe(builder)
  Subscribe.addSubscriptionId(builder, parts.subscriptionId)
  if (subject !== 0) Subscribe.addSubject(builder, subject)
  Subscribe.addSubjectIsPrefix(builder, parts.subjectIsPrefix)
  if (predicate !== 0) Subscribe.addPredicate(builder, predicate)
  Subscribe.addTiers(builder, parts.tiers)
  if (parts.agent !== undefined) Subscribe.addAgent(builder, Hash.createHash(builder, [...parts.agent]))
  if (lens !== 0) Subscribe.addLens(builder, lens)
  Subscribe.addFromLsn(builder, BigInt(parts.fromLsn))
  builder.finish(Subscribe.endSubscribe(builder), 'SSUB')
  return builder.asUint8Array()
}

export function encodeUnsubscribe(subscriptionId: bigint): Uint8Array {
  const builder = new Builder(64)
  builder.finish(Unsubscribe.createUnsubscribe(builder, subscriptionId), 'SUNS')
  return builder.asUint8Array()
}
