// What a store with a log of its own knows, in memory: what the log says from the header to the last record. One made again is
// found by its id among the last ones.

import type { AuditEntry, Kind, Resource, ResourceId } from "../../resource.ts";
import { AUDIT_KEPT } from "../store.ts";
import type { StoreSnapshot } from "../store.ts";
import type { LogRecord } from "./record.ts";

/** Commits whose ids are remembered: whoever asks for an outcome again does it within seconds. */
const IDS_KEPT = 1000;
/** Entries in one record. */
const AUDIT_PER_RECORD = 200;

export class Contents {
  revision = 0;
  source = "";
  home = "";
  readonly #resources = new Map<string, Resource>();
  readonly #traffic = new Map<string, number>();
  readonly #ids = new Map<string, number>();
  /** Oldest first. */
  #audit: AuditEntry[] = [];

  /** Takes in a record. A sentence when the record cannot come after those before it. */
  apply(record: LogRecord): string {
    switch (record.record) {
      case "header":
        this.source = record.source;
        this.home = record.home;
        this.revision = record.revision;
        return "";
      case "resource":
        this.#resources.set(keyOf(record.resource), record.resource);
        return "";
      case "audit":
        this.#remember(record.entries);
        return "";
      case "commits":
        for (const [id, revision] of record.ids) this.#ids.set(id, revision);
        return "";
      case "traffic":
        for (const [name, at] of Object.entries(record.times)) this.#traffic.set(name, at);
        return "";
      case "source":
        this.source = record.source;
        this.home = record.home;
        return "";
      case "commit":
        return this.#commit(record);
      case "begin":
      case "alive":
        return "";
      default:
        return "the record is of a kind that this version does not know";
    }
  }

  #commit(commit: Extract<LogRecord, { readonly record: "commit" }>): string {
    const { id, revision, puts, deletes, audit } = commit;
    if (revision !== this.revision + 1) return `revision ${revision} comes after revision ${this.revision}`;
    this.revision = revision;
    for (const one of deletes) {
      this.#resources.delete(keyOf(one));
      if (one.kind === "sandbox") this.#traffic.delete(one.name);
    }
    for (const put of puts) this.#resources.set(keyOf(put), put);
    this.#ids.set(id, revision);
    const [oldest] = this.#ids.size > IDS_KEPT ? this.#ids.keys() : [];
    if (oldest !== undefined) this.#ids.delete(oldest);
    this.#remember(audit);
    return "";
  }

  #remember(entries: readonly AuditEntry[]): void {
    this.#audit.push(...entries);
    // Now and then, not each time: moving ten thousand entries for one is a waste.
    if (this.#audit.length > AUDIT_KEPT * 1.2) this.#audit = this.#audit.slice(-AUDIT_KEPT);
  }

  snapshot(): StoreSnapshot {
    return { revision: this.revision, resources: [...this.#resources.values()] };
  }

  /** The revision that the commit of this id led to, if it was one of the last. */
  revisionOf(id: string): number | undefined {
    return this.#ids.get(id);
  }

  audit(query: { readonly kind?: string; readonly name?: string; readonly limit: number }): AuditEntry[] {
    const { kind, name, limit } = query;
    const found: AuditEntry[] = [];
    for (const entry of this.#audit.toReversed()) {
      if (found.length >= limit) break;
      if ((kind ?? entry.kind) === entry.kind && (name ?? entry.name) === entry.name) found.push(entry);
    }
    return found;
  }

  /** Of these, the times of sandboxes that exist, where they are later than what is known. */
  laterTraffic(times: Readonly<Record<string, number>>): Record<string, number> {
    const later = Object.entries(times).filter(
      ([name, at]) => this.#resources.has(keyOf({ kind: "sandbox", name })) && at > (this.#traffic.get(name) ?? 0),
    );
    return Object.fromEntries(later);
  }

  traffic(): Record<string, number> {
    return Object.fromEntries(this.#traffic);
  }

  /** All of it as records that follow a header. */
  *records(): Generator<LogRecord> {
    for (const resource of this.#resources.values()) yield { record: "resource", resource };
    const audit = this.#audit.slice(-AUDIT_KEPT);
    for (let from = 0; from < audit.length; from += AUDIT_PER_RECORD) {
      yield { record: "audit", entries: audit.slice(from, from + AUDIT_PER_RECORD) };
    }
    if (this.#traffic.size > 0) yield { record: "traffic", times: this.traffic() };
    if (this.#ids.size > 0) yield { record: "commits", ids: [...this.#ids] };
    yield { record: "begin" };
  }
}

function keyOf({ kind, name }: ResourceId | { readonly kind: Kind; readonly name: string }): string {
  return `${kind}/${name}`;
}
