/**
 * Broken invariants end the process with a clear message; expected outcomes are values, never assertions.
 * Cheap enough to stay on in production.
 */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** A bug in Sidelane itself, never the fault of a peer or of a file. */
export class AssertionError extends Error {
  override readonly name = "AssertionError";
}
