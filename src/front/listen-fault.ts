import { createServer } from 'node:net'
import { DbError, errnoOf } from '../base/errors.ts'

const portOf = (port: number): string => `ss -ltnp 'sport = :${port}' shows who has it`

/** What to do about it, by what the system says. */
const FAULTS: Readonly<Record<string, (host: string, port: number) => string>> = {
  EADDRINUSE: (_host, port) => `the port is in use; end the other process, or set another apiPort (${portOf(port)})`,
  EADDRNOTAVAIL: () => 'no interface of this machine has that address; correct bindAddress (ip addr lists them, 0.0.0.0 is all of them)',
  EACCES: () => 'this user may not have the port; set an apiPort from 1024 on',
  ENOTFOUND: () => 'bindAddress is no address and no name that this machine knows',
}

/**
 * Why a port can not be had, which uWebSockets does not say: Node asks for the same port and is told. A setting is wrong, whatever it is: the
 * disk is well, and trying again does not help.
 */
export function listenFault(host: string, port: number): Promise<DbError> {
  return new Promise((resolve) => {
    const probe = createServer()
    const told = (errno: string): void => {
      const fault = FAULTS[errno]?.(host, port) ?? `the system says ${errno}`
      resolve(new DbError('config_invalid', `can not listen on ${host} port ${port}: ${fault}`, { setting: errno === 'EADDRINUSE' || errno === 'EACCES' ? 'apiPort' : 'bindAddress', port, errno }))
    }
    probe.once('error', (error) => told(errnoOf(error) ?? 'no reason'))
    // It is free by now, or what is in the way concerns uWebSockets only.
    probe.listen({ host, port, exclusive: true }, () => probe.close(() => told('EADDRINUSE')))
  })
}
