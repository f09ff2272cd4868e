/**
 * Sockets of both kinds, from their accept to their end. Where file descriptors run out, the listening socket would stay
 * readable for ever: the event loop spins, and the log can open no segment. Beyond its bound a new socket is closed at once.
 */
export class ConnectionGate {
  readonly connectionsMax: number
  #open = 0

  constructor(connectionsMax: number) {
    this.connectionsMax = connectionsMax
  }

  get open(): number {
    return this.#open
  }

  /** A socket was accepted. False: close it; it counts until {@link closed} all the same. */
  opened(): boolean {
    this.#open++
    return this.#open <= this.connectionsMax
  }

  closed(): void {
    this.#open--
  }
}
