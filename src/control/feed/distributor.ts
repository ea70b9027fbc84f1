// Brings every stream to the present revision. Guarantees:
//
// - Who is behind is sent one difference from what it was sent last to the present, however many changes lie in between.
// - A stream that cannot be written to has nothing queued here: it takes its difference when it can be, and costs nothing before.
// - A stream whose scope sees nothing of a change is sent nothing for it, but the revision now and then, so that it can go on
//   from there after a break.
// - The event loop is not held: after `TURN_MS` of writing, whoever else waits for it comes first.

import type { Scope } from "../../feed/messages.ts";
import { canonicalScope } from "../../feed/scope.ts";
import type { ControlState, FeedChange } from "../state.ts";
import { Channel, type Parcel } from "./channel.ts";
import { History, changeBetween, type HistoryLimits, type Past } from "./history.ts";

const TURN_MS = 8;
/** In so many parts of `revisionMs` so many parts of the streams are told the revision. */
const SLICES = 10;

/** A stream that follows. */
export interface Follower {
  /** The revision that it was sent whole; -1: it needs a whole table. */
  readonly sentRevision: number;
  /** It is its turn: it writes at most one message, and calls `wake` when it can write more. */
  advance(): void;
  /** What it was sent is of no use any more: the table is of another history. */
  restart(): void;
}

/** What changes come from. */
export type Followed = Pick<ControlState, "table" | "onChange" | "storeProblem">;

export interface DistributorSettings {
  readonly state: Followed;
  /** Names the history of the state's revisions. */
  readonly source: () => string;
  /** Told when streams fall behind. */
  readonly onConcerned: () => void;
  /** Who is not behind is told the revision about this often, if it moved. */
  readonly revisionMs: number;
  readonly history?: HistoryLimits | undefined;
}

export class Distributor {
  readonly #state: Followed;
  readonly #source: () => string;
  readonly #onConcerned: () => void;
  readonly #history: History;
  #historyOf: string;
  readonly #channels = new Map<string, Channel<Follower>>();
  /** By service: the channels whose scope names it. */
  readonly #byService = new Map<string, Set<Channel<Follower>>>();
  /** Channels that may see any change: of everything, or of all names. */
  readonly #wide = new Set<Channel<Follower>>();
  readonly #channelOf = new Map<Follower, Channel<Follower>>();
  /** Who can write and has something to send; each once, in order. */
  readonly #due = new Set<Follower>();
  #turn: NodeJS.Immediate | undefined;
  readonly #timer: NodeJS.Timeout;
  #slice = 0;
  readonly #unfollow: () => void;

  constructor(settings: DistributorSettings) {
    const { state, source, onConcerned, history } = settings;
    this.#state = state;
    this.#source = source;
    this.#onConcerned = onConcerned;
    this.#history = new History(state.table, history);
    this.#historyOf = source();
    this.#unfollow = state.onChange((change) => this.#changed(change));
    this.#timer = setInterval(() => this.#tick(), settings.revisionMs / SLICES);
    this.#timer.unref();
  }

  get revision(): number {
    return this.#history.table.revision;
  }

  /** Whether the store can be reached: what it has committed is known here then, or will be in a moment. */
  get hearsOfCommits(): boolean {
    return this.#state.storeProblem === "";
  }

  /** Names the history that revisions count in. */
  get source(): string {
    return this.#historyOf;
  }

  /** Distinct scopes that are followed. */
  get scopes(): number {
    return this.#channels.size;
  }

  /** The changes that are kept for those who come again. */
  get kept(): { readonly revisions: number; readonly bytes: number } {
    return this.#history;
  }

  /** Whether a stream with this revision can be told what changed since. */
  reaches(source: string, revision: number): boolean {
    return source === this.#historyOf && revision > 0 && this.#history.since(revision) !== undefined;
  }

  /** A stream begins to follow a scope. It has to be woken to be sent anything. */
  follow(follower: Follower, scope: Scope): Channel<Follower> {
    const made = new Channel<Follower>(canonicalScope(scope));
    const channel = this.#channels.get(made.key) ?? made;
    if (channel === made) {
      this.#channels.set(channel.key, channel);
      if (channel.names || channel.view.everything) this.#wide.add(channel);
      else for (const service of channel.services) this.#ofService(service).add(channel);
    }
    channel.members.add(follower);
    this.#channelOf.set(follower, channel);
    return channel;
  }

