import type { Lsn } from '../base/lsn.ts'
import * as layout from './feed.layout.ts'

const utf8 = new TextEncoder()
const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)

export function encodeSubscribedMessage(subscription: number, fromLsn: Lsn): Uint8Array {
  const bytes = new Uint8Array(layout.SUBSCRIBED_BYTES)
  const view = viewOf(bytes)
  view.setUint32(0, layout.MESSAGE_SUBSCRIBED, true)
  view.setUint32(layout.MESSAGE_NUMBER_OFFSET, subscription, true)
  view.setFloat64(layout.SUBSCRIBED_FROM_LSN_OFFSET, fromLsn, true)
  return bytes
}

/** @param code number of an error code, 0 where the end was asked for. */
export function encodeEndMessage(subscription: number, code: number, detail: string, lastLsn: Lsn): Uint8Array {
  const text = utf8.encode(detail).subarray(0, layout.END_DETAIL_BYTES_MAX)
  const bytes = new Uint8Array(layout.END_DETAIL_OFFSET + text.length)
  const view = viewOf(bytes)
  view.setUint32(0, layout.MESSAGE_END, true)
  view.setUint32(layout.MESSAGE_NUMBER_OFFSET, subscription, true)
  view.setUint32(layout.END_CODE_OFFSET, code, true)
  view.setUint32(layout.END_DETAIL_LENGTH_OFFSET, text.length, true)
  view.setFloat64(layout.END_LAST_LSN_OFFSET, lastLsn, true)
  bytes.set(text, layout.END_DETAIL_OFFSET)
  return bytes
}

/** At most {@link layout.NUMBERS_MAX} entries. */
export function encodeHeartbeatMessage(entries: readonly { readonly subscription: number, readonly lsn: Lsn }[]): Uint8Array {
  const bytes = new Uint8Array(layout.HEARTBEAT_ENTRIES_OFFSET + entries.length * layout.HEARTBEAT_ENTRY_BYTES)
  const view = viewOf(bytes)
  view.setUint32(0, layout.MESSAGE_HEARTBEAT, true)
  view.setUint32(layout.MESSAGE_NUMBER_OFFSET, entries.length, true)
  entries.forEach(({ subscription, lsn }, i) => {
    const at = layout.HEARTBEAT_ENTRIES_OFFSET + i * layout.HEARTBEAT_ENTRY_BYTES
    view.setUint32(at, subscription, true)
    view.setFloat64(at + 8, lsn, true)
  })
  return bytes
}

/** Bytes of the head of a delivery for so many subscriptions; its frame follows. */
export const deliveryHeadBytes = (count: number): number => (layout.DELIVERY_NUMBERS_OFFSET + 4 * count + 7) & ~7

/** Writes the head at `at`; the frame of `frameBytes` belongs behind it. */
export function writeDeliveryHead(view: DataView, at: number, numbers: readonly number[], frameBytes: number): void {
  view.setUint32(at, layout.MESSAGE_DELIVERY, true)
  view.setUint32(at + layout.MESSAGE_NUMBER_OFFSET, numbers.length, true)
  view.setUint32(at + layout.DELIVERY_FRAME_OFFSET_OFFSET, deliveryHeadBytes(numbers.length), true)
  view.setUint32(at + layout.DELIVERY_FRAME_BYTES_OFFSET, frameBytes, true)
  numbers.forEach((number, i) => view.setUint32(at + layout.DELIVERY_NUMBERS_OFFSET + 4 * i, number, true))
}

/** Who hears what the feed thread says. */
export interface FeedListener {
  subscribed(subscription: number, fromLsn: Lsn): void
  /** A Delivery frame for each of these; its subscription id is for the listener to set. Bytes are valid during the call. */
  delivery(subscriptions: readonly number[], frame: Uint8Array): void
  reached(entries: readonly { readonly subscription: number, readonly lsn: Lsn }[]): void
  ended(subscription: number, code: number, detail: string, lastLsn: Lsn): void
}

/** Takes one message apart. */
export function readMessage(bytes: Uint8Array, listener: FeedListener): void {
  const view = viewOf(bytes)
  const number = view.getUint32(layout.MESSAGE_NUMBER_OFFSET, true)
  switch (view.getUint32(0, true)) {
    case layout.MESSAGE_SUBSCRIBED: return listener.subscribed(number, view.getFloat64(layout.SUBSCRIBED_FROM_LSN_OFFSET, true))
    case layout.MESSAGE_DELIVERY: {
      const start = view.getUint32(layout.DELIVERY_FRAME_OFFSET_OFFSET, true)
      const subscriptions = Array.from({ length: number }, (_, i) => view.getUint32(layout.DELIVERY_NUMBERS_OFFSET + 4 * i, true))
      return listener.delivery(subscriptions, bytes.subarray(start, start + view.getUint32(layout.DELIVERY_FRAME_BYTES_OFFSET, true)))
    }
    case layout.MESSAGE_HEARTBEAT: return listener.reached(Array.from({ length: number }, (_, i) => {
      const at = layout.HEARTBEAT_ENTRIES_OFFSET + i * layout.HEARTBEAT_ENTRY_BYTES
      return { subscription: view.getUint32(at, true), lsn: view.getFloat64(at + 8, true) }
    }))
    default: {
      const end = layout.END_DETAIL_OFFSET + view.getUint32(layout.END_DETAIL_LENGTH_OFFSET, true)
      const detail = new TextDecoder().decode(bytes.slice(layout.END_DETAIL_OFFSET, end))
      return listener.ended(number, view.getUint32(layout.END_CODE_OFFSET, true), detail, view.getFloat64(layout.END_LAST_LSN_OFFSET, true))
    }
  }
}
