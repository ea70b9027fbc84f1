// `GET /owner/stream`: whoever reads one has the state first, and again whenever a table changes it. Guarantees:
//
// - A reader sees states in the order of the tables. Those that come while it is busy reading are skipped but for the last.
// - Nothing piles up: at most one event waits for a reader, the large ones are shared by all of them, and whoever has not
//   read one for a whole beat is dropped.
// - The loop is not held up by the rule of a large table: one rule is made at a time, in slices. A rule that was begun is
//   finished although the next table has come meanwhile, so that a quick succession of tables starves nobody.

import type { ServerResponse } from "node:http";
import type { Log } from "../base/log.ts";
import type { CompiledTable } from "../routing/compiled-table.ts";
import type { TableCell } from "../routing/table-cell.ts";
import { RuleSubject } from "./ownership-rule.ts";
import { Subscription, tableText } from "./subscription.ts";
import type { State, Subject } from "./subscription.ts";

/** Between signs of life: below the 30 to 60 s after which what stands between two parties takes silence for death. */
const BEAT_MS = 15_000;

/** What the streams need from around them. */
export interface StreamsOptions {
  readonly cell: TableCell;
  /** `BASELINE` or the name of the sandbox: who this instance is. */
  readonly instance: string;
  readonly streamsMax: number;
  readonly log: Log;
  /** Tests: in place of `BEAT_MS`. */
  readonly beatMs?: number | undefined;
}

/** The answer for one message. */
class OwnerSubject implements Subject {
  readonly event = "owner";
  readonly subscribers = new Set<Subscription>();
  state: State | undefined = undefined;
  readonly #answer: (table: CompiledTable) => object;

  constructor(answer: (table: CompiledTable) => object) {
    this.#answer = answer;
  }

  make(table: CompiledTable): void {
    const content = Buffer.from(JSON.stringify(this.#answer(table)).slice(1, -1));
    this.state = { table: table.version, tableText: tableText(table), content };
    for (const subscriber of this.subscribers) subscriber.catchUp();
  }
}

/** All open streams. */
export class OwnershipStreams {
  readonly #options: StreamsOptions;
  readonly #subscriptions = new Set<Subscription>();
  /** By service; those that have subscribers. */
  readonly #rules = new Map<string, RuleSubject>();
  readonly #owners = new Set<OwnerSubject>();
  readonly #unfollow: () => void;
  #makingRules = false;
  #beat: NodeJS.Timeout | undefined = undefined;
  #draining = false;

  constructor(options: StreamsOptions) {
    this.#options = options;
    this.#unfollow = options.cell.onPublish((table) => {
      for (const owner of this.#owners) owner.make(table);
      this.#updateRules();
    });
  }

  /** Why there cannot be another one, or undefined. */
  get refusal(): string | undefined {
    const { streamsMax } = this.#options;
    if (this.#draining) return "the sidecar is shutting down: take no more messages";
    if (this.#subscriptions.size < streamsMax) return undefined;
    return `${streamsMax} streams are open, which is limits.ownerStreamsMax; close one, or ask GET /owner or POST /owner`;
  }

  /** Tells of the rule for a service. */
  openRule(response: ServerResponse, service: string): void {
    const rule = this.#rules.get(service) ?? new RuleSubject(service, this.#options.instance);
    this.#rules.set(service, rule);
    this.#open(response, rule, () => {
      if (rule.subscribers.size === 0) this.#rules.delete(service);
    });
    this.#updateRules();
  }

  /** Tells of one answer; `answer` gives all of it but the table. */
  openOwner(response: ServerResponse, answer: (table: CompiledTable) => object): void {
    const owner = new OwnerSubject(answer);
    this.#owners.add(owner);
    this.#open(response, owner, () => this.#owners.delete(owner));
    const { current } = this.#options.cell;
    if (current.version > 0) owner.make(current);
  }

  /** Tells all readers to take no more messages, and ends their streams. */
  drain(): void {
    this.#draining = true;
    this.#unfollow();
    for (const subscription of [...this.#subscriptions]) subscription.drain();
  }

  #open(response: ServerResponse, subject: Subject, closed: () => void): void {
    const subscription = new Subscription(response, subject, () => {
      this.#subscriptions.delete(subscription);
      subject.subscribers.delete(subscription);
      closed();
      if (this.#subscriptions.size > 0) return;
      clearInterval(this.#beat);
      this.#beat = undefined;
    });
    this.#subscriptions.add(subscription);
    subject.subscribers.add(subscription);
    this.#beat ??= setInterval(() => this.#sendBeats(), this.#options.beatMs ?? BEAT_MS).unref();
    // Gone while its question was being read: there will be no event about it any more.
    if (response.req.socket.destroyed) return subscription.drop();
    // There is nothing to wait for when others read the same.
    subscription.catchUp();
  }

  #updateRules(): void {
    if (this.#makingRules) return;
    this.#makingRules = true;
    void this.#makeRules();
  }

  async #makeRules(): Promise<void> {
    const { cell, log } = this.#options;
    const isBehind = (rule: RuleSubject): boolean => (rule.state?.table ?? 0) !== cell.current.version;
    for (;;) {
      const behind = [...this.#rules.values()].filter(isBehind);
      if (behind.length === 0) {
        // Here and not later: whoever opens a stream from now on has to find that nobody is at it.
        this.#makingRules = false;
        return;
      }
      for (const rule of behind) {
        try {
          await rule.make(cell.current);
        } catch (error) {
          // Whoever reads on would take a stale rule for the present one.
          log.error("an ownership rule could not be made, its streams are dropped", { error: String(error) });
          for (const subscription of [...rule.subscribers]) subscription.drop();
        }
      }
    }
  }

  #sendBeats(): void {
    for (const subscription of [...this.#subscriptions]) {
      if (subscription.beat()) continue;
      this.#options.log.warn("an ownership stream is dropped, its reader does not keep up", {
        advice: "read the stream all the time, and do the work elsewhere",
      });
      subscription.drop();
    }
  }
}
