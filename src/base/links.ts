import type { Reason } from "./reasons.ts";

/** The `type` of a problem (RFC 9457 §3.1.1): a stable name; docs/errors.md has a section for each. */
export function errorsDocUrl(reason: Reason): string {
  return `urn:sidelane:error:${reason}`;
}
