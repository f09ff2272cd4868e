import { connect, type ConnectOptions, type StateEvent, type StemeClient } from '../client/client.ts'
import type { Console } from './console.ts'
import { signerOfFileOrNew } from './keys.ts'
import { printable } from './words.ts'

export interface NodeOptions {
  readonly url: string
  readonly realm?: string
}

/** Of a command that asks and waits for the answer. */
export interface ReadOptions {
  readonly url: string
  /** Longest wait for an answer, as {@link timeoutOf} takes it. */
  readonly timeout: string
}

export interface WriteOptions extends NodeOptions {
  readonly keyFile: string
  /** False: unsigned, for nodes with signatures=optional. The key still names the agent. */
  readonly sign?: boolean
}

/** Options for `connect` that make it work on Node 20, which has no WebSocket of its own. */
export async function socketOptions(): Promise<Pick<ConnectOptions, 'WebSocket'>> {
  if ('WebSocket' in globalThis) return {}
  const { WebSocket } = await import('ws')
  return { WebSocket }
}

/** Says when a connection is lost, and when it is found again. */
export function stateTeller(console: Console): (event: StateEvent) => void {
  let isLost = false
  return (event) => {
    if (event.state === 'down') console.err(`${printable(event.reason.message)}; trying again in ${Math.round(event.retryInMs)} ms`)
    if (event.state === 'up' && isLost) console.err('connected again')
    isLost = event.state === 'down'
  }
}

/** A connected client that signs with the key file. Says when a connection is lost and found again. */
export async function connectToWrite(
  options: WriteOptions, console: Console, more: Pick<ConnectOptions, 'batch'> = {},
): Promise<{ client: StemeClient, agent: Uint8Array }> {
  const signer = await signerOfFileOrNew(options.keyFile, console)
  const client = await connect(options.url, {
    ...(await socketOptions()),
    ...(options.realm === undefined ? {} : { realm: options.realm }),
    ...(options.sign === false ? {} : { signer }),
    ...more,
    onState: stateTeller(console),
  })
  return { client, agent: signer.publicKey }
}

