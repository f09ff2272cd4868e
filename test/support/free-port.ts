import { createServer, type AddressInfo } from 'node:net'

/** A TCP port of this machine that nobody listens on, for who has to name one before it starts. Somebody else may take it meanwhile. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
