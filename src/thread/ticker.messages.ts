/** What a ticker's thread is started with. */
export interface TickerData {
  readonly tickBuffer: SharedArrayBuffer
  readonly stopBuffer: SharedArrayBuffer
  /** On the scale of `systemClock.monoMs`. */
  readonly startMs: number
  readonly intervalMs: number
}
