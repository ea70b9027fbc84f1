// What a sidecar knows of the table that it is fed: the one in use, and what has arrived since. Pure. Guarantees:
//
// - The parts of a revision are taken together or not at all; what is half there is forgotten with its stream.
// - `source` and `revision` are those of the table in use, whole: what a sidecar says hello with. Changes that are not in use,
//   because they were refused or are not compiled yet, are told again by the next stream.
// - The cost of a change is that of the change; of a candidate only when it is read.
//
// Entries are kept as JSON text and not as objects: a third of the memory, and what goes to the compiling process and to the disk
// is text anyway.

import type { TableDocument } from "../routing/document.ts";
import { groupDocument, sandboxDocument, serviceDocument } from "./convert.ts";
import type { Scope, Update } from "./messages.ts";

/** What became of a message. */
export type Taken =
  /** More parts have to come. */
  | { readonly kind: "part" }
  /** There is a candidate. */
  | { readonly kind: "complete" }
  /** It changes nothing here, nor can what follows on this stream: another one has to be begun. */
  | { readonly kind: "refused"; readonly problem: string };

/** Entries in order: `texts[i]` is that of `names[i]`. */
interface Listed {
  readonly names: readonly string[];
  readonly texts: readonly string[];
}
/** Names of a section -> their entries as JSON, undefined for those that are to go. */
type Entries = Map<string, string | undefined>;
type Sections<Section> = { readonly services: Section; readonly sandboxes: Section; readonly groups: Section };

const SECTIONS = ["services", "sandboxes", "groups"] as const;
/** Text is handed out in pieces of about this many characters. */
const PIECE_LENGTH = 64 * 1024;

/** Changes that belong together. */
class Changes implements Sections<Entries> {
  source: string;
  revision: number;
  /** Nothing of what was before counts. */
  whole: boolean;
  services: Entries = new Map();
  sandboxes: Entries = new Map();
  groups: Entries = new Map();
  length = 0;

  constructor({ source, revision, whole }: Pick<Update, "source" | "revision" | "whole">) {
    this.source = source;
    this.revision = revision;
    this.whole = whole;
  }

  put(section: (typeof SECTIONS)[number], name: string, text: string | undefined): void {
    this.length += name.length + (text?.length ?? 0);
    this[section].set(name, text);
  }

  /** Later changes on top of these. */
  add(later: Changes): void {
    if (later.whole) {
      this.whole = true;
      this.services = later.services;
      this.sandboxes = later.sandboxes;
      this.groups = later.groups;
      this.length = later.length;
    } else {
      for (const section of SECTIONS) for (const [name, text] of later[section]) this[section].set(name, text);
      this.length += later.length;
    }
    this.source = later.source;
    this.revision = later.revision;
  }
}

/** A table that might be used, as it was when `begin` gave it out. */
export class Candidate {
  readonly source: string;
  readonly revision: number;
  /** Whether it differs from the table in use. */
  readonly differs: boolean;
  /** Number of entries. */
  readonly size: number;
  /** Characters of all entries together. */
  readonly length: number;
  /** Names and texts of each section. */
  readonly #entries: Sections<Listed>;

  constructor(source: string, revision: number, differs: boolean, entries: Sections<Listed>) {
    this.source = source;
    this.revision = revision;
    this.differs = differs;
    this.#entries = entries;
    this.size = SECTIONS.reduce((sum, section) => sum + entries[section].names.length, 0);
    this.length = SECTIONS.reduce((sum, section) => sum + lengthOf(entries[section].texts), 0);
  }

  /** The document as JSON, in pieces. */
  *pieces(): Generator<string> {
    let piece = "";
    for (const section of SECTIONS) {
      const { names, texts } = this.#entries[section];
      piece += `${section === "services" ? "{" : ",\n"}"${section}":{`;
      for (const [index, name] of names.entries()) {
        piece += `${index === 0 ? "\n" : ",\n"}${JSON.stringify(name)}:${texts[index]}`;
        if (piece.length < PIECE_LENGTH) continue;
        yield piece;
        piece = "";
      }
      piece += "}";
    }
    yield `${piece}}\n`;
  }