  leave(follower: Follower): void {
    this.#due.delete(follower);
    const channel = this.#channelOf.get(follower);
    if (channel === undefined) return;
    this.#channelOf.delete(follower);
    channel.members.delete(follower);
    if (channel.members.size > 0) return;
    this.#channels.delete(channel.key);
    this.#wide.delete(channel);
    for (const service of channel.services) {
      const channels = this.#byService.get(service);
      channels?.delete(channel);
      if (channels?.size === 0) this.#byService.delete(service);
    }
  }

  /** The follower has something to send and can: it gets its turn. */
  wake(follower: Follower): void {
    this.#due.add(follower);
    this.#turn ??= setImmediate(() => this.#pump());
  }

  /** What brings a stream of this channel to the present. */
  parcel(channel: Channel<Follower>, from: number): Parcel {
    return from < 0
      ? channel.whole(this.#history, this.#historyOf)
      : channel.since(from, this.#history, this.#historyOf);
  }

  close(): void {
    this.#unfollow();
    clearInterval(this.#timer);
    clearImmediate(this.#turn);
    this.#due.clear();
  }

  #changed(change: FeedChange): void {
    const { table } = this.#state;
    const before = this.#history.table;
    const source = this.#source();
    const known = source === this.#historyOf && table.revision >= before.revision;
    const listed = !change.reset && change.from === before.revision && change.to === table.revision;
    // After an outage of the store everything may differ, but hardly anything does: finding out costs less than telling all.
    const told = listed ? change : changeBetween(before, table);
    const differs = told.services.size + told.sandboxes.size + told.groups.size > 0;
    if (!known || (differs && table.revision === before.revision)) return this.#restart(source);
    if (table.revision === before.revision) return;
    const past = this.#history.add(told, table);
    if (differs) this.#concern(past, told);
  }

  #concern(past: Past, change: FeedChange): void {
    const { revision } = this.#history.table;
    let any = false;
    for (const channel of this.#candidates(change)) {
      if (!channel.concerns(this.#history, past)) continue;
      channel.changed(revision);
      for (const member of channel.members) this.wake(member);
      any = true;
    }
    if (any) this.#onConcerned();
  }

  /** Channels that may see something of a change: those of its services before and after. */
  #candidates({ services, sandboxes, groups }: FeedChange): ReadonlySet<Channel<Follower>> {
    const found = new Set(this.#wide);
    const add = (service: string): void => this.#byService.get(service)?.forEach((channel) => found.add(channel));
    const addSandbox = (sandbox: { readonly services: readonly { readonly service: string }[] } | undefined): void =>
      sandbox?.services.forEach(({ service }) => add(service));
    for (const name of services.keys()) add(name);
    for (const { before, after } of sandboxes.values()) {
      addSandbox(before);
      addSandbox(after);
    }
    // The services of a group are those of its members; a member that changed as well has been looked at.
    for (const { before, after } of groups.values()) {
      for (const part of [before, after]) {
        for (const name of part?.sandboxes ?? []) addSandbox(this.#history.table.sandboxes.get(name));
      }
    }
    return found;
  }

  #restart(source: string): void {
    this.#historyOf = source;
    this.#history.restart(this.#state.table);
    for (const channel of this.#channels.values()) {
      channel.restarted(this.revision);
      for (const member of channel.members) {
        member.restart();
        this.wake(member);
      }
    }
    this.#onConcerned();
  }

  #pump(): void {
    this.#turn = undefined;
    const until = performance.now() + TURN_MS;
    for (const follower of this.#due) {
      this.#due.delete(follower);
      follower.advance();
      if (performance.now() > until) break;
    }
    if (this.#due.size > 0) this.#turn ??= setImmediate(() => this.#pump());
  }

  /** A slice of those that are not behind is told the revision. */
  #tick(): void {
    this.#slice = (this.#slice + 1) % SLICES;
    const now = performance.now();
    let at = 0;
    for (const [follower, channel] of this.#channelOf) {
      if (at++ % SLICES !== this.#slice) continue;
      if (follower.sentRevision < this.revision) this.wake(follower);
      channel.tidy(now);
    }
  }

  #ofService(service: string): Set<Channel<Follower>> {
    const known = this.#byService.get(service);
    if (known !== undefined) return known;
    const channels = new Set<Channel<Follower>>();
    this.#byService.set(service, channels);
    return channels;
  }
}
