import type { Lsn, WalPosition } from '../base/lsn.ts'
import { decodeLogPoint, logPointAtLsn } from '../store/keyspace.codec.ts'
import type { Store } from '../store/store.ts'
import type { LogPlace } from './subscription.ts'

/**
 * The nearest record at or before an LSN that the index of the log knows, at most a point's distance
 * (`LOG_POINT_BYTES`) before it; undefined where this node's log begins behind that LSN.
 * @param logStart where the first record of the log begins.
 * @throws {DbError} `store_corrupt`, `io_error`
 */
export function logPlaceOf(store: Store, logStart: WalPosition, lsn: Lsn): LogPlace | undefined {
  const range = store.range('log', logPointAtLsn(lsn))
  try {
    const [key, value] = range.next(1)
    if (key !== undefined && value !== undefined) {
      const { position, lsnFirst } = decodeLogPoint(key, value)
      return { position, lsnFirst }
    }
  } finally {
    range.close()
  }
  return isLogIndexEmpty(store) ? { position: logStart, lsnFirst: 1 } : undefined
}

function isLogIndexEmpty(store: Store): boolean {
  const range = store.range('log')
  try {
    return range.next(1).length === 0
  } finally {
    range.close()
  }
}
