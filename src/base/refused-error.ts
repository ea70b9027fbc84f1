/** What a command works on is not as it must be: `message` is for people; exit code 1, never a stack trace. */
export class RefusedError extends Error {
  override readonly name = "RefusedError";
}
