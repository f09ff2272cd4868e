import { DbError } from '../base/errors.ts'
import { KiB, MiB } from '../base/units.ts'
import type { BackoffOptions } from './backoff.ts'
import { ANSWER_TIMEOUT_MS } from './http.ts'
import { defaultPlatform, defaultWebSocket, type ClientPlatform, type WebSocketFactory, type WebSocketLike } from './platform.ts'
import type { Signer } from './signer.ts'

export interface BatchOptions {
  /** Assertions in one batch, at most; the node's limit counts too. Default 256. */
  readonly assertionsMax?: number
  /** Bytes of one batch, at most. Default 256 KiB. */
  readonly bytesMax?: number
  /** Longest time that an assertion waits for others while earlier batches are under way. Default 5 ms. */
  readonly lingerMs?: number
}

export interface ReconnectOptions {
  /** Upper end of the first delay. Default 100 ms. */
  readonly baseMs?: number
  /** Upper end of every delay. Default 10 s. */
  readonly capMs?: number
  /** Attempts in a row after which the client gives up. Default: never. */
  readonly attemptsMax?: number
}

export type StateEvent =
  | { readonly state: 'up' }
  | { readonly state: 'down', readonly reason: DbError, readonly retryInMs: number }
  | { readonly state: 'failed', readonly reason: DbError }

export interface ConnectOptions {
  /** Who signs. Absent: unsigned, which a node takes with `signatures=optional` only; then every draft names its agent. */
  readonly signer?: Signer
  /** This client writes nothing: it needs no signer, whatever the node asks of those who write. */
  readonly readOnly?: boolean
  /** One signature a batch (default) or one an assertion. */
  readonly sign?: 'batch' | 'single'
  /**
   * Realm that the node must be of. Signatures are bound to it: name it where the node is not trusted to say which
   * realm you sign for.
   */
  readonly realm?: string
  readonly batch?: BatchOptions
  /** Assertions that may be pending. Default 65,536. */
  readonly pendingAssertionsMax?: number
  /** Bytes of pending assertions. Default 16 MiB. */
  readonly pendingBytesMax?: number
  /** Queries that may be under way; what the node allows counts too. Default 256. */
  readonly queriesUnderWayMax?: number
  /** Queries that may wait for their turn beside them. Default 16,384. */
  readonly queriesWaitingMax?: number
  /** Time in which a query or a read by id must be answered. Default 30 s. */
  readonly queryTimeoutMs?: number
  /** Times that a batch or query is sent again after a refusal that is retryable (`overloaded`, `disk_full` ...). Default 10. */
  readonly refusalRetriesMax?: number
  readonly reconnect?: ReconnectOptions
  /** Attempts for the first connection. Default 1: a wrong address is told at once. */
  readonly connectAttemptsMax?: number
  readonly connectTimeoutMs?: number
  readonly closeTimeoutMs?: number
  readonly receiptTimeoutMs?: number
  readonly onState?: (event: StateEvent) => void
  /** A WebSocket class (`ws` on Node 20). Default: the platform's own. */
  readonly WebSocket?: new (url: string, protocols?: string | string[]) => unknown
  readonly fetch?: typeof fetch
  /** Time and jitter, for tests. */
  readonly platform?: ClientPlatform
}

/** Options with their defaults. */
export interface ClientOptions {
  readonly signer: Signer | undefined
  readonly readOnly: boolean
  readonly sign: 'batch' | 'single'
  readonly realm: string | undefined
  readonly batch: Required<BatchOptions>
  readonly pendingAssertionsMax: number
  readonly pendingBytesMax: number
  readonly queriesUnderWayMax: number
  readonly queriesWaitingMax: number
  readonly queryTimeoutMs: number
  readonly refusalRetriesMax: number
  readonly reconnect: BackoffOptions & { readonly attemptsMax: number }
  readonly connectAttemptsMax: number
  readonly connectTimeoutMs: number
  readonly closeTimeoutMs: number
  readonly receiptTimeoutMs: number
  readonly onState: ((event: StateEvent) => void) | undefined
  readonly openSocket: WebSocketFactory
  readonly fetch: typeof fetch
  readonly platform: ClientPlatform
}

function positive(name: string, value: number | undefined, byDefault: number): number {
  if (value === undefined) return byDefault
  if (typeof value !== 'number' || !(value > 0)) {
    throw new DbError('parameter_invalid', `${name} must be a number above 0, not ${String(value)}`, { parameter: name })
  }
  return value
}

function socketFactoryOf(constructor: ConnectOptions['WebSocket']): WebSocketFactory {
  if (constructor !== undefined) return (url, subprotocol) => new constructor(url, subprotocol) as WebSocketLike
  const own = defaultWebSocket()
  if (own !== undefined) return own
  throw new DbError('parameter_invalid', 'this platform has no WebSocket (Node 20): pass one, as in connect(url, { WebSocket }) with the package ws')
}

/** @throws {DbError} `parameter_invalid` naming the option. */
export function completeOptions(options: ConnectOptions): ClientOptions {
  const { batch = {}, reconnect = {} } = options
  return {
    signer: options.signer,
    readOnly: options.readOnly ?? false,
    sign: options.sign ?? 'batch',
    realm: options.realm,
    batch: {
      assertionsMax: positive('batch.assertionsMax', batch.assertionsMax, 256),
      bytesMax: positive('batch.bytesMax', batch.bytesMax, 256 * KiB),
      lingerMs: positive('batch.lingerMs', batch.lingerMs, 5),
    },
    pendingAssertionsMax: positive('pendingAssertionsMax', options.pendingAssertionsMax, 65_536),
    pendingBytesMax: positive('pendingBytesMax', options.pendingBytesMax, 16 * MiB),
    queriesUnderWayMax: positive('queriesUnderWayMax', options.queriesUnderWayMax, 256),
    queriesWaitingMax: positive('queriesWaitingMax', options.queriesWaitingMax, 16_384),
    queryTimeoutMs: positive('queryTimeoutMs', options.queryTimeoutMs, ANSWER_TIMEOUT_MS),
    refusalRetriesMax: options.refusalRetriesMax ?? 10,
    reconnect: {
      baseMs: positive('reconnect.baseMs', reconnect.baseMs, 100),
      capMs: positive('reconnect.capMs', reconnect.capMs, 10_000),
      attemptsMax: positive('reconnect.attemptsMax', reconnect.attemptsMax, Infinity),
    },
    connectAttemptsMax: positive('connectAttemptsMax', options.connectAttemptsMax, 1),
    connectTimeoutMs: positive('connectTimeoutMs', options.connectTimeoutMs, 10_000),
    closeTimeoutMs: positive('closeTimeoutMs', options.closeTimeoutMs, 30_000),
    receiptTimeoutMs: positive('receiptTimeoutMs', options.receiptTimeoutMs, 30_000),
    onState: options.onState,
    openSocket: socketFactoryOf(options.WebSocket),
    fetch: options.fetch ?? globalThis.fetch.bind(globalThis),
    platform: options.platform ?? defaultPlatform,
  }
}
