import * as native from 'uWebSockets.js'
import type { TemplatedApp, us_listen_socket } from 'uWebSockets.js'

/** What the package has and its types do not say. */
interface Untyped {
  readonly LIBUS_LISTEN_EXCLUSIVE_PORT: number
  _cfg(setting: 'silent'): void
}
const untyped = native as unknown as Untyped

// Our responses do not name the library.
untyped._cfg('silent')

type Listen = (host: string, port: number, options: number, done: (socket: us_listen_socket | false) => void) => void

/** Listens on a port that no other process shares: without the option, two nodes would split the connections. */
export function listenExclusively(app: TemplatedApp, host: string, port: number, done: (socket: us_listen_socket | false) => void): void {
  (app.listen as unknown as Listen).call(app, host, port, untyped.LIBUS_LISTEN_EXCLUSIVE_PORT, done)
}
