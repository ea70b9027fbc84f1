// One of the three parts of a token: base64url, and for two of them JSON within. What can be read in two ways is not read:
// every part has one spelling, every member of an object one value.

import { Buffer, isUtf8 } from "node:buffer";

/** The bytes of a part; undefined when it is not base64url as RFC 7515 §2 has it: no padding, white space or stray bits. */
export function decodeBytes(part: string): Buffer | undefined {
  const bytes = Buffer.from(part, "base64url");
  // Node takes more than there is to take, such as bits behind the last byte, which would give a token several spellings.
  return bytes.toString("base64url") === part ? bytes : undefined;
}

/** The JSON object in a part; undefined when there is none or a member stands in it twice (RFC 7515 §4, RFC 7519 §4). */
export function decodeObject(part: string): Readonly<Record<string, unknown>> | undefined {
  const bytes = decodeBytes(part);
  if (bytes === undefined || !isUtf8(bytes)) return undefined;
  const text = bytes.toString("utf8");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isObject(value) || countMembers(value) !== countColons(text)) return undefined;
  return value;
}

/** An object as JSON in a part. */
export function encodeObject(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Members that `JSON.parse` has left, at all depths: of those with one name the last. */
function countMembers(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  const inner = Object.values(value).reduce((sum: number, one) => sum + countMembers(one), 0);
  return Array.isArray(value) ? inner : inner + Object.keys(value).length;
}

/** Members that stand in the text, which is valid JSON: outside strings each has one colon. */
function countColons(text: string): number {
  return text.replaceAll(/"(?:[^"\\]|\\.)*"/gu, "").split(":").length - 1;
}
