import type { Lsn } from '../base/lsn.ts'
import { AGENT_BYTES } from '../record/limits.ts'
import { bytesOfLatin1, latin1Of, type FeedFilter } from './filter.ts'
import * as layout from './feed.layout.ts'

/** What the front tells the feed thread. */
export type FeedCommand =
  | { readonly kind: 'subscribe', readonly subscription: number, readonly sink: number, readonly filter: FeedFilter, readonly fromLsn: Lsn, readonly untilLsn: Lsn }
  | { readonly kind: 'unsubscribe', readonly subscription: number }
  | { readonly kind: 'consumed', readonly sink: number, readonly bytes: number }
  | { readonly kind: 'close', readonly sink: number }

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)

export function encodeCommand(command: FeedCommand): Uint8Array {
  if (command.kind === 'subscribe') return encodeSubscribe(command)
  const bytes = new Uint8Array(layout.COMMAND_BYTES)
  const view = viewOf(bytes)
  const kinds = { unsubscribe: layout.COMMAND_UNSUBSCRIBE, consumed: layout.COMMAND_CONSUMED, close: layout.COMMAND_CLOSE }
  view.setUint32(0, kinds[command.kind], true)
  view.setUint32(layout.COMMAND_SUBJECT_OFFSET, command.kind === 'unsubscribe' ? command.subscription : command.sink, true)
  if (command.kind === 'consumed') view.setFloat64(layout.CONSUMED_BYTES_OFFSET, command.bytes, true)
  return bytes
}

function encodeSubscribe({ subscription, sink, filter, fromLsn, untilLsn }: Extract<FeedCommand, { kind: 'subscribe' }>): Uint8Array {
  const subject = bytesOfLatin1(filter.subject ?? '')
  const predicate = bytesOfLatin1(filter.predicate ?? '')
  const bytes = new Uint8Array(layout.SUBSCRIBE_TEXTS_OFFSET + subject.length + predicate.length)
  const view = viewOf(bytes)
  view.setUint32(0, layout.COMMAND_SUBSCRIBE, true)
  view.setUint32(layout.COMMAND_SUBJECT_OFFSET, subscription, true)
  view.setUint32(layout.SUBSCRIBE_SINK_OFFSET, sink, true)
  const flags = (filter.subject === undefined ? 0 : layout.FLAG_SUBJECT) | (filter.subjectIsPrefix ? layout.FLAG_PREFIX : 0)
    | (filter.predicate === undefined ? 0 : layout.FLAG_PREDICATE) | (filter.agent === undefined ? 0 : layout.FLAG_AGENT)
  view.setUint32(layout.SUBSCRIBE_FLAGS_OFFSET, flags | (filter.tiers << layout.FLAG_TIERS_SHIFT), true)
  view.setFloat64(layout.SUBSCRIBE_FROM_LSN_OFFSET, fromLsn, true)
  view.setFloat64(layout.SUBSCRIBE_UNTIL_LSN_OFFSET, untilLsn, true)
  view.setUint32(layout.SUBSCRIBE_SUBJECT_LENGTH_OFFSET, subject.length, true)
  view.setUint32(layout.SUBSCRIBE_PREDICATE_LENGTH_OFFSET, predicate.length, true)
  if (filter.agent !== undefined) bytes.set(bytesOfLatin1(filter.agent), layout.SUBSCRIBE_AGENT_OFFSET)
  bytes.set(subject, layout.SUBSCRIBE_TEXTS_OFFSET)
  bytes.set(predicate, layout.SUBSCRIBE_TEXTS_OFFSET + subject.length)
  return bytes
}

/** Copies everything: the ring's bytes may go. */
export function decodeCommand(bytes: Uint8Array): FeedCommand {
  const view = viewOf(bytes)
  const subject = view.getUint32(layout.COMMAND_SUBJECT_OFFSET, true)
  switch (view.getUint32(0, true)) {
    case layout.COMMAND_SUBSCRIBE: return decodeSubscribe(bytes, view, subject)
    case layout.COMMAND_UNSUBSCRIBE: return { kind: 'unsubscribe', subscription: subject }
    case layout.COMMAND_CONSUMED: return { kind: 'consumed', sink: subject, bytes: view.getFloat64(layout.CONSUMED_BYTES_OFFSET, true) }
    default: return { kind: 'close', sink: subject }
  }
}

function decodeSubscribe(bytes: Uint8Array, view: DataView, subscription: number): FeedCommand {
  const flags = view.getUint32(layout.SUBSCRIBE_FLAGS_OFFSET, true)
  const subjectEnd = layout.SUBSCRIBE_TEXTS_OFFSET + view.getUint32(layout.SUBSCRIBE_SUBJECT_LENGTH_OFFSET, true)
  const predicateEnd = subjectEnd + view.getUint32(layout.SUBSCRIBE_PREDICATE_LENGTH_OFFSET, true)
  const textIf = (flag: number, start: number, end: number): string | undefined =>
    ((flags & flag) === 0 ? undefined : latin1Of(bytes.subarray(start, end)))
  return {
    kind: 'subscribe', subscription, sink: view.getUint32(layout.SUBSCRIBE_SINK_OFFSET, true),
    filter: {
      subject: textIf(layout.FLAG_SUBJECT, layout.SUBSCRIBE_TEXTS_OFFSET, subjectEnd), subjectIsPrefix: (flags & layout.FLAG_PREFIX) !== 0,
      predicate: textIf(layout.FLAG_PREDICATE, subjectEnd, predicateEnd), tiers: (flags >>> layout.FLAG_TIERS_SHIFT) & 0xff,
      agent: textIf(layout.FLAG_AGENT, layout.SUBSCRIBE_AGENT_OFFSET, layout.SUBSCRIBE_AGENT_OFFSET + AGENT_BYTES),
    },
    fromLsn: view.getFloat64(layout.SUBSCRIBE_FROM_LSN_OFFSET, true), untilLsn: view.getFloat64(layout.SUBSCRIBE_UNTIL_LSN_OFFSET, true),
  }
}
