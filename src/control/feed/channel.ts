// One scope, and the streams that follow it. What they are sent is encoded once for all of them: a delta per revision that streams
// come from, the whole table, and the empty update.

import { encodeFromControl } from "../../feed/codec.ts";
import { deltaOf, isEmpty, updatesOf, wholeOf } from "../../feed/delta.ts";
import type { Scope } from "../../feed/messages.ts";
import { ScopeView, scoped } from "../../feed/scope.ts";
import type { History, Past } from "./history.ts";

/** Of one message; a whole table comes in as many as it takes. */
const PART_BYTES_MAX = 256 * 1024;
/** Deltas that are kept, of streams that are behind by different revisions. */
const DELTAS_MAX = 64;
/** A whole table is kept while sidecars come; memory is not for those that came long ago. */
const WHOLE_KEPT_MS = 30_000;

/** Messages that bring a stream to a revision, ready for the wire. */
export interface Parcel {
  readonly revision: number;
  readonly whole: boolean;
  /** Whether the scope sees any difference; otherwise only the revision moves. */
  readonly concerns: boolean;
  readonly messages: readonly Buffer[];
}

/** What a channel needs from whoever stores them. */
export interface ChannelMember {
  /** The revision that it was sent last; -1: it needs a whole table. */
  readonly sentRevision: number;
}

export class Channel<Member extends ChannelMember> {
  /** The scope as a string. */
  readonly key: string;
  readonly view: ScopeView;
  /** The services that it names; empty: everything. */
  readonly services: readonly string[];
  readonly names: boolean;
  readonly members = new Set<Member>();
  /** The last revision that changed what the scope sees; 0: none since the first member came. */
  lastChange = 0;
  readonly #deltas = new Map<number, Parcel>();
  #whole: Parcel | undefined;
  #wholeUsedAt = 0;

  /** @param scope canonical. */
  constructor(scope: Scope) {
    this.key = JSON.stringify(scope);
    this.view = new ScopeView(scope);
    this.services = scope.services;
    this.names = scope.names;
  }

  /** Whether the scope sees the difference. */
  concerns(history: History, past: Past): boolean {
    return !isEmpty(deltaOf(this.view, past.before, history.table, past.touched));
  }

  /** The scope has seen a change. */
  changed(revision: number): void {
    this.lastChange = revision;
    this.#deltas.clear();
  }

  /** The revision is of another history, or of one that nobody knows. */
  restarted(revision: number): void {
    this.changed(revision);
    this.#whole = undefined;
  }

  /** What brings a member from one revision to the present. A whole table where the way is not known any more. */
  since(from: number, history: History, source: string): Parcel {
    const known = this.#deltas.get(from);
    if (known !== undefined) return known;
    const past = history.since(from);
    if (past === undefined) return this.whole(history, source);
    const { revision } = history.table;
    const delta = deltaOf(this.view, past.before, history.table, past.touched);
    const updates = updatesOf({ source, revision, whole: false }, delta, PART_BYTES_MAX);
    const messages = updates.map((update) => encodeFromControl({ kind: "update", update }));
    const parcel = { revision, whole: false, concerns: !isEmpty(delta), messages };
    // Beyond, each such stream has its own; that many different ones come only after an outage.
    if (this.#deltas.size < DELTAS_MAX) this.#deltas.set(from, parcel);
    return parcel;
  }

  /** All that the scope sees: at the present revision, or at an earlier one when nothing has changed since that it sees. */
  whole(history: History, source: string): Parcel {
    this.#wholeUsedAt = performance.now();
    const kept = this.#whole;
    if (kept !== undefined && kept.revision >= this.lastChange && kept.revision >= history.floor) return kept;
    const { table } = history;
    const { revision } = table;
    const updates = updatesOf({ source, revision, whole: true }, wholeOf(scoped(this.view, table)), PART_BYTES_MAX);
    const messages = updates.map((update) => encodeFromControl({ kind: "update", update }));
    this.#whole = { revision, whole: true, concerns: true, messages };
    return this.#whole;
  }

  /** Forgets what nobody has asked for lately. */
  tidy(nowMs: number): void {
    if (nowMs - this.#wholeUsedAt > WHOLE_KEPT_MS) this.#whole = undefined;
  }
}
