// `grpc-timeout` (gRPC over HTTP/2, "Requests"): up to eight digits and a unit. A relay reads it to know when to give up
// and never makes it longer.
import { DIGIT_0 } from "../bytes.ts";

const DIGITS_MAX = 8;
/** What no longer fits into eight digits. */
const VALUE_END = 10 ** DIGITS_MAX;

interface Unit {
  readonly letter: string;
  readonly ms: number;
}

/** Finest first. */
const units: readonly Unit[] = [
  { letter: "n", ms: 1e-6 },
  { letter: "u", ms: 1e-3 },
  { letter: "m", ms: 1 },
  { letter: "S", ms: 1000 },
  { letter: "M", ms: 60_000 },
  { letter: "H", ms: 3_600_000 },
];

/** Milliseconds by the code of the unit's letter; 0 for what is no unit. */
const MS_OF_LETTER = new Float64Array(256);
for (const { letter, ms } of units) MS_OF_LETTER[letter.charCodeAt(0)] = ms;

/**
 * The timeout in bytes[start, end) in milliseconds, with fractions; -1 when it is malformed, which means that there is none.
 * Zero is accepted, although the grammar asks for a positive number: clients send it for a deadline that has passed.
 */
export function parseGrpcTimeout(bytes: Uint8Array, start: number, end: number): number {
  const digits = end - start - 1;
  if (digits < 1 || digits > DIGITS_MAX) return -1;
  const unitMs = MS_OF_LETTER[bytes[end - 1] as number] as number;
  if (unitMs === 0) return -1;
  let value = 0;
  for (let at = start; at < end - 1; at++) {
    const digit = (bytes[at] as number) - DIGIT_0;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  // Divided where the unit is a fraction: 3 * 1e-3 is not 0.003.
  return unitMs < 1 ? value / Math.round(1 / unitMs) : value * unitMs;
}

/** The field value for a timeout in milliseconds: never more than `ms`, and less by one part in ten million at most. */
export function writeGrpcTimeout(ms: number): string {
  if (!(ms > 0)) return "0n";
  if (Number.isInteger(ms) && ms < VALUE_END) return `${ms}m`;
  for (const { letter, ms: unitMs } of units) {
    const value = Math.floor(unitMs < 1 ? ms * Math.round(1 / unitMs) : ms / unitMs);
    if (value < VALUE_END) return `${value}${letter}`;
  }
  return `${VALUE_END - 1}H`;
}