  /** For tables that are small enough. */
  document(): TableDocument {
    // Every entry was a document's before it became text.
    return JSON.parse([...this.pieces()].join("")) as TableDocument;
  }
}

function lengthOf(texts: readonly string[]): number {
  let length = 0;
  for (const text of texts) length += text.length;
  return length;
}

/** The table of one sidecar. */
export class FedTable {
  readonly #scope: ReadonlySet<string>;
  readonly #lengthMax: number;
  #source = "";
  #revision = 0;
  #isThere = false;
  readonly #used: Sections<Map<string, string>> = { services: new Map(), sandboxes: new Map(), groups: new Map() };
  #length = 0;
  /** Parts of a revision whose last one has not come. */
  #parts: Changes | undefined = undefined;
  /** Complete revisions, added up, that nobody has begun to look at. */
  #waiting: Changes | undefined = undefined;
  /** The ones that `begin` gave out. */
  #begun: Changes | undefined = undefined;
  /** Those that `refuse` was called for: what comes next is applied on top of them. */
  #refused: Changes | undefined = undefined;

  /** @param lengthMax characters of all entries together; beyond, changes are refused. */
  constructor(scope: Scope, lengthMax: number) {
    this.#scope = new Set(scope.services);
    this.#lengthMax = lengthMax;
  }

  /** Of the table in use; "" while there is none. */
  get source(): string {
    return this.#source;
  }

  /** Of the table in use; 0 while there is none. */
  get revision(): number {
    return this.#revision;
  }

  /** Whether `begin` has something to give. */
  get hasWaiting(): boolean {
    return this.#waiting !== undefined;
  }

  /** Takes the table that was in use before a restart. */
  restore(source: string, revision: number, { services, sandboxes, groups }: TableDocument): void {
    const changes = new Changes({ source, revision, whole: true });
    const sections = { services, sandboxes, groups };
    for (const section of SECTIONS) {
      for (const [name, entry] of Object.entries(sections[section])) changes.put(section, name, JSON.stringify(entry));
    }
    this.#waiting = changes;
  }

