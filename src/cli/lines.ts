import { createReadStream } from 'node:fs'
import { DbError, errnoOf, isDbError } from '../base/errors.ts'
import { MiB } from '../base/units.ts'

/** Longest line of an input file. */
export const LINE_BYTES_MAX = 1 * MiB

/** The bytes of a file, or of standard input for `-`. @throws {DbError} `parameter_invalid` where it can not be read. */
export async function* bytesOf(path: string, stdin: () => AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  if (path === '-') {
    yield* stdin()
    return
  }
  try {
    yield* createReadStream(path) as AsyncIterable<Uint8Array>
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === undefined) throw error
    throw new DbError('parameter_invalid', `${path} can not be read: ${errno}`, { path })
  }
}

/** What a source yields up to its first error, which is kept for later: what was sent by then is acked, and told, first. */
export class UntilError<T> implements AsyncIterable<T> {
  readonly #source: AsyncIterable<T>
  error: DbError | undefined

  constructor(source: AsyncIterable<T>) {
    this.#source = source
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    try {
      yield* this.#source
    } catch (error) {
      if (!isDbError(error)) throw error
      this.error = error
    }
  }
}

/**
 * Lines of UTF-8 text, without their ends (`\n` or `\r\n`).
 * @throws {DbError} `field_too_long` for a line over {@link LINE_BYTES_MAX}, `text_not_utf8`; both with `line`.
 */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let rest: Uint8Array[] = []
  let restBytes = 0
  let count = 0
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  const decode = (line: Uint8Array): string => {
    try {
      const end = line.length > 0 && line[line.length - 1] === 13 ? line.length - 1 : line.length
      return decoder.decode(line.subarray(0, end))
    } catch {
      throw new DbError('text_not_utf8', `line ${count} is no UTF-8`, { line: count })
    }
  }
  for await (const chunk of chunks) {
    let from = 0
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      count++
      const piece = chunk.subarray(from, end)
      yield decode(restBytes === 0 ? piece : Buffer.concat([...rest, piece]))
      rest = []
      restBytes = 0
      from = end + 1
    }
    if (from === chunk.length) continue
    rest.push(chunk.subarray(from))
    restBytes += chunk.length - from
    if (restBytes > LINE_BYTES_MAX) throw new DbError('field_too_long', `line ${count + 1} has more than ${LINE_BYTES_MAX} bytes`, { line: count + 1 })
  }
  count++
  if (restBytes > 0) yield decode(Buffer.concat(rest))
}
