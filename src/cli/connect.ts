import { connect, type ConnectOptions, type StemeClient } from '../client/client.ts'
import type { Console } from './console.ts'
import { signerOfFileOrNew } from './keys.ts'

export interface NodeOptions {
  readonly url: string
  readonly realm?: string
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

/** A connected client that signs with the key file. Says when a connection is lost and found again. */
export async function connectToWrite(
  options: WriteOptions, console: Console, more: Pick<ConnectOptions, 'batch'> = {},
): Promise<{ client: StemeClient, agent: Uint8Array }> {
  const signer = await signerOfFileOrNew(options.keyFile, console)
  let isFirst = true
  const client = await connect(options.url, {
    ...(await socketOptions()),
    ...(options.realm === undefined ? {} : { realm: options.realm }),
    ...(options.sign === false ? {} : { signer }),
    ...more,
    onState: (event) => {
      if (event.state === 'down') console.err(`${event.reason.message}; trying again in ${Math.round(event.retryInMs)} ms`)
      if (event.state === 'up' && !isFirst) console.err('connected again')
      isFirst = false
    },
  })
  return { client, agent: signer.publicKey }
}

