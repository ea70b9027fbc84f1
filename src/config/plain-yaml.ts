// A reader for the plain part of YAML that generated tables consist of: block maps, lists, `[...]` and `{...}` on one line,
// plain and simply quoted scalars, comments, and JSON. Whatever else it meets, it declines, and the library reads the file.
//
// Why a second reader: the library builds a tree with tokens and ranges, about 130 bytes of memory for each byte of file
// and 0.5 us of time. For 100,000 sandboxes (6 MB) that is 800 MB and 3 s in a sidecar that otherwise needs 60 MB; this
// reader needs a tenth of either. Whatever it accepts it must read exactly as the library does: plain-yaml.test.ts.

import type { Path, Place } from "../routing/finding.ts";

/** Offsets that are looked for, as a tree of steps; filled in while reading. */
interface Sought {
  readonly inside: Map<string | number, Sought>;
  name: number;
  value: number;
}

/** Values of the file, or undefined when the reader declines. */
export function readPlainYaml(text: string): { readonly value: unknown } | undefined {
  try {
    return { value: new PlainReader(text).read(undefined) };
  } catch (error) {
    if (error instanceof Declined) return undefined;
    throw error;
  }
}

/** Offsets of places in a file that `readPlainYaml` has read: a second pass, one for all of them. */
export function locateInPlainYaml(text: string, places: readonly Place[]): readonly number[] {
  const root: Sought = { inside: new Map(), name: -1, value: -1 };
  for (const { path } of places) {
    let node = root;
    for (const step of path) {
      const next = node.inside.get(step) ?? { inside: new Map<string | number, Sought>(), name: -1, value: -1 };
      node.inside.set(step, next);
      node = next;
    }
  }
  new PlainReader(text).read(root);
  return places.map((place) => offsetOf(root, place.path, place.part));
}

/** As the library's side does it: the last part of the path that exists, by its value unless the name is asked for. */
function offsetOf(root: Sought, path: Path, part: Place["part"]): number {
  let found = root;
  for (const step of path) {
    const next = found.inside.get(step);
    if (next === undefined || (next.name === -1 && next.value === -1)) break;
    found = next;
  }
  if (found.name !== -1 && (part === "name" || found.value === -1)) return found.name;
  return Math.max(found.value, 0);
}

class Declined extends Error {}

function decline(): never {
  throw new Declined();
}

const DEPTH_MAX = 32;
const KEY_LENGTH_MAX = 1000; // YAML 1.2.2 §7.4.2: an implicit key has at most 1024 characters

