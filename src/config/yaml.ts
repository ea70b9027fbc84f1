// YAML as both files use it: one document, YAML 1.2, every name taken as it is written, no surprises. JSON is YAML.

import { isAlias, isMap, isPair, isScalar, isSeq, LineCounter, parseDocument } from "yaml";
import type { Document, Node, Pair, YAMLError, YAMLMap } from "yaml";
import type { Path, Place } from "../routing/finding.ts";
import { locateInPlainYaml, readPlainYaml } from "./plain-yaml.ts";
import type { Position, Problem } from "./problem.ts";
import { explainUnquotedPatterns } from "./unquoted-pattern.ts";

/** Levels of nesting; the files need seven. */
const DEPTH_MAX = 32;
/** Nodes that aliases may add by repeating what an anchor names ("billion laughs"). */
const ALIASED_NODES_MAX = 1_000_000;
const PROBLEMS_MAX = 100;

/** Characters from which on the library's need for memory matters: below, it is a few dozen megabytes for a moment. */
const PLAIN_FROM = 256 * 1024;

/** Knows where in a file the parts of its document stand. */
export interface SourceMap {
  /** Positions of places, in their order. All at once, because a large file is read once more for them. */
  locate(places: readonly Place[]): readonly Position[];
  /** The value's text as written, for values that YAML reads as something else: `007` is a number. */
  written(path: Path): string | undefined;
}

export type YamlResult =
  | { readonly ok: true; readonly value: unknown; readonly source: SourceMap }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/**
 * Parses a file into plain values. Names are always strings: a sandbox called `1e5` keeps its name. Large files are read by
 * the plain reader if it can; `plainFrom` is the size in characters, for tests.
 */
export function parseYaml(text: string, file: string, plainFrom = PLAIN_FROM): YamlResult {
  const plain = text.length >= plainFrom ? readPlainYaml(text) : undefined;
  return plain === undefined
    ? parseAny(text, file)
    : { ok: true, value: plain.value, source: new PlainSource(text, file) };
}

