// Spelling of the names that people choose: services, sandboxes, groups, ports, routing keys.

import { isBaggageOctet } from "../protocol/context/octets.ts";
import type { Malformed } from "./endpoint-name.ts";

/** Longest name of a service, sandbox, group or port in characters. */
export const NAME_LENGTH_MAX = 128;
/** Longest routing key in bytes of UTF-8, before percent-encoding. */
export const KEY_BYTES_MAX = 256;

/**
 * Sandboxes and groups must not be called like this: `baseline`, `passthrough` and `none` (refused) are destinations, `other`
 * is the metric label into which sandboxes overflow.
 */
export const RESERVED_NAMES: readonly string[] = ["baseline", "passthrough", "none", "other"];

/**
 * Names appear in headers, metric labels, URLs and file names, so: letters, digits, `-`, `_`, `.`, beginning and ending with
 * a letter or digit.
 */
export function checkName(name: string): Malformed | undefined {
  if (name === "") return { problem: "a name must not be empty", hint: "write a name" };
  if (name.length > NAME_LENGTH_MAX)
    return { problem: `a name has at most ${NAME_LENGTH_MAX} characters, this one ${name.length}`, hint: "shorten it" };
  const wrong = /[^A-Za-z0-9._-]/u.exec(name);
  const suggestion = name.replaceAll(/[^A-Za-z0-9._-]+/gu, "-").replaceAll(/^[^A-Za-z0-9]+|[^A-Za-z0-9]+$/gu, "");
  const hint = suggestion === "" ? "use letters, digits, '-', '_' and '.'" : `write ${suggestion}`;
  if (wrong !== null) return { problem: `${JSON.stringify(wrong[0])} cannot be part of a name`, hint };
  if (!/^[A-Za-z0-9]/u.test(name) || !/[A-Za-z0-9]$/u.test(name))
    return { problem: "a name begins and ends with a letter or digit", hint };
  return undefined;
}

/** As `checkName`, and not one of the reserved words. */
export function checkTargetName(name: string): Malformed | undefined {
  if (!RESERVED_NAMES.includes(name)) return checkName(name);
  return {
    problem: `the name ${name} is reserved: it is a destination of its own in headers and metrics`,
    hint: `write ${name}-1`,
  };
}

/**
 * Routing keys: 1 to 256 bytes of UTF-8, printable, no ';', no space at either end. Keys are compared byte by byte after
 * percent-decoding; nothing is folded or normalised.
 */
export function checkKey(key: string): Malformed | undefined {
  if (key === "") return { problem: "a routing key must not be empty", hint: "leave `key` out to use the name" };
  if (!key.isWellFormed())
    return { problem: "the routing key is not valid Unicode", hint: "remove the lone surrogate" };
  const wrong = /[\p{C}\p{Zl}\p{Zp}]/u.exec(key);
  if (wrong !== null) {
    const code = (wrong[0].codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
    return { problem: `a routing key is printable, but this one holds U+${code}`, hint: "remove the character" };
  }
  if (key.includes(";"))
    return {
      problem: "a routing key holds no ';': in baggage it begins the properties, for some SDKs even percent-encoded",
      hint: `write ${JSON.stringify(key.replaceAll(";", "-"))}`,
    };
  if (key.trim() !== key)
    return { problem: "a routing key has no space at either end", hint: `write ${JSON.stringify(key.trim())}` };
  const bytes = Buffer.byteLength(key);
  if (bytes > KEY_BYTES_MAX)
    return { problem: `a routing key has at most ${KEY_BYTES_MAX} bytes, this one ${bytes}`, hint: "shorten it" };
  return undefined;
}

/**
 * The key as it has to be sent in a baggage header. W3C Baggage §3.3.1: letters, digits and ``!#$&'()*+-./:<=>?@[]^_`{|}~``
 * stand for themselves; everything else, and `%` itself, is percent-encoded.
 */
export function encodeKey(key: string): string {
  let encoded = "";
  for (const byte of Buffer.from(key)) {
    encoded += isBaggageOctet(byte)
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return encoded;
}
