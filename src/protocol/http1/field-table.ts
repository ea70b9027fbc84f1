// Which of the fields a proxy cares about is this one? Answered for every field line of every message, so without
// strings: a table of 256 slots indexed by length, first and last character, each slot a short list of names to compare.
// A Map keyed by string would allocate a string per field line.
import { TOKEN_LOWER, latin1 } from "./bytes.ts";

/** What a field means to the relay; `plain` fields are passed on without a look. */
export const fieldIds = {
  plain: 0,
  host: 1,
  connection: 2,
  contentLength: 3,
  transferEncoding: 4,
  expect: 5,
  upgrade: 6,
  te: 7,
  /** Keep-Alive, Proxy-Connection, HTTP2-Settings: hop-by-hop whatever Connection says (RFC 9110 §7.6.1). */
  hopByHop: 8,
  via: 9,
  maxForwards: 10,
  debug: 11,
  /** Ids from here on are watched fields: `watched + index`. */
  watched: 16,
} as const;

type KnownField = readonly [string, number];

const known: readonly KnownField[] = [
  ["host", fieldIds.host],
  ["connection", fieldIds.connection],
  ["content-length", fieldIds.contentLength],
  ["transfer-encoding", fieldIds.transferEncoding],
  ["expect", fieldIds.expect],
  ["upgrade", fieldIds.upgrade],
  ["te", fieldIds.te],
  ["keep-alive", fieldIds.hopByHop],
  ["proxy-connection", fieldIds.hopByHop],
  ["http2-settings", fieldIds.hopByHop],
  ["via", fieldIds.via],
  ["max-forwards", fieldIds.maxForwards],
  ["x-sidelane-debug", fieldIds.debug],
];

interface Entry {
  readonly name: Uint8Array;
  readonly id: number;
}

/** Field names of interest: the fixed ones above and the watched ones (the carriers of routing keys). */
export class FieldTable {
  readonly #slots: readonly (readonly Entry[] | undefined)[];

  /**
   * @param watched field names in any case; the n-th is reported as `fieldIds.watched + n`.
   * @param fixed the fields that mean something to the relay; trailers have none of them.
   */
  constructor(watched: readonly string[] = [], fixed: readonly KnownField[] = known) {
    const slots: (Entry[] | undefined)[] = Array.from({ length: 256 }, () => undefined);
    const add = (text: string, id: number): void => {
      const name = latin1(text.toLowerCase());
      const slot = slotOf(name.length, name[0] as number, name[name.length - 1] as number);
      (slots[slot] ??= []).push({ name, id });
    };
    for (const [name, id] of fixed) add(name, id);
    watched.forEach((name, index) => add(name, fieldIds.watched + index));
    this.#slots = slots;
  }

  /** The id of the field name in `bytes[start, end)`; the bytes are known to be token characters. */
  find(bytes: Uint8Array, start: number, end: number): number {
    const first = TOKEN_LOWER[bytes[start] as number] as number;
    const last = TOKEN_LOWER[bytes[end - 1] as number] as number;
    const entries = this.#slots[slotOf(end - start, first, last)];
    if (entries === undefined) return 0;
    for (let e = 0; e < entries.length; e++) {
      const entry = entries[e] as Entry;
      const name = entry.name;
      if (name.length !== end - start) continue;
      let i = 0;
      while (i < name.length && TOKEN_LOWER[bytes[start + i] as number] === name[i]) i++;
      if (i === name.length) return entry.id;
    }
    return 0;
  }
}

function slotOf(length: number, first: number, last: number): number {
  return (length * 7 + first * 3 + last * 31) & 255;
}
