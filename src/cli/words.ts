/** How things are said in one line of a terminal. */

/**
 * What drives a terminal or deceives who reads it: control characters, marks that turn the direction of text, and what takes no room. A joiner between
 * two emoji makes one of them, and stays.
 */
// eslint-disable-next-line no-control-regex
const HIDDEN = /[\u0000-\u0008\u000e-\u001f\u007f-\u009f\u061c\u200b\u200c\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]|(?<!\p{Extended_Pictographic}(?:\ufe0f|\p{Emoji_Modifier})?)\u200d|\u200d(?!\p{Extended_Pictographic})/gu

/** Text of strangers for a terminal, in one line: what is {@link HIDDEN} can be seen. */
export const printable = (text: string): string => text.replaceAll(HIDDEN, '\ufffd').replaceAll(/\s+/g, ' ')

/** Text of at most `widthMax` characters; where it is longer, a mark says so. Whole characters, not halves of a surrogate pair. */
export function cutText(text: string, widthMax: number): string {
  if (text.length <= widthMax) return text
  const characters = Array.from(text)
  return characters.length > widthMax ? `${characters.slice(0, widthMax - 1).join('')}…` : text
}

/** A claim's object in one line of at most `widthMax` characters. */
export function objectText(object: { readonly type: string, readonly value: unknown }, widthMax = 60): string {
  const text = object.type === 'reference' ? `→ ${String(object.value)}` : String(object.value)
  return cutText(printable(text), widthMax)
}

const DID_PREFIX = 'did:key:'

/** Enough of an agent's name to tell it from the others of a screen. */
export const shortKey = (key: string): string => cutText(printable(key.startsWith(DID_PREFIX) ? key.slice(DID_PREFIX.length) : key), 9)

/** How ids are shown: `get` and `trace` take whole ones, and a person on a terminal wants lines that fit. */
export type ShowId = (id: string) => string
export const wholeId: ShowId = (id) => printable(id)
export const shortId: ShowId = (id) => cutText(printable(id), 13)
