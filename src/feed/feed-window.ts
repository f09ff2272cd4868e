import type { Config } from '../config/options.ts'

/** Bytes of deliveries that may be under way to one connection. Deliveries alone must not fill what may wait on it, or they would end it. */
export const windowBytesOf = ({ subscriptionBufferBytesMax, sendBufferBytesMax }: Config): number =>
  Math.min(subscriptionBufferBytesMax, sendBufferBytesMax / 2)
