// Which of the fields a proxy cares about is this one? Answered for every field line of every message, so without
// strings: a table of 256 slots indexed by length, first and last character, each slot a short list of names to compare.
// A Map keyed by string would allocate a string per field line.
import { COLON, TOKEN_LOWER, latin1 } from "./bytes.ts";

/** Ids from here on are watched fields: `watchedId`. Each HTTP version numbers its own fields below. */
export const WATCHED = 32;
/** The id of a field that means nothing to the relay: it is passed on without a look. */
export const PLAIN = 0;

/** The id of the n-th watched field, which has the id `fixed` of its own as well (`PLAIN`: none). */
function watchedId(number: number, fixed: number = PLAIN): number {
  return WATCHED * (number + 1) + fixed;
}

/** Which of the watched fields has this id; negative: it is not watched. */
export function watchedNumber(id: number): number {
  return (id >>> 5) - 1;
}

/** What the field means to the relay, watched or not. */
export function fixedId(id: number): number {
  return id & (WATCHED - 1);
}

/** A field name in lower case, and its id in `[1, WATCHED)`. */
export type KnownField = readonly [name: string, id: number];

/** Like `TOKEN_LOWER`, with the colon that begins the name of a pseudo-header field (RFC 9113 §8.3). */
const NAME_LOWER = Uint8Array.from(TOKEN_LOWER, (lower, byte) => (byte === COLON ? COLON : lower));

interface Entry {
  readonly name: Uint8Array;
  readonly id: number;
}

/** Field names of interest: the fixed ones above and the watched ones (the carriers of routing keys). */
export class FieldTable {
  readonly #slots: readonly (readonly Entry[] | undefined)[];

  /**
   * @param watched field names in any case; the n-th is reported as `watchedId(n, fixed)`.
   * @param fixed the fields that mean something to the relay; trailers have none of them.
   */
  constructor(watched: readonly string[], fixed: readonly KnownField[]) {
    const slots: (Entry[] | undefined)[] = Array.from({ length: 256 }, () => undefined);
    const add = (text: string, id: number): void => {
      const name = latin1(text.toLowerCase());
      const slot = slotOf(name.length, name[0] as number, name[name.length - 1] as number);
      (slots[slot] ??= []).push({ name, id });
    };
    // Watched ones first. One that is known for another reason keeps that meaning beside.
    watched.forEach((text, number) => {
      const name = text.toLowerCase();
      const known = fixed.find(([other]) => other === name);
      add(name, watchedId(number, known === undefined ? PLAIN : known[1]));
    });
    for (const [name, id] of fixed) add(name, id);
    this.#slots = slots;
  }

  /** The id of the field name in `bytes[start, end)`; the bytes are known to be token characters, or begin with a colon. */
  find(bytes: Uint8Array, start: number, end: number): number {
    const first = NAME_LOWER[bytes[start] as number] as number;
    const last = NAME_LOWER[bytes[end - 1] as number] as number;
    const entries = this.#slots[slotOf(end - start, first, last)];
    if (entries === undefined) return PLAIN;
    for (let e = 0; e < entries.length; e++) {
      const entry = entries[e] as Entry;
      const name = entry.name;
      if (name.length !== end - start) continue;
      let i = 0;
      while (i < name.length && NAME_LOWER[bytes[start + i] as number] === name[i]) i++;
      if (i === name.length) return entry.id;
    }
    return PLAIN;
  }
}

function slotOf(length: number, first: number, last: number): number {
  return (length * 7 + first * 3 + last * 31) & 255;
}
