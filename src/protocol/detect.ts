// What does a connection speak? Told by its first bytes.

/** What the first bytes of a connection tell. */
export type Detected = "http1" | "http2" | "tls" | "tcp";

/** Looks at the first bytes of a connection. */
export function detect(_bytes: Uint8Array, _start: number, _end: number): Detected | "undecided" {
  return "http1";
}
