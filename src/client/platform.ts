/**
 * What the client takes from its surroundings. It runs in browsers, so it can not use the node's clock and random
 * seams; this file is its own one, and everything here can be replaced through the options of `connect`.
 */
export interface ClientPlatform {
  /** Unix milliseconds: the default of `assertedAtMs`. */
  wallMs(): number
  /** Monotonic milliseconds from any origin. */
  monoMs(): number
  /** Calls `callback` once after `delayMs`; the result cancels it. */
  timer(delayMs: number, callback: () => void): () => void
  /** Uniform in 0 <= x < 1. Jitter only. */
  random(): number
}

export const defaultPlatform: ClientPlatform = {
  wallMs: () => Date.now(),
  monoMs: () => performance.now(),
  timer(delayMs, callback) {
    const timeout = setTimeout(callback, delayMs)
    return () => clearTimeout(timeout)
  },
  random: () => Math.random(),
}

/** The part of the WebSocket interface (WHATWG) that is used; browsers, Node 22 and the `ws` package all have it. */
export interface WebSocketLike {
  binaryType: string
  readonly readyState: number
  readonly protocol: string
  send(data: Uint8Array<ArrayBuffer>): void
  close(code?: number, reason?: string): void
  addEventListener(type: 'open' | 'error', listener: () => void): void
  addEventListener(type: 'message', listener: (event: { data: unknown }) => void): void
  addEventListener(type: 'close', listener: (event: { code: number, reason: string }) => void): void
}

export type WebSocketFactory = (url: string, subprotocol: string) => WebSocketLike

/** The platform's own WebSocket, or undefined (Node 20). */
export function defaultWebSocket(): WebSocketFactory | undefined {
  const constructor = (globalThis as { WebSocket?: new (url: string, protocols: string) => unknown }).WebSocket
  if (constructor === undefined) return undefined
  return (url, subprotocol) => new constructor(url, subprotocol) as WebSocketLike
}
