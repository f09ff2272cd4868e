import type { ByteBuffer } from 'flatbuffers';
import { Builder } from 'flatbuffers'
import { must } from '../base/assert.ts'
import { toHex } from '../base/bytes.ts'
import { errorNameOf, type ErrorName } from '../base/error-codes.ts'
import { DbError } from '../base/errors.ts'
import { AnswerDelivery } from '../fbs/stemedb/answer-delivery.ts'
import { Delivery } from '../fbs/stemedb/delivery.ts'
import { Hash } from '../fbs/stemedb/hash.ts'
import { Heartbeat } from '../fbs/stemedb/heartbeat.ts'
import { Subscribe } from '../fbs/stemedb/subscribe.ts'
import { Subscribed } from '../fbs/stemedb/subscribed.ts'
import { SubscriptionEnd } from '../fbs/stemedb/subscription-end.ts'
import { Unsubscribe } from '../fbs/stemedb/unsubscribe.ts'
import { assertionToJson } from '../record/assertion.json.ts'
import { decodeReply, foundOf, type AnswerSide, type FoundAssertion, type ResolvedAnswer } from '../wire/query-reply.codec.ts'
import type { QueryAnswer, QuerySide, StoredAssertion } from './http.ts'

/** What the node sends for subscriptions (fbs/feed.fbs). */
export type FeedFrame =
  | { readonly kind: 'subscribed', readonly subscriptionId: bigint, readonly fromLsn: number }
  | { readonly kind: 'delivery', readonly subscriptionId: bigint, readonly items: readonly StoredAssertion[] }
  | { readonly kind: 'answers', readonly subscriptionId: bigint, readonly change: AnswerChange }
  | { readonly kind: 'heartbeat', readonly reached: readonly { readonly subscriptionId: bigint, readonly lsn: number }[] }
  | { readonly kind: 'subscriptionEnd', readonly subscriptionId: bigint, readonly code: ErrorName | undefined, readonly detail: string, readonly lastLsn: number }

/** One answer of a watched lens, as `GET /v1/query` gives it. */
export type WatchedAnswer = Omit<QueryAnswer, 'explanation'>

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

/** @param buffer verified. @throws {DbError} where a claim in it breaks a rule. */
export function parseFeedFrame(identifier: FeedIdentifier, buffer: ByteBuffer): FeedFrame {
  switch (identifier) {
    case 'SSBD': {
      const frame = Subscribed.getRootAsSubscribed(buffer)
      return { kind: 'subscribed', subscriptionId: frame.subscriptionId(), fromLsn: Number(frame.fromLsn()) }
    }
    case 'SDLV': {
      const frame = Delivery.getRootAsDelivery(buffer)
      const items = Array.from({ length: frame.itemsLength() }, (_, i) => storedOf(foundOf(must(frame.items(i)))))
      return { kind: 'delivery', subscriptionId: frame.subscriptionId(), items }
    }
    case 'SANS': {
      const frame = AnswerDelivery.getRootAsAnswerDelivery(buffer)
      const reply = decodeReply(must(frame.replyArray()))
      if (reply.refused !== undefined) throw new DbError('malformed_frame', 'the server delivered a refusal as an answer')
      return { kind: 'answers', subscriptionId: frame.subscriptionId(), change: { seenLsn: Number(frame.seenLsn()), answers: reply.result.answers.map(watchedOf) } }
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

function watchedOf({ subject, predicate, candidates, winner, why, conflict, certainty, status, sides, cut }: ResolvedAnswer): WatchedAnswer {
  return {
    subject, predicate, candidates, winner: winner === undefined ? null : storedOf(winner), why,
    ...(conflict === undefined ? {} : { conflict }), ...(certainty === undefined ? {} : { certainty }), ...(status === undefined ? {} : { status }),
    ...(sides.length === 0 ? {} : { sides: sides.map(sideOf) }), ...(cut.length === 0 ? {} : { cut }),
  }
}

function sideOf({ winner, conflict, ...side }: AnswerSide): QuerySide {
  return { ...side, winner: winner === undefined ? null : storedOf(winner), ...(conflict === undefined ? {} : { conflict }) }
}

/** As `GET /v1/assertions/{id}` shows it. */
function storedOf({ id, lsn, hlc, signature, signedBy, assertion }: FoundAssertion): StoredAssertion {
  return {
    id: toHex(id), lsn, hlc: String(hlc), signed_by: signedBy, ...(signature === undefined ? {} : { signature: toHex(signature) }),
    assertion: assertionToJson(assertion),
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
