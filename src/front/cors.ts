import type { Exchange, Headers } from './exchange.ts'

/** Paths that pages of other origins may ask: the API, not the probes and figures of whoever runs the node. */
const PATH_PREFIX = '/v1/'
/** Fields of requests beyond those that any page may send. */
const REQUEST_FIELDS = 'content-type, if-none-match, last-event-id, x-agent-id'
/** Fields of answers beyond those that any page may read. */
const ANSWER_FIELDS = 'etag, location, ratelimit, ratelimit-policy, retry-after, stemedb-hlc, stemedb-lsn, stemedb-query-id, x-request-id'
const PREFLIGHT_SECONDS = 600

/** Which pages of other origins a browser lets read the API (Fetch standard, "CORS protocol"). There are no cookies, so no credentials either. */
export class Cors {
  readonly #origins: ReadonlySet<string>

  /** @param origins the setting `corsOrigins` */
  constructor(origins: string) {
    this.#origins = new Set(origins === '' ? [] : origins.split(',').map((origin) => origin.trim()))
  }

  /** At the begin of a request: what its answer says to the browser, whatever the answer is. */
  open(exchange: Exchange, path: string, origin: () => string): void {
    if (this.#origins.size === 0 || !path.startsWith(PATH_PREFIX)) return
    const allowed = this.#origins.has('*') ? '*' : origin()
    // Also to others: what a cache keeps for one of them must not go to an origin that is allowed.
    if (allowed !== '*') exchange.addHeader('vary', 'origin')
    if (!this.#origins.has(allowed)) return
    exchange.addHeader('access-control-allow-origin', allowed)
    exchange.addHeader('access-control-expose-headers', ANSWER_FIELDS)
  }

  /** More fields of the answer to an OPTIONS; without an allowed origin they allow nothing. @param methods as in `Allow` */
  preflight(methods: string): Headers {
    if (this.#origins.size === 0) return []
    return [['access-control-allow-methods', methods], ['access-control-allow-headers', REQUEST_FIELDS], ['access-control-max-age', String(PREFLIGHT_SECONDS)]]
  }
}