  /** Takes a message of the stream. */
  take(update: Update): Taken {
    const { source, revision, whole, last } = update;
    const known = this.#waiting ?? this.#begun ?? this.#refused ?? { source: this.#source, revision: this.#revision };
    const refused = (problem: string): Taken => {
      this.#parts = undefined;
      return { kind: "refused", problem };
    };
    if (source === "") return refused("the update names no source");
    if (!Number.isSafeInteger(revision)) return refused(`${revision} is too large for a revision`);
    if (!whole && source !== (this.#parts?.source ?? known.source)) {
      const ours = known.source === "" ? "there is no table yet" : `the table is of ${known.source}`;
      return refused(`a change of ${source} cannot be applied: ${ours}; a whole table has to come first`);
    }
    // Of a replica that lags behind. Its next changes are to that table, and say nothing of what was undone in between. A whole
    // table may be older: the store was restored from a backup (the control plane tells it only when it is sure of that).
    if (!whole && source === known.source && revision < known.revision) {
      return refused(`revision ${revision} is older than ${known.revision}, which is here already`);
    }
    const parts = this.#parts;
    if (parts === undefined || (whole && parts.revision !== revision)) {
      this.#parts = new Changes(update);
    } else if (parts.revision !== revision || parts.source !== source) {
      return refused(`revision ${revision} begins before the last part of ${parts.revision} has come`);
    }
    const into = this.#parts as Changes; // set above, or there before
    this.#put(into, update);
    const length = into.whole ? into.length : into.length + (this.#waiting?.length ?? 0) + this.#length;
    if (length > this.#lengthMax) {
      return refused(`the table is larger than limits.tableBytesMax (${this.#lengthMax})`);
    }
    if (!last) return { kind: "part" };
    this.#parts = undefined;
    const before = this.#waiting ?? this.#refused;
    before?.add(into);
    this.#waiting = before ?? into;
    this.#refused = undefined;
    return { kind: "complete" };
  }

  /** A stream has ended: the next one tells all that is not in use. A candidate that has been begun goes on. */
  forgetUnused(): void {
    this.#parts = undefined;
    this.#waiting = undefined;
    this.#refused = undefined;
  }

  /** What to use next, undefined when there is nothing new. To be followed by `adopt` or `refuse`. */
  begin(): Candidate | undefined {
    const changes = this.#waiting;
    if (changes === undefined) return undefined;
    this.#waiting = undefined;
    this.#begun = changes;
    const differs = this.#differs(changes);
    const entries = differs ? this.#with(changes) : nothing;
    return new Candidate(changes.source, changes.revision, differs, entries);
  }

  /** The candidate is in use now. */
  adopt(): void {
    const changes = this.#begun;
    if (changes === undefined) return;
    this.#begun = undefined;
    this.#isThere = true;
    this.#source = changes.source;
    this.#revision = changes.revision;
    if (changes.whole) this.#length = 0;
    for (const section of SECTIONS) {
      const used = this.#used[section];
      if (changes.whole) used.clear();
      for (const [name, text] of changes[section]) {
        const old = used.get(name);
        if (old !== undefined) this.#length -= name.length + old.length;
        if (text === undefined) used.delete(name);
        else {
          used.set(name, text);
          this.#length += name.length + text.length;
        }
      }
    }
  }

  /** The candidate cannot be used. With what follows on this stream it may become good. */
  refuse(): void {
    const changes = this.#begun;
    if (changes === undefined) return;
    this.#begun = undefined;
    if (this.#waiting === undefined) this.#refused = changes;
    else {
      changes.add(this.#waiting);
      this.#waiting = changes;
    }
  }

  /** What was refused is to be looked at again as it is. */
  retry(): void {
    this.#waiting ??= this.#refused;
    this.#refused = undefined;
  }

  #put(into: Changes, update: Update): void {
    for (const name of update.removedServices) into.put("services", name, undefined);
    for (const name of update.removedSandboxes) into.put("sandboxes", name, undefined);
    for (const name of update.removedGroups) into.put("groups", name, undefined);
    for (const service of update.services) {
      const document = serviceDocument(service);
      // Only its name is known. It claims no host: the host of that name may be another service's.
      const isNameOnly = this.#scope.size > 0 && !this.#scope.has(service.name) && document.hosts === undefined;
      into.put("services", service.name, JSON.stringify(isNameOnly ? { hosts: [], ...document } : document));
    }
    for (const sandbox of update.sandboxes) {
      into.put("sandboxes", sandbox.name, JSON.stringify(sandboxDocument(sandbox)));
    }
    for (const group of update.groups) into.put("groups", group.name, JSON.stringify(groupDocument(group)));
  }

  #differs(changes: Changes): boolean {
    if (!this.#isThere) return true;
    return SECTIONS.some((section) => {
      const used = this.#used[section];
      const changed = changes[section];
      let kept = 0;
      for (const [name, text] of changed) {
        if (used.get(name) !== text) return true;
        if (text !== undefined) kept++;
      }
      return changes.whole && kept !== used.size;
    });
  }

  /** The table in use with the changes, each entry at its place and new ones at the end. */
  #with(changes: Changes): Sections<Listed> {
    const section = (of: (typeof SECTIONS)[number]): Listed => {
      const changed = changes[of];
      const used: ReadonlyMap<string, string> = changes.whole ? new Map() : this.#used[of];
      const names: string[] = [];
      const texts: string[] = [];
      const list = (name: string, text: string | undefined): void => {
        if (text === undefined) return;
        names.push(name);
        texts.push(text);
      };
      for (const [name, text] of used) list(name, changed.has(name) ? changed.get(name) : text);
      for (const [name, text] of changed) if (!used.has(name)) list(name, text);
      return { names, texts };
    };
    return { services: section("services"), sandboxes: section("sandboxes"), groups: section("groups") };
  }
}

const none: Listed = { names: [], texts: [] };
const nothing: Sections<Listed> = { services: none, sandboxes: none, groups: none };
