// The sidecars that follow the table feed of this replica, and what is known of each. Guarantees:
//
// - A sidecar that ended by itself (Goodbye) is forgotten at once: nobody has to wait for it. One whose stream broke stays
//   in the list as not connected for `GONE_AFTER_MS`, and is behind meanwhile; then it is forgotten. What ran there runs until
//   the sidecar says otherwise, or is forgotten.
// - What a sidecar tells is kept only as far as somebody can read it, and what is kept of those that are gone is bounded as well.
// - `ask` always resolves: with an answer, or with an error that says why there is none.
// - Listeners of `onChange` are called after changes, at most once per `SETTLE_MS` however many there are.

import type { Activity, AnswerBody, Applied, Busy, Hello, QuestionBody, Scope } from "../../feed/messages.ts";
import { scopeLength } from "./hello.ts";

/** How long a sidecar whose stream broke counts as behind: it may be about to come back. */
const GONE_AFTER_MS = 15_000;
/** Applied and Activity arrive by the thousand; who follows them looks at all of them at once. */
const SETTLE_MS = 20;
/** Per sidecar: questions without an answer. */
const QUESTIONS_MAX = 100;
const PROBLEMS_MAX = 20;
/** Characters of a sentence that a sidecar tells. */
const SENTENCE_MAX = 1000;
/** Deleted sandboxes whose exchanges are known by name, and the characters of one. */
const BUSY_MAX = 1000;
const NAME_MAX = 253;
/** What is kept of sidecars that broke off; beyond it those that did so first are forgotten. */
const GONE_BYTES_MAX = 64 * 1024 * 1024;
/** Of one of them, beside its scope. */
const RECORD_BYTES = 2048;

/** A sidecar as it was at one moment; `GET /v1/sidecars` shows it as JSON. Never changed: the next `list` has another object. */
export interface SidecarInfo {
  /** One process. */
  readonly instance: string;
  readonly service: string;
  /** "" beside the baseline. */
  readonly sandbox: string;
  readonly host: string;
  readonly version: string;
  readonly scope: Scope;
  /** Whether requests are routed by it; a supervisor of workers only looks. */
  readonly routes: boolean;
  readonly probes: boolean;
  readonly connected: boolean;
  /** Since when it is connected, or not. ISO 8601, UTC. */
  readonly since: string;
  /** The table that it has in use has everything up to here. 0: it has none. */
  readonly appliedRevision: number;
  /** The last revision that concerns its scope, and was sent or is due. */
  readonly wantedRevision: number;
  /** Why the newest table is not in use; "" when it is. */
  readonly error: string;
  readonly problems: readonly string[];
  /**
   * Exchanges of sandboxes that the table does not have any more, as told last, also while it is not connected; `sandbox: ""` for
   * those beyond what is kept by name.
   */
  readonly busy: readonly Busy[];
  /** Id of the replica that it is connected to. */
  readonly replica: string;
}

/** What `Sidecars` needs of a stream. */
export interface SidecarStream {
  /** The last revision that concerns it. */
  readonly wantedRevision: number;
  /** Sends the question as soon as the stream can be written to. */
  ask(id: number, withinMs: number, question: QuestionBody): void;
  /** The same process has opened another stream: this one is of no use. */
  replaced(): void;
}

/** A stream's end of the list: what it reports arrives here. */
export interface Membership {
  applied(applied: Applied): void;
  activity(activity: Activity): void;
  answered(id: number, answer: AnswerBody): void;
  /** Revisions are of another history now: what it has applied says nothing any more. */
  restarted(): void;
  /** The stream has ended; `byItself`: with a Goodbye. */
  left(byItself: boolean): void;
}

/** The sidecars of this replica. */
export class Sidecars {
  readonly replica: string;
  readonly #goneAfterMs: number;
  readonly #records = new Map<string, SidecarRecord>();
  /** Those that broke off, longest ago first, with about how many bytes each takes. */
  readonly #gone = new Map<SidecarRecord, number>();
  #goneBytes = 0;
  readonly #changeListeners = new Set<() => void>();
  readonly #activityListeners = new Set<(info: SidecarInfo, activity: Activity) => void>();
  #settling: NodeJS.Timeout | undefined;

  /** @param replica id of this replica. @param goneAfterMs tests: a shorter time. */
  constructor(replica: string, goneAfterMs: number = GONE_AFTER_MS) {
    this.replica = replica;
    this.#goneAfterMs = goneAfterMs;
  }

