/**
 * Text as bytes: UTF-8 checks for untrusted input, without TextDecoder and without allocation. All functions return 0
 * or an error code's number; none throws, as long as the range lies inside the view.
 */
import { ERROR_CODES } from '../base/error-codes.ts'

const NOT_UTF8 = ERROR_CODES.text_not_utf8.number
const INVALID = ERROR_CODES.field_invalid.number

const SLASH = 0x2f
const COLON = 0x3a

/**
 * Whether a word of four ASCII bytes holds one below 0x20 or 0x7f. Exact as long as no byte has its high bit
 * ("Bit Twiddling Hacks", Sean Eron Anderson: hasless, haszero).
 */
function wordHasControl(word: number): boolean {
  const del = word ^ 0x7f7f7f7f
  return (((word - 0x20202020) & ~word) | ((del - 0x01010101) & ~del)) & 0x80808080 ? true : false
}

/** Whether a word of four bytes, whatever they are, holds a slash (haszero, likewise). */
function wordHasSlash(word: number): boolean {
  const slash = word ^ 0x2f2f2f2f
  return ((slash - 0x01010101) & ~slash & 0x80808080) !== 0
}

const isControl = (byte: number): boolean => byte < 0x20 || byte === 0x7f

/**
 * Copies text and checks it on the way: well-formed UTF-8 (RFC 3629: no overlong form, no surrogate, nothing beyond
 * U+10FFFF) and, where `controls` are refused, no U+0000..U+001F and no U+007F.
 */
export function copyText(
  from: DataView, start: number, length: number, to: DataView, toStart: number, controlsRefused: boolean,
): number {
  const end = start + length
  const shift = toStart - start
  let at = start
  // Four ASCII bytes at a time: nearly all text.
  for (const wordsEnd = end - 3; at < wordsEnd; at += 4) {
    const word = from.getUint32(at, true)
    if ((word & 0x80808080) !== 0) break
    if (controlsRefused && wordHasControl(word)) return INVALID
    to.setUint32(at + shift, word, true)
  }
  while (at < end) {
    const lead = from.getUint8(at)
    if (lead < 0x80) {
      if (controlsRefused && isControl(lead)) return INVALID
      to.setUint8(at + shift, lead)
      at++
      continue
    }
    const bytes = sequenceLength(from, at, end, lead)
    if (bytes === 0) return NOT_UTF8
    for (const sequenceEnd = at + bytes; at < sequenceEnd; at++) to.setUint8(at + shift, from.getUint8(at))
  }
  return 0
}

/** Bytes of the well-formed multi-byte sequence at `at` (Unicode 15, table 3-7), or 0 where there is none. */
function sequenceLength(view: DataView, at: number, end: number, lead: number): number {
  if (lead < 0xc2) return 0
  if (lead < 0xe0) return at + 2 <= end && isTrail(view.getUint8(at + 1)) ? 2 : 0
  if (lead < 0xf0) {
    if (at + 3 > end) return 0
    const second = view.getUint8(at + 1)
    const low = lead === 0xe0 ? 0xa0 : 0x80
    const high = lead === 0xed ? 0x9f : 0xbf
    return second >= low && second <= high && isTrail(view.getUint8(at + 2)) ? 3 : 0
  }
  if (lead > 0xf4 || at + 4 > end) return 0
  const second = view.getUint8(at + 1)
  const low = lead === 0xf0 ? 0x90 : 0x80
  const high = lead === 0xf4 ? 0x8f : 0xbf
  return second >= low && second <= high && isTrail(view.getUint8(at + 2)) && isTrail(view.getUint8(at + 3)) ? 4 : 0
}

const isTrail = (byte: number): boolean => (byte & 0xc0) === 0x80

/**
 * Whether a subject is built right: segments between slashes, none empty; a scheme (`rfc://`) may stand before them.
 * The range has been checked as text.
 */
export function checkSubjectPath(view: DataView, start: number, length: number): number {
  const end = start + length
  let segmentStart = start
  for (let at = start; at < end; at++) {
    while (at + 4 <= end && !wordHasSlash(view.getUint32(at, true))) at += 4
    if (at === end) break
    if (view.getUint8(at) !== SLASH) continue
    if (at === segmentStart) return INVALID
    const isScheme = segmentStart === start && at + 1 < end && view.getUint8(at - 1) === COLON
      && view.getUint8(at + 1) === SLASH && isSchemeName(view, start, at - 1)
    if (isScheme) at++
    segmentStart = at + 1
  }
  return segmentStart === end ? INVALID : 0
}

/** RFC 3986, 3.1: a letter, then letters, digits, `+`, `-`, `.`. */
function isSchemeName(view: DataView, start: number, end: number): boolean {
  for (let at = start; at < end; at++) {
    const byte = view.getUint8(at)
    const letter = (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7a
    const other = (byte >= 0x30 && byte <= 0x39) || byte === 0x2b || byte === 0x2d || byte === 0x2e
    if (!letter && !(other && at > start)) return false
  }
  return end > start
}