function parseAny(text: string, file: string): YamlResult {
  const lines = new LineCounter();
  const position = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { file, line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  let document: Document.Parsed;
  try {
    document = parseDocument(text, {
      lineCounter: lines,
      prettyErrors: false,
      stringKeys: true,
      uniqueKeys: false, // quadratic in the library; `Inspection` does it with a set
      strict: true,
      logLevel: "error", // "silent" would also let further documents pass
    });
  } catch (error) {
    if (!(error instanceof Error && OUT_OF_STACK.test(error.message))) throw error;
    return tooDeep(file);
  }
  const complaints = [...document.errors, ...document.warnings];
  // Out of stack, the library says whatever its innermost call said, once for every level it climbs back. Whether it runs out
  // depends on how much of it is compiled already; the answer must not.
  if (complaints.some(({ message }) => OUT_OF_STACK.test(message))) return tooDeep(file);
  if (complaints.length > 0 && opensWithoutEnd(text)) return tooDeep(file);
  if (complaints.length > 0) {
    return {
      ok: false,
      problems: explainUnquotedPatterns(
        text,
        complaints.slice(0, PROBLEMS_MAX).map((complaint) => fromLibrary(complaint, text, position(complaint.pos[0]))),
      ),
    };
  }
  const version = document.directives.yaml;
  if (version.explicit === true && version.version !== "1.2") {
    const message = `YAML ${version.version} is not supported`;
    return { ok: false, problems: [{ file, line: 1, column: 1, message, hint: "remove the %YAML line" }] };
  }
  const inspection = new Inspection(position);
  inspection.inspect(document.contents, 0);
  if (inspection.problems.length > 0) return { ok: false, problems: inspection.problems };
  return {
    ok: true,
    value: document.toJS({ maxAliasCount: -1 }), // `Inspection` has counted
    source: new DocumentSource(document, position),
  };
}

/** `RangeError: Maximum call stack size exceeded`, or of a regular expression `SyntaxError: …: Stack overflow`. */
const OUT_OF_STACK = /call stack|stack overflow/iu;

/** Far more levels of brackets than anything readable has, for a file that is wrong anyway. */
const OPEN_BRACKETS_MAX = 500;

function opensWithoutEnd(text: string): boolean {
  let open = 0;
  for (const [bracket] of text.matchAll(/[[\]{}]/gu)) {
    open += bracket === "[" || bracket === "{" ? 1 : -1;
    if (open > OPEN_BRACKETS_MAX) return true;
  }
  return false;
}

function tooDeep(file: string): YamlResult {
  const problem = { file, line: 1, column: 1, message: "nested too deep", hint: "flatten the file" };
  return { ok: false, problems: [problem] };
}

function fromLibrary({ code, message, pos }: YAMLError, text: string, position: Position): Problem {
  const [, flow, end = ""] = UNFINISHED_FLOW.exec(message) ?? [];
  if (flow !== undefined) {
    const what = flow === "sequence" ? "a list in [ ]" : "a map in { }";
    // The bracket is there, and the library has stopped before it, because it stands as far left as the field around it.
    if (text[pos[0]] === end) return { ...position, message: `${what} is not indented`, hint: `indent the ${end}` };
    return { ...position, message: `${what} has no end`, hint: `add the missing ${end}` };
  }
  const [, quote] = UNFINISHED_TEXT.exec(message) ?? [];
  if (quote !== undefined)
    return { ...position, message: "a text in quotes has no end", hint: `add the missing ${quote}` };
  const hint = hints[code];
  const what = (texts[code] ?? message).replace(/^\w/u, (first) => first.toLowerCase()).replaceAll("\n", " ");
  return { ...position, message: what, ...(hint === undefined ? {} : { hint }) };
}

/** `Flow sequence in block collection must be sufficiently indented and end with a ]`, or shorter at the root. */
const UNFINISHED_FLOW = /^Flow (sequence|map) .*end with a ([\]}])$/u;
/** `Missing closing "quote` */
const UNFINISHED_TEXT = /^Missing closing (["'])quote$/u;

/** Where the library's own text speaks to programmers. */
const texts: Readonly<Record<string, string | undefined>> = {
  MULTIPLE_DOCS: "a second document begins here",
};

const hints: Readonly<Record<string, string | undefined>> = {
  MULTIPLE_DOCS: "keep one document, remove the --- line",
  TAB_AS_INDENT: "indent with spaces",
  BAD_INDENT: "line the field up with its neighbours",
  BAD_ALIAS: "define the anchor before its alias",
  NON_STRING_KEY: "names are plain text",
};

/** Finds what the library lets through: names given twice, nesting without end, aliases that multiply. */
class Inspection {
  readonly problems: Problem[] = [];
  readonly #position: (offset: number) => Position;
  /** Number of nodes under each anchor, aliases included; undefined while it is still open. */
  readonly #anchors = new Map<string, number | undefined>();
  #aliased = 0;

  constructor(position: (offset: number) => Position) {
    this.#position = position;
  }

  /** Returns the number of nodes below and including `node`. */
  inspect(node: Node | null, depth: number): number {
    if (node === null) return 1;
    if (depth > DEPTH_MAX) {
      if (this.problems.length === 0)
        this.#report(node, `nested more than ${DEPTH_MAX} levels deep`, "flatten the file");
      return 1;
    }
    if (isAlias(node)) return this.#alias(node.source, node);
    const anchor = (isMap(node) || isSeq(node) || isScalar(node)) && node.anchor;
    if (anchor) this.#anchors.set(anchor, undefined);
    let size = 1;
    if (isMap(node)) size += this.#map(node, depth);
    else if (isSeq(node)) for (const item of node.items) size += this.inspect(item as Node | null, depth + 1);
    if (anchor) this.#anchors.set(anchor, size);
    return size;
  }

  #map(map: YAMLMap, depth: number): number {
    const seen = new Map<string, Node>();
    let size = 0;
    for (const pair of map.items) {
      const key = pair.key as Node;
      const name = isScalar(key) ? String(key.value) : "";
      const first = seen.get(name);
      if (first !== undefined) {
        const { line, column } = this.#position(start(first));
        this.#report(key, `${JSON.stringify(name)} is given twice, first in line ${line}:${column}`, "keep one");
      } else if (name === "__proto__") {
        // Plain objects cannot hold it as a field of their own.
        this.#report(key, "a field cannot be called __proto__", "write another name");
      }
      seen.set(name, key);
      size += 1 + this.inspect(pair.value as Node | null, depth + 1);
    }
    return size;
  }

  #alias(name: string, node: Node): number {
    const size = this.#anchors.get(name);
    if (size === undefined) {
      this.#report(node, `alias *${name} stands inside its own anchor`, "write the value out");
      return 1;
    }
    this.#aliased += size;
    if (this.#aliased > ALIASED_NODES_MAX && this.problems.length === 0) {
      this.#report(node, "aliases multiply the file too often", "write the values out");
    }
    return Math.min(size, ALIASED_NODES_MAX);
  }

  #report(node: Node, message: string, hint: string): void {
    if (this.problems.length < PROBLEMS_MAX) this.problems.push({ ...this.#position(start(node)), message, hint });
  }
}

class DocumentSource implements SourceMap {
  readonly #document: Document.Parsed;
  readonly #position: (offset: number) => Position;

  constructor(document: Document.Parsed, position: (offset: number) => Position) {
    this.#document = document;
    this.#position = position;
  }

  /** A path that leads nowhere is located at the last part that exists: a missing field at the map that lacks it. */
  locate(places: readonly Place[]): readonly Position[] {
    return places.map((place) => {
      const { pair, value } = this.#follow(place.path);
      const name = pair?.key as Node | undefined;
      const isEmpty = value === null || value.range?.[0] === value.range?.[1];
      const node = place.part === "name" || isEmpty ? (name ?? value) : value;
      return this.#position(node === null || node === undefined ? 0 : start(node));
    });
  }

  written(path: Path): string | undefined {
    const { value } = this.#follow(path);
    return isScalar(value) ? value.source : undefined;
  }

  #follow(path: Path): { pair: Pair | undefined; value: Node | null } {
    let pair: Pair | undefined;
    let value: Node | null = this.#document.contents;
    for (const step of path) {
      const inside: Node | null | undefined = isAlias(value) ? value.resolve(this.#document) : value;
      let next: unknown;
      if (isMap(inside)) next = inside.items.find(({ key }) => isScalar(key) && String(key.value) === String(step));
      else if (isSeq(inside) && typeof step === "number") next = inside.items[step];
      if (next === undefined) break;
      if (isPair(next)) {
        pair = next;
        value = next.value as Node | null;
      } else {
        pair = undefined;
        value = next as Node;
      }
    }
    return { pair, value };
  }
}

class PlainSource implements SourceMap {
  readonly #text: string;
  readonly #file: string;

  constructor(text: string, file: string) {
    this.#text = text;
    this.#file = file;
  }

  locate(places: readonly Place[]): readonly Position[] {
    const lines = new LineCounter();
    for (let at = 0; at !== 0 || lines.lineStarts.length === 0; at = this.#text.indexOf("\n", at) + 1)
      lines.addNewLine(at);
    return locateInPlainYaml(this.#text, places).map((offset) => {
      const { line, col } = lines.linePos(offset);
      return { file: this.#file, line, column: col };
    });
  }

  /** The plain reader declines what could be written in two ways. */
  written(): undefined {
    return undefined;
  }
}

function start(node: Node): number {
  return node.range?.[0] ?? 0;
}