  /** All of them, those that broke off lately included. */
  list(): readonly SidecarInfo[] {
    return Array.from(this.#records.values(), (record) => record.info());
  }

  /** By `instance`. */
  find(instance: string): SidecarInfo | undefined {
    return this.#records.get(instance)?.info();
  }

  /**
   * Whether everything that changed up to `revision` in its scope is in use there. Works for the sidecars of other replicas as
   * well. False where it cannot be told: while a later revision is due, what lies between is not known.
   */
  isCurrent(info: SidecarInfo, revision: number): boolean {
    return info.connected && info.appliedRevision >= Math.min(revision, info.wantedRevision);
  }

  /** Asks one sidecar. Resolves with an `error` answer when it is not there, does not answer in time, or leaves. */
  ask(instance: string, question: QuestionBody, withinMs: number): Promise<AnswerBody> {
    const record = this.#records.get(instance);
    if (record === undefined) return Promise.resolve(unanswered("the sidecar is not connected to this replica"));
    return record.ask(question, withinMs);
  }

  /** Calls `listener` after sidecars came, went, applied something or told what goes on. Returns how to stop. */
  onChange(listener: () => void): () => void {
    this.#changeListeners.add(listener);
    return () => this.#changeListeners.delete(listener);
  }

  /** Calls `listener` with each Activity. Returns how to stop. */
  onActivity(listener: (info: SidecarInfo, activity: Activity) => void): () => void {
    this.#activityListeners.add(listener);
    return () => this.#activityListeners.delete(listener);
  }

  /**
   * A stream has said hello. `appliedRevision`: what it has in use already, 0 when its table is of no use here. A stream of the
   * same process before it is told that it is replaced.
   */
  join(hello: Hello, appliedRevision: number, stream: SidecarStream): Membership {
    const before = this.#records.get(hello.instance);
    const record = new SidecarRecord(this.replica, hello, appliedRevision, stream, before?.info().busy ?? []);
    before?.end();
    if (before !== undefined) this.#forgetGone(before);
    this.#records.set(hello.instance, record);
    this.#changed();
    return {
      applied: (applied) => {
        record.applied(applied);
        this.#changed();
      },
      activity: (activity) => {
        record.activity(activity);
        this.#changed();
        for (const listener of this.#activityListeners) listener(record.info(), activity);
      },
      answered: (id, answer) => record.answered(id, answer),
      restarted: () => {
        record.restarted();
        this.#changed();
      },
      left: (byItself) => this.#left(record, byItself),
    };
  }

  /** Streams have fallen behind by a change of the table. */
  fellBehind(): void {
    this.#changed();
  }

  /** Ends what still waits. */
  close(): void {
    clearTimeout(this.#settling);
    for (const record of this.#records.values()) record.end();
    this.#records.clear();
    this.#gone.clear();
    this.#goneBytes = 0;
    this.#changeListeners.clear();
  }

  #left(record: SidecarRecord, byItself: boolean): void {
    const { instance } = record.hello;
    // Replaced by a stream that came before this one was seen to end.
    if (this.#records.get(instance) !== record) return;
    if (byItself) {
      record.end();
      this.#records.delete(instance);
    } else {
      record.disconnected(this.#goneAfterMs, () => this.#forget(record));
      this.#gone.set(record, sizeOf(record));
      this.#goneBytes += sizeOf(record);
      for (const [oldest] of this.#gone) {
        if (this.#goneBytes <= GONE_BYTES_MAX) break;
        this.#forget(oldest);
      }
    }
    this.#changed();
  }

  #forget(record: SidecarRecord): void {
    record.end();
    this.#forgetGone(record);
    this.#records.delete(record.hello.instance);
    this.#changed();
  }

  #forgetGone(record: SidecarRecord): void {
    this.#goneBytes -= this.#gone.get(record) ?? 0;
    this.#gone.delete(record);
  }

  #changed(): void {
    if (this.#changeListeners.size === 0) return;
    this.#settling ??= setTimeout(() => {
      this.#settling = undefined;
      for (const listener of this.#changeListeners) listener();
    }, SETTLE_MS);
  }
}

interface Pending {
  readonly resolve: (answer: AnswerBody) => void;
  readonly timer: NodeJS.Timeout;
}

/** One process, from its hello until it is forgotten. */
class SidecarRecord {
  readonly hello: Hello;
  readonly #replica: string;
  /** Undefined once it is gone. */
  #stream: SidecarStream | undefined;
  #since = new Date().toISOString();
  #appliedRevision: number;
  #wantedRevision = 0;
  #error = "";
  #problems: readonly string[] = [];
  /** The revision that was refused; 0: none. */
  #refusedRevision = 0;
  #busy: readonly Busy[];
  #info: SidecarInfo | undefined;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;
  #forgetting: NodeJS.Timeout | undefined;

  /** @param busy as told by the stream before: exchanges do not end with a stream, and the next one tells anew. */
  constructor(replica: string, hello: Hello, appliedRevision: number, stream: SidecarStream, busy: readonly Busy[]) {
    this.#replica = replica;
    this.hello = hello;
    this.#appliedRevision = appliedRevision;
    this.#stream = stream;
    this.#busy = busy;
  }

  info(): SidecarInfo {
    if (this.#stream !== undefined && this.#stream.wantedRevision !== this.#wantedRevision) {
      this.#wantedRevision = this.#stream.wantedRevision;
      this.#info = undefined;
    }
    const { instance, service, sandbox, host, version, scope, routes, probes } = this.hello;
    this.#info ??= {
      instance,
      service,
      sandbox,
      host,
      version,
      scope,
      routes,
      probes,
      connected: this.#stream !== undefined,
      since: this.#since,
      appliedRevision: this.#appliedRevision,
      wantedRevision: this.#wantedRevision,
      error: this.#error,
      problems: this.#problems,
      busy: this.#busy,
      replica: this.#replica,
    };
    return this.#info;
  }

  applied({ revision, error, problems }: Applied): void {
    if (error === "") {
      this.#appliedRevision = Math.max(this.#appliedRevision, revision);
      // An older table being in use says nothing about the one that was refused.
      if (revision < this.#refusedRevision) return this.#touch();
    }
    this.#refusedRevision = error === "" ? 0 : revision;
    this.#error = shortened(error);
    this.#problems = problems.slice(0, PROBLEMS_MAX).map(shortened);
    this.#touch();
  }

  restarted(): void {
    this.#appliedRevision = 0;
    this.#refusedRevision = 0;
    this.#touch();
  }

  activity({ busy }: Activity): void {
    this.#busy = keptOf(busy);
    this.#touch();
  }

  ask(question: QuestionBody, withinMs: number): Promise<AnswerBody> {
    const stream = this.#stream;
    if (stream === undefined)
      return Promise.resolve(unanswered("the sidecar's connection broke and it has not come back"));
    if (this.#pending.size >= QUESTIONS_MAX) {
      return Promise.resolve(
        unanswered(`the sidecar has ${QUESTIONS_MAX} questions to answer already; ask again later`),
      );
    }
    const id = ++this.#lastId;
    return new Promise((resolve) => {
      const timer = setTimeout(
        () => this.answered(id, unanswered(`the sidecar did not answer within ${withinMs} ms`)),
        withinMs,
      );
      this.#pending.set(id, { resolve, timer });
      stream.ask(id, withinMs, question);
    });
  }

  /** An answer to what nobody asked, or asks no longer, is passed over. */
  answered(id: number, answer: AnswerBody): void {
    const pending = this.#pending.get(id);
    if (pending === undefined) return;
    this.#pending.delete(id);
    clearTimeout(pending.timer);
    pending.resolve(answer);
  }

  disconnected(withinMs: number, forget: () => void): void {
    this.info(); // keeps the wanted revision that the stream knows
    this.#drop();
    this.#since = new Date().toISOString();
    this.#touch();
    this.#forgetting = setTimeout(forget, withinMs).unref();
  }

  /** Replaced by another stream, or forgotten. */
  end(): void {
    clearTimeout(this.#forgetting);
    this.#stream?.replaced();
    this.#drop();
  }

  #drop(): void {
    this.#stream = undefined;
    for (const id of this.#pending.keys()) this.answered(id, unanswered("the sidecar's connection broke"));
  }

  #touch(): void {
    this.#info = undefined;
  }
}

function unanswered(error: string): AnswerBody {
  return { kind: "error", error };
}

function sizeOf({ hello }: SidecarRecord): number {
  return RECORD_BYTES + 2 * scopeLength(hello);
}

/** Copied: a part of a long text would keep all of it. */
function shortened(text: string): string {
  return text.length <= SENTENCE_MAX ? text : `${Buffer.from(text.slice(0, SENTENCE_MAX)).toString()}…`;
}

/** Nobody must be told that nothing runs because the names were too many or too long. */
function keptOf(busy: readonly Busy[]): readonly Busy[] {
  const running = busy.filter(({ exchanges }) => exchanges > 0);
  const named = running.filter(({ sandbox }) => sandbox !== "" && sandbox.length <= NAME_MAX).slice(0, BUSY_MAX);
  if (named.length === running.length) return named;
  const sum = (all: readonly Busy[]): number => all.reduce((total, { exchanges }) => total + exchanges, 0);
  return [...named, { sandbox: "", exchanges: sum(running) - sum(named) }];
}
