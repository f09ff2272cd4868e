/**
 * Position of one accepted assertion in a node's log: 1, 2, 3, ... without a gap. 0 is "before the first". Numbers up
 * to 2^53 are exact, which a node writing a million a second reaches after 285 years.
 */
export type Lsn = number

/** Reads a u64 that is known to stay below 2^53. */
export function readLsn(view: DataView, offset: number): Lsn {
  return view.getUint32(offset, true) + view.getUint32(offset + 4, true) * 0x1_0000_0000
}

export function writeLsn(view: DataView, offset: number, lsn: Lsn): void {
  view.setUint32(offset, lsn >>> 0, true)
  view.setUint32(offset + 4, Math.floor(lsn / 0x1_0000_0000), true)
}

/** Where a record begins in the WAL. */
export interface WalPosition {
  readonly segmentId: number
  /** Bytes from the start of the segment's file. */
  readonly offset: number
}