/** Blank lines and lines with nothing but a comment. */
const BLANK = /(?: *(?:#[^\n]*)?\n)*/uy;
/** Behind a value: spaces, perhaps a comment, and the end of the line or of the file. */
const LINE_END = /(?: +#[^\n]*| *)(?:\n|$)/uy;
const SPACES = / */uy;
/** White space inside JSON, which may span lines. */
const FLOW_SPACE = /[ \n]*/uy;
const KEY = /(?:([A-Za-z0-9_][A-Za-z0-9_./-]*)|"([ !#-[\]-~]*)"|'([ -&(-~]*)')/uy;
const QUOTED = /"([ !#-[\]-~]*)"|'([ -&(-~]*)'/uy;
/** Plain scalars: ASCII, without any character that means something to YAML somewhere. `:` and `#` are looked at below. */
const PLAIN = /[A-Za-z0-9_/][ $()+\-./0-9:;<=?A-Z\\^_a-z~]*/uy;
const WORD = /^(?:null|true|false|y|n|yes|no|on|off)$/iu;
const INTEGER = /^(?:0|[1-9][0-9]{0,14})$/u;

class PlainReader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  read(sought: Sought | undefined): unknown {
    const indent = this.#nextLine();
    if (indent !== 0) decline();
    if (sought !== undefined) sought.value = this.#at;
    const open = this.#text[this.#at];
    const value = open === "{" || open === "[" ? this.#flow(1, true, sought) : this.#block(0, 1, sought);
    if (open === "{" || open === "[") this.#endLine();
    if (this.#nextLine() !== -1) decline();
    return value;
  }

  /** Moves to the first character of the next line with content and returns its column, or -1 at the end. */
  #nextLine(): number {
    this.#take(BLANK);
    const start = this.#at;
    this.#take(SPACES);
    if (this.#at < this.#text.length && this.#text[this.#at] !== "#") return this.#at - start;
    if (this.#text[this.#at] === "#" && this.#text.includes("\n", this.#at)) decline(); // BLANK would have taken it
    this.#at = this.#text.length;
    return -1;
  }

  #block(indent: number, depth: number, sought: Sought | undefined): unknown {
    if (depth > DEPTH_MAX) decline();
    return this.#isDash() ? this.#list(indent, depth, sought) : this.#map(indent, depth, sought);
  }

  #isDash(): boolean {
    const next = this.#text[this.#at + 1];
    return this.#text[this.#at] === "-" && (next === " " || next === "\n" || next === undefined);
  }

  #map(indent: number, depth: number, sought: Sought | undefined): unknown {
    const map: Record<string, unknown> = {};
    let column = indent;
    do {
      if (column > indent || this.#isDash()) decline();
      const start = this.#at;
      const key = this.#key(map, false);
      const inside = sought?.inside.get(key);
      if (inside !== undefined) inside.name = start;
      this.#take(SPACES);
      if (this.#isLineEnd()) [map[key], column] = this.#below(indent, depth, inside);
      else {
        map[key] = this.#inline(depth, inside);
        column = this.#nextLine();
      }
    } while (column >= indent);
    this.#at -= Math.max(column, 0);
    return map;
  }

  /** The value of a key on the lines below it, and the column of the line behind. */
  #below(indent: number, depth: number, sought: Sought | undefined): [value: unknown, column: number] {
    this.#endLine();
    const column = this.#nextLine();
    const isList = column === indent && this.#isDash();
    if (column <= indent && !isList) return [null, column];
    if (sought !== undefined) sought.value = this.#at;
    const value = this.#block(column, depth + 1, sought);
    return [value, this.#nextLine()];
  }

  #list(indent: number, depth: number, sought: Sought | undefined): unknown {
    const list: unknown[] = [];
    let column = indent;
    do {
      if (column > indent || !this.#isDash()) {
        if (column === indent) break; // the next key of the map around a list that is not indented
        decline();
      }
      this.#at++;
      this.#take(SPACES);
      if (this.#isLineEnd()) decline();
      list.push(this.#inline(depth, sought?.inside.get(list.length)));
      column = this.#nextLine();
    } while (column >= indent);
    this.#at -= Math.max(column, 0);
    return list;
  }

  /** A value on the line of its key or dash, and the end of that line. */
  #inline(depth: number, sought: Sought | undefined): unknown {
    if (sought !== undefined) sought.value = this.#at;
    const open = this.#text[this.#at];
    const value = open === "{" || open === "[" ? this.#flow(depth + 1, false, sought) : this.#scalar(false);
    this.#endLine();
    return value;
  }

  /** `[...]` or `{...}`; over several lines only where no block is around it. */
  #flow(depth: number, lines: boolean, sought: Sought | undefined): unknown {
    if (depth > DEPTH_MAX) decline();
    const isMap = this.#text[this.#at++] === "{";
    const close = isMap ? "}" : "]";
    const map: Record<string, unknown> = {};
    const list: unknown[] = [];
    this.#flowSpace(lines);
    if (this.#text[this.#at] === close) this.#at++;
    else {
      for (;;) {
        let inside = isMap ? undefined : sought?.inside.get(list.length);
        let key = "";
        if (isMap) {
          const start = this.#at;
          key = this.#key(map, true);
          inside = sought?.inside.get(key);
          if (inside !== undefined) inside.name = start;
          this.#flowSpace(lines);
        }
        if (inside !== undefined) inside.value = this.#at;
        const open = this.#text[this.#at];
        const value = open === "{" || open === "[" ? this.#flow(depth + 1, lines, inside) : this.#scalar(true);
        if (isMap) map[key] = value;
        else list.push(value);
        this.#flowSpace(lines);
        const next = this.#text[this.#at++];
        if (next === close) break;
        if (next !== ",") decline();
        this.#flowSpace(lines);
      }
    }
    return isMap ? map : list;
  }

  #flowSpace(lines: boolean): void {
    this.#take(lines ? FLOW_SPACE : SPACES);
  }

  /** A key and its colon. Keys given twice are for the library to report. */
  #key(map: Readonly<Record<string, unknown>>, flow: boolean): string {
    const match = this.#take(KEY) ?? decline();
    const key = match[1] ?? match[2] ?? match[3] ?? decline();
    if (this.#text[this.#at++] !== ":") decline();
    const next = this.#text[this.#at];
    const separated = next === " " || next === "\n" || next === undefined || (flow && match[1] === undefined);
    if (!separated || key === "__proto__" || key.length > KEY_LENGTH_MAX || Object.hasOwn(map, key)) decline();
    return key;
  }

  #scalar(flow: boolean): string | number | boolean | null {
    const quoted = this.#take(QUOTED);
    if (quoted !== undefined) return quoted[1] ?? quoted[2] ?? "";
    const match = this.#take(PLAIN) ?? decline();
    const text = match[0].trimEnd();
    this.#at -= match[0].length - text.length;
    // `a: b` would be a map, `a:` its key; in a flow, `a:,` too, which PLAIN shows as a final colon.
    if (text.includes(": ") || text.endsWith(":")) decline();
    if (flow && text.includes("?")) decline();
    if (INTEGER.test(text)) return Number(text);
    if (WORD.test(text)) return text === "null" ? null : text === "true" || (text === "false" ? false : decline());
    // What begins with a digit is text for sure if it holds a colon, as endpoints do; other things may be numbers.
    if (/^[0-9]/u.test(text) && !text.includes(":")) decline();
    return text;
  }

  #isLineEnd(): boolean {
    const next = this.#text[this.#at];
    return next === undefined || next === "\n" || (next === "#" && this.#text[this.#at - 1] === " ");
  }

  #endLine(): void {
    if (this.#text[this.#at] === "#" && this.#text[this.#at - 1] === " ") this.#at--;
    if (this.#take(LINE_END) === undefined) decline();
  }

  #take(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match === null) return undefined;
    this.#at = pattern.lastIndex;
    return match;
  }
}
