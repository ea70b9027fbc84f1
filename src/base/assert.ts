/**
 * Broken invariants end the process with a clear message; expected outcomes are values, never assertions.
 * Cheap enough to stay on in production.
 */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** Marks a place that the types say cannot be reached. */
export function unreachable(value: never, message = "unexpected value"): never {
  throw new AssertionError(`${message}: ${String(value)}`);
}

/** A bug in Sidelane itself, never the fault of a peer or of a file. */
export class AssertionError extends Error {
  override readonly name = "AssertionError";
}
