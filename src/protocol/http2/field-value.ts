// Values of the fields that requests and responses have in common.
import { DIGIT_0, SEMICOLON, SPACE, TOKEN_LOWER, equalsToken, latin1, parseDecimal } from "../bytes.ts";
import type { Field } from "../hpack/field.ts";

/** Whether the value equals `lower` when folded to lower case; `lower` holds token characters only. */
export function valueIs(field: Field, lower: Uint8Array): boolean {
  return equalsToken(field.bytes, field.valueStart, field.valueEnd, lower);
}

/** The value as one decimal number below 2^53, or NOT_A_NUMBER. */
export function decimalOf(field: Field): number {
  return parseDecimal(field.bytes, field.valueStart, field.valueEnd);
}

/** `TE: trailers`, the only one there is in HTTP/2 (RFC 9113 §8.2.2). */
export const TRAILERS: Uint8Array = latin1("trailers");

const GRPC = latin1("application/grpc");

/** Whether a Content-Type value is that of gRPC: alone, with a `+` suffix or with parameters. */
export function isGrpcType(field: Field): boolean {
  const bytes = field.bytes;
  const start = field.valueStart;
  const length = field.valueEnd - start;
  if (length < GRPC.length) return false;
  for (let i = 0; i < GRPC.length; i++) if (bytes[start + i] !== GRPC[i]) return false;
  if (length === GRPC.length) return true;
  const next = bytes[start + GRPC.length] as number;
  return next === PLUS || next === SEMICOLON || next === SPACE;
}

const PLUS = 0x2b;

/** Whether the value is `1`. */
export function isOne(field: Field): boolean {
  return field.valueEnd - field.valueStart === 1 && field.bytes[field.valueStart] === DIGIT_0 + 1;
}

/** Whether the value is a token (RFC 9110 §5.6.2). */
export function isToken(field: Field): boolean {
  if (field.valueStart === field.valueEnd) return false;
  for (let i = field.valueStart; i < field.valueEnd; i++) if (TOKEN_LOWER[field.bytes[i] as number] === 0) return false;
  return true;
}
