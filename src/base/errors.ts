import { ERROR_CODES, type ErrorName } from './error-codes.ts'

const IDENTITY = Symbol.for('stemedb.DbError')

/** Where and what, for logs and problem details; never secrets, never stack traces. */
export type ErrorDetails = Readonly<Record<string, string | number | boolean | null>>

/**
 * An error with a stable code from {@link ERROR_CODES}. Callers match on `code`, never on the message.
 * It survives a crossing between threads by {@link encodeError} and {@link decodeError}.
 */
export class DbError extends Error {
  override name = 'DbError'
  readonly [IDENTITY] = true
  readonly code: ErrorName
  readonly details: ErrorDetails

  constructor(code: ErrorName, message: string, details: ErrorDetails = {}, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.details = details
  }

  /** The code's number on the wire and on disk. */
  get number(): number {
    return ERROR_CODES[this.code].number
  }
}

/** Identity that holds across copies of this module (two bundles, two realms). */
export function isDbError(value: unknown): value is DbError {
  return typeof value === 'object' && value !== null && (value as Record<symbol, unknown>)[IDENTITY] === true
}

/** A failed system call's code (`ENOSPC`, `EIO`...), or undefined. */
export function errnoOf(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const code = (value as { code?: unknown }).code
  return typeof code === 'string' && /^E[A-Z0-9]+$/.test(code) ? code : undefined
}

/** What crosses a thread boundary in place of an Error. */
export interface EncodedError {
  readonly name: string
  readonly message: string
  readonly stack: string | undefined
  readonly code: string | undefined
  readonly details: ErrorDetails
  readonly cause: EncodedError | undefined
}

export function encodeError(error: unknown): EncodedError {
  if (!(error instanceof Error)) {
    return { name: 'Error', message: String(error), stack: undefined, code: undefined, details: {}, cause: undefined }
  }
  const code = (error as { code?: unknown }).code
  return {
    name: error.name,
    message: error.message,
    stack: error.stack,
    code: typeof code === 'string' ? code : undefined,
    details: isDbError(error) ? error.details : {},
    cause: error.cause === undefined ? undefined : encodeError(error.cause),
  }
}

export function decodeError(encoded: EncodedError): Error {
  const cause = encoded.cause === undefined ? undefined : { cause: decodeError(encoded.cause) }
  if (encoded.name === 'DbError' && encoded.code !== undefined && Object.hasOwn(ERROR_CODES, encoded.code)) {
    const error = new DbError(encoded.code as ErrorName, encoded.message, encoded.details, cause)
    if (encoded.stack !== undefined) error.stack = encoded.stack
    return error
  }
  const error = new Error(encoded.message, cause)
  error.name = encoded.name
  if (encoded.stack !== undefined) error.stack = encoded.stack
  return encoded.code === undefined ? error : Object.assign(error, { code: encoded.code })
}
