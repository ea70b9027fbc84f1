// Error codes (RFC 9113 §7), and errors as values: one small integer says code and scope, so that a verdict costs nothing.

/** The error codes of RST_STREAM and GOAWAY frames (RFC 9113 §7). */
export const errorCodes = {
  NO_ERROR: 0x00,
  PROTOCOL_ERROR: 0x01,
  INTERNAL_ERROR: 0x02,
  FLOW_CONTROL_ERROR: 0x03,
  SETTINGS_TIMEOUT: 0x04,
  STREAM_CLOSED: 0x05,
  FRAME_SIZE_ERROR: 0x06,
  REFUSED_STREAM: 0x07,
  CANCEL: 0x08,
  COMPRESSION_ERROR: 0x09,
  CONNECT_ERROR: 0x0a,
  ENHANCE_YOUR_CALM: 0x0b,
  INADEQUATE_SECURITY: 0x0c,
  HTTP_1_1_REQUIRED: 0x0d,
} as const;

const names: readonly string[] = Object.keys(errorCodes);

/** The name of an error code for logs and debug data; unknown codes as `0x...` (RFC 9113 §7: no special treatment). */
export function errorName(code: number): string {
  return names[code] ?? `0x${code.toString(16)}`;
}

/** The verdict "nothing is wrong". */
export const OK = 0;
/** The verdict "drop this frame without an answer" (RFC 9113 §5.1). Its effect on windows and HPACK still counts. */
export const IGNORE = -1;
/**
 * Set in an error that concerns one stream (RFC 9113 §5.4.2); an error without it ends the connection (§5.4.1).
 * `error & CODE_MASK` is the code. An error is never 0, as NO_ERROR is none.
 */
export const STREAM_ERROR = 0x100;
/** Takes the code out of an error. */
export const CODE_MASK = 0xff;
