/** A defect behind three bytes: 2^24 tries for chance, three times 2^8 for who sees each of them pass. */
export function deep(input: Uint8Array): boolean {
  if (input[0] !== 0x53) return false
  if (input[1] !== 0x54) return false
  if (input[2] !== 0x45) return false
  throw new Error('the bottom')
}
