/** How things are said in one line of a terminal. */

/** Text of strangers for a terminal: no control characters, which could drive it. */
// eslint-disable-next-line no-control-regex
export const printable = (text: string): string => text.replaceAll(/\s+/g, ' ').replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, '\ufffd')

/** A claim's object in one line of at most `widthMax` characters. */
export function objectText(object: { readonly type: string, readonly value: unknown }, widthMax = 60): string {
  const text = object.type === 'reference' ? `→ ${String(object.value)}` : String(object.value)
  const line = printable(text)
  return line.length > widthMax ? `${line.slice(0, widthMax - 1)}…` : line
}

export const shortKey = (key: string): string => (key.startsWith('did:key:') ? `${key.slice(8, 16)}…` : `${key.slice(0, 8)}…`)
