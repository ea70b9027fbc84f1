// Keys in host names: `{key}--*` finds pr-7 in pr-7--checkout.example.com, and that it is checkout.example.com to the services.
import { DOT } from "../bytes.ts";
import type { Found } from "./found.ts";

const HYPHEN = 0x2d;
const KEY = "{key}";
/** No name is longer (RFC 1035 §2.3.4), and whoever looks for keys behind keys in what is left stays bounded by it. */
const HOST_BYTES_MAX = 255;

/** Why something is no pattern, and what to write instead. */
export interface MalformedPattern {
  readonly problem: string;
  readonly hint: string;
}

/** What may stand in a host, by octet: 0 nothing, else the octet in small letters. Without '.' it is what a key is made of. */
const HOST: Uint8Array = Uint8Array.from({ length: 256 }, (_, octet) => {
  const character = String.fromCharCode(octet);
  return /[A-Za-z0-9._-]/u.test(character) && octet < 0x80 ? character.toLowerCase().charCodeAt(0) : 0;
});

/**
 * Reads a pattern: exactly one `{key}` and one `*`, at least one character between them, and around them nothing but letters,
 * digits, '-', '_' and '.'. Capitals count as small letters.
 */
export function parseHostPattern(text: string): HostPattern | MalformedPattern {
  const pattern = text.toLowerCase();
  const keyAt = pattern.indexOf(KEY);
  const restAt = pattern.indexOf("*");
  const example = 'write something like "{key}--*", or "{key}.preview.*"';
  if (keyAt === -1)
    return { problem: "a host pattern says where the key stands, but there is no {key}", hint: example };
  if (restAt === -1)
    return { problem: "a host pattern says where the service's host stands, but there is no *", hint: example };
  if (pattern.includes(KEY, keyAt + 1))
    return { problem: "a host holds one key, but {key} stands here twice", hint: example };
  if (pattern.includes("*", restAt + 1))
    return { problem: "a host holds one service, but * stands here twice", hint: example };
  const literals = pattern.replace(KEY, "").replace("*", "");
  const wrong = /[^a-z0-9._-]/u.exec(literals);
  if (wrong !== null) {
    const hint = wrong[0] === ":" ? "leave the port out: any port matches" : "use letters, digits, '-', '_' and '.'";
    return { problem: `${JSON.stringify(wrong[0])} cannot be part of a host`, hint };
  }
  const keyFirst = keyAt < restAt;
  const firstEnd = keyFirst ? keyAt + KEY.length : restAt + 1;
  const second = keyFirst ? restAt : keyAt;
  if (firstEnd === second) {
    const hint = keyFirst ? 'write "{key}--*"' : 'write "*--{key}"';
    return { problem: "between {key} and * nothing tells where one ends and the other begins", hint };
  }
  return new HostPattern(
    pattern.slice(0, keyFirst ? keyAt : restAt),
    pattern.slice(firstEnd, second),
    pattern.slice(second + (keyFirst ? 1 : KEY.length)),
    keyFirst,
  );
}

/** A pattern as `parseHostPattern` makes it. One listener's: `restStart` and `restEnd` belong to the last match. */
export class HostPattern {
  /** What the last match found for `*`, the host by which the services know themselves: in the bytes given. */
  restStart = 0;
  restEnd = 0;
  readonly #before: Uint8Array;
  readonly #between: Uint8Array;
  readonly #behind: Uint8Array;
  readonly #keyFirst: boolean;

  constructor(before: string, between: string, behind: string, keyFirst: boolean) {
    const octets = (literal: string): Uint8Array => Uint8Array.from(literal, (letter) => letter.charCodeAt(0));
    this.#before = octets(before);
    this.#between = octets(between);
    this.#behind = octets(behind);
    this.#keyFirst = keyFirst;
  }

  /**
   * Whether bytes[start, end), a host without port, is of this form. Sets `key` to the key in small letters: one or more
   * letters, digits, '-' and '_', as few as possible. Addresses are never of any form, and neither are names that a resolver
   * could take for one (https://url.spec.whatwg.org/#ends-in-a-number-checker). `key` and the range of `*` stay as they were when it is not.
   */
  match(bytes: Uint8Array, start: number, end: number, key: Found): boolean {
    const between = this.#between;
    const from = start + this.#before.length;
    const to = end - this.#behind.length;
    if (to - from < between.length + 2 || end - start > HOST_BYTES_MAX) return false;
    if (!isAt(bytes, start, this.#before) || !isAt(bytes, to, this.#behind)) return false;
    if (!isName(bytes, start, end)) return false;
    if (this.#keyFirst) {
      let keyEnd = from;
      do {
        if (bytes[keyEnd] === DOT) return false;
        keyEnd++;
        if (keyEnd + between.length >= to) return false;
      } while (!isAt(bytes, keyEnd, between));
      return this.#found(bytes, from, keyEnd, keyEnd + between.length, to, key);
    }
    let keyStart = to;
    do {
      keyStart--;
      if (bytes[keyStart] === DOT || keyStart - between.length <= from) return false;
    } while (!isAt(bytes, keyStart - between.length, between));
    return this.#found(bytes, keyStart, to, from, keyStart - between.length, key);
  }

  #found(bytes: Uint8Array, keyStart: number, keyEnd: number, restStart: number, restEnd: number, key: Found): boolean {
    // No host begins like this, so the separator was none.
    if (bytes[restStart] === DOT || bytes[restStart] === HYPHEN) return false;
    // A label in another script (RFC 5890 §2.3.2.1) begins with `xn--`.
    if (keyEnd - keyStart === 2 && isAt(bytes, keyStart, A_LABEL)) return false;
    this.restStart = restStart;
    this.restEnd = restEnd;
    let capitals = false;
    for (let at = keyStart; at < keyEnd; at++) if (HOST[bytes[at] ?? 0] !== bytes[at]) capitals = true;
    if (!capitals) {
      key.set(bytes, keyStart, keyEnd);
      return true;
    }
    const room = key.room(keyEnd - keyStart);
    for (let at = keyStart; at < keyEnd; at++) room[at - keyStart] = HOST[bytes[at] ?? 0] ?? 0;
    key.set(room, 0, keyEnd - keyStart);
    return true;
  }
}

const A_LABEL = Uint8Array.of(0x78, 0x6e);

/** Whether `literal`, in small letters, stands at `at`; the caller knows that there is room. */
function isAt(bytes: Uint8Array, at: number, literal: Uint8Array): boolean {
  for (let i = 0; i < literal.length; i++) if (HOST[bytes[at + i] ?? 0] !== literal[i]) return false;
  return true;
}

/** Whether bytes[start, end) are letters of a host and its last label is no number, of whatever base. */
function isName(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (HOST[bytes[at] ?? 0] === 0) return false;
  // One dot at the end is the root, not a label.
  const to = end > start && bytes[end - 1] === DOT ? end - 1 : end;
  let label = to;
  while (label > start && bytes[label - 1] !== DOT) label--;
  return label < to && !isNumber(bytes, label, to);
}

function isNumber(bytes: Uint8Array, start: number, end: number): boolean {
  const hexadecimal = bytes[start] === 0x30 && HOST[bytes[start + 1] ?? 0] === 0x78 && start + 1 < end;
  for (let at = hexadecimal ? start + 2 : start; at < end; at++) {
    const digit = HOST[bytes[at] ?? 0] ?? 0;
    if (!(digit >= 0x30 && digit <= 0x39) && !(hexadecimal && digit >= 0x61 && digit <= 0x66)) return false;
  }
  return true;
}
