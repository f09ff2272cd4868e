import { assert } from '../base/assert.ts'

/**
 * What crosses the two rings of the feed thread (docs/formats/ring.md). Every frame begins with a u32 kind.
 * Subscriptions and sinks (connections) are named by u32 numbers that the front gives out and does not use again.
 */
export const COMMAND_SUBSCRIBE = 1
export const COMMAND_UNSUBSCRIBE = 2
/** The sink has taken so many bytes of deliveries. */
export const COMMAND_CONSUMED = 3
/** The sink is gone, and all of its subscriptions. */
export const COMMAND_CLOSE = 4

export const COMMAND_SUBJECT_OFFSET = 4 // u32: subscription (subscribe, unsubscribe) or sink (consumed, close)
export const CONSUMED_BYTES_OFFSET = 8 // f64
export const COMMAND_BYTES = 16

export const SUBSCRIBE_SINK_OFFSET = 8
export const SUBSCRIBE_FLAGS_OFFSET = 12
export const SUBSCRIBE_FROM_LSN_OFFSET = 16 // f64, 0: from now on
export const SUBSCRIBE_UNTIL_LSN_OFFSET = 24 // f64, 0: for ever
export const SUBSCRIBE_SUBJECT_LENGTH_OFFSET = 32
export const SUBSCRIBE_PREDICATE_LENGTH_OFFSET = 36
export const SUBSCRIBE_AGENT_OFFSET = 40
export const SUBSCRIBE_TEXTS_OFFSET = SUBSCRIBE_AGENT_OFFSET + 32

export const FLAG_SUBJECT = 1
export const FLAG_PREFIX = 2
export const FLAG_PREDICATE = 4
export const FLAG_AGENT = 8
/** Of the flags: the tiers' bits begin here. */
export const FLAG_TIERS_SHIFT = 8

export const MESSAGE_SUBSCRIBED = 1
export const MESSAGE_DELIVERY = 2
export const MESSAGE_HEARTBEAT = 3
export const MESSAGE_END = 4

export const MESSAGE_NUMBER_OFFSET = 4 // u32: subscription; or, of deliveries and heartbeats, how many there are
export const SUBSCRIBED_FROM_LSN_OFFSET = 8 // f64
export const SUBSCRIBED_BYTES = 16

export const DELIVERY_FRAME_OFFSET_OFFSET = 8
export const DELIVERY_FRAME_BYTES_OFFSET = 12
export const DELIVERY_NUMBERS_OFFSET = 16 // u32 each

export const HEARTBEAT_ENTRIES_OFFSET = 8
export const HEARTBEAT_ENTRY_BYTES = 16 // u32 subscription, u32 unused, f64 LSN

export const END_CODE_OFFSET = 8
export const END_DETAIL_LENGTH_OFFSET = 12
export const END_LAST_LSN_OFFSET = 16 // f64
export const END_DETAIL_OFFSET = 24

/** Subscriptions that one delivery or heartbeat names. */
export const NUMBERS_MAX = 2048
/** Longest detail of an end, in bytes. */
export const END_DETAIL_BYTES_MAX = 512
/** A frame is closed when its items have come to so many bytes; a single item may be longer. */
export const FRAME_BYTES_SOFT_MAX = 48 * 1024

assert(SUBSCRIBE_FROM_LSN_OFFSET % 8 === 0 && DELIVERY_NUMBERS_OFFSET % 8 === 0 && END_LAST_LSN_OFFSET % 8 === 0, 'f64 fields are aligned')
