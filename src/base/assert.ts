/** A programmer's mistake. Never thrown for what the world can do; see FsError for that. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError';
}

/** Checked in production too: a process that has lost an invariant must stop before it writes. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** For the default branch of a switch over a closed union. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${String(value)}`);
}

/** `value`, which the caller knows to be there. */
export function defined<T>(value: T | undefined | null, what: string): T {
  if (value === undefined || value === null) throw new AssertionError(`${what} is missing`);
  return value;
}
