import { DbError } from '../base/errors.ts'

/** Path of the WebSocket on a node. */
export const WEBSOCKET_PATH = '/v1/stream'

export interface NodeUrls {
  /** `ws://host:port/v1/stream` */
  readonly webSocket: string
  /** `http://host:port`, without a slash at its end. */
  readonly http: string
}

const HTTP_OF: Readonly<Record<string, string>> = { 'ws:': 'http:', 'wss:': 'https:', 'http:': 'http:', 'https:': 'https:' }
const WS_OF: Readonly<Record<string, string>> = { 'ws:': 'ws:', 'wss:': 'wss:', 'http:': 'ws:', 'https:': 'wss:' }

/**
 * Both addresses of a node from either: `ws://`, `wss://`, `http://`, `https://`, with the path `/` or that of the WebSocket.
 * @throws {DbError} `parameter_invalid`
 */
export function nodeUrlsOf(text: string): NodeUrls {
  let url: URL
  try {
    url = new URL(text)
  } catch {
    throw new DbError('parameter_invalid', `"${text}" is no URL; write ws://host:port`)
  }
  const http = HTTP_OF[url.protocol]
  const ws = WS_OF[url.protocol]
  if (http === undefined || ws === undefined || url.host === '') {
    throw new DbError('parameter_invalid', `"${text}": the scheme must be ws, wss, http or https`)
  }
  if (url.username !== '' || url.search !== '' || url.hash !== '' || (url.pathname !== '/' && url.pathname !== WEBSOCKET_PATH)) {
    throw new DbError('parameter_invalid', `"${text}": only scheme, host and port may be given`)
  }
  return { webSocket: `${ws}//${url.host}${WEBSOCKET_PATH}`, http: `${http}//${url.host}` }
}
