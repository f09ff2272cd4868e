/** A broken invariant: a bug in this program, never bad input. The supervisor ends the process on it. */
export class AssertionFailure extends Error {
  override name = 'AssertionFailure'
}

/**
 * States an invariant. `message` may be a thunk, so that a passing assert formats nothing.
 * @throws {AssertionFailure} where `condition` is false.
 */
export function assert(condition: boolean, message: string | (() => string)): asserts condition {
  if (!condition) throw new AssertionFailure(typeof message === 'string' ? message : message())
}

/**
 * The value, which the caller knows to be there.
 * @throws {AssertionFailure} where it is null or undefined.
 */
export function must<T>(value: T | null | undefined, what = 'value'): T {
  if (value === null || value === undefined) throw new AssertionFailure(`${what} is missing`)
  return value
}

/** The default of an exhaustive switch. @throws {AssertionFailure} always. */
export function unreachable(value: never): never {
  throw new AssertionFailure(`unreachable: ${String(value)}`)
}
