// The sidecars of all replicas, as far as this one has heard of them. Its own are always as they are; those of others as they were
// when they were last asked for, which whoever waits has done often.

import type { SidecarInfo, Sidecars } from "../feed/sidecars.ts";
import type { Replicas } from "../replicas.ts";
import type { ControlState } from "../state.ts";
import type { Candidates } from "./answered.ts";
import { Behind } from "./behind.ts";

/** What one replica knows. */
export interface ReplicaView {
  readonly replica: string;
  /** The last revision that it has heard of. */
  readonly revision: number;
  readonly sidecars: readonly SidecarInfo[];
  /** Why nothing is known, "" when something is. */
  readonly problem: string;
}

/** Where another replica tells of its own sidecars. */
export const SIDECARS_PATH = "/v1/internal/sidecars";

/** All that is known at one moment, with what everybody asks of it looked up once. */
export interface Views {
  readonly replicas: readonly ReplicaView[];
  /** Each process once, wherever it is connected. */
  readonly sidecars: readonly SidecarInfo[];
  /** Those that route and do not have everything that they are due: whoever is not here is current at any revision. */
  readonly behind: Behind;
  /** Those that can be asked to probe, by the service that they stand beside. */
  readonly probing: ReadonlyMap<string, readonly SidecarInfo[]>;
  /** Of each sandbox of which exchanges run that the table does not have any more, where; "": of names that were too many. */
  readonly running: ReadonlyMap<string, readonly SidecarInfo[]>;
  /** By service; filled in when somebody looks. */
  readonly candidates: Map<string, Candidates>;
}

/** Between two tellings, for each who listens: a look takes about a tenth of it. */
const LISTENER_MS = 0.2;

type OwnState = Pick<ControlState, "revision" | "onChange">;

export class SidecarViews {
  readonly #sidecars: Pick<Sidecars, "replica" | "list" | "onChange">;
  readonly #state: OwnState;
  readonly #replicas: Pick<Replicas, "others" | "askAll" | "onChange">;
  readonly #listeners = new Set<() => void>();
  readonly #stops: (() => void)[];
  #views: Views | undefined;
  #others: readonly ReplicaView[] = [];
  #askedMs = Number.NEGATIVE_INFINITY;
  #asking: Promise<void> | undefined;
  #toldMs = Number.NEGATIVE_INFINITY;
  #telling: NodeJS.Timeout | undefined;

  constructor(
    sidecars: Pick<Sidecars, "replica" | "list" | "onChange">,
    state: OwnState,
    replicas: Pick<Replicas, "others" | "askAll" | "onChange">,
  ) {
    this.#sidecars = sidecars;
    this.#state = state;
    this.#replicas = replicas;
    // A new revision makes sidecars be behind, without a word from any of them.
    this.#stops = [
      sidecars.onChange(() => this.#changed()),
      state.onChange(() => this.#changed()),
      replicas.onChange(() => {
        this.#askedMs = Number.NEGATIVE_INFINITY;
        this.#changed();
      }),
    ];
  }

  /** What is known now. */
  now(): Views {
    this.#views ??= viewsOf([this.#own(), ...this.#known()]);
    return this.#views;
  }

  /** Asks the other replicas, if there are any, and if nobody has within so many milliseconds. Never rejects. */
  refresh(olderThanMs: number): Promise<void> {
    if (this.#asking !== undefined) return this.#asking;
    if (this.#replicas.others().length === 0 || performance.now() - this.#askedMs < olderThanMs)
      return Promise.resolve();
    this.#asking = this.#ask().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  /** Called when something may have changed. Returns what takes the listener off again. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  close(): void {
    for (const stop of this.#stops) stop();
    clearTimeout(this.#telling);
    this.#listeners.clear();
  }

  async #ask(): Promise<void> {
    const answers = await this.#replicas.askAll(SIDECARS_PATH);
    this.#askedMs = performance.now();
    this.#others = answers.map((one) =>
      "why" in one ? silent(one.replica, one.why) : viewOf(one.replica, one.answer),
    );
    this.#changed();
  }

  #own(): ReplicaView {
    const { replica } = this.#sidecars;
    return { replica, revision: this.#state.revision, sidecars: this.#sidecars.list(), problem: "" };
  }

  /** Those that live: what was heard of others is of no more use, and those that were never asked are not known. */
  #known(): readonly ReplicaView[] {
    return this.#replicas
      .others()
      .map(({ id }) => this.#others.find(({ replica }) => replica === id) ?? silent(id, "it has not been asked yet"));
  }

  /** Tells it at once to a few, and to a thousand as often as they can look. */
  #changed(): void {
    this.#views = undefined;
    if (this.#telling !== undefined) return;
    const waitMs = this.#toldMs + this.#listeners.size * LISTENER_MS - performance.now();
    if (waitMs < 1) return this.#tell();
    this.#telling = setTimeout(() => this.#tell(), waitMs);
  }

  #tell(): void {
    this.#telling = undefined;
    this.#toldMs = performance.now();
    for (const listener of this.#listeners) listener();
  }
}

function silent(replica: string, problem: string): ReplicaView {
  return { replica, revision: 0, sidecars: [], problem };
}

function viewOf(replica: string, answer: unknown): ReplicaView {
  const { revision, sidecars } = (answer ?? {}) as { readonly revision?: unknown; readonly sidecars?: unknown };
  if (typeof revision !== "number" || !Array.isArray(sidecars)) {
    return silent(replica, "it answered with something else than its sidecars; is it another version?");
  }
  return { replica, revision, sidecars: sidecars as readonly SidecarInfo[], problem: "" };
}

function viewsOf(replicas: readonly ReplicaView[]): Views {
  const all = replicas.flatMap(({ sidecars }) => sidecars);
  // One that has moved is still on the list of the replica that it left.
  const connected = new Set(all.flatMap((one) => (one.connected ? [one.instance] : [])));
  const sidecars = all.filter((one) => one.connected || !connected.has(one.instance));
  const probing = new Map<string, SidecarInfo[]>();
  for (const one of sidecars) {
    if (!one.connected || !one.probes || one.sandbox !== "") continue;
    const known = probing.get(one.service);
    if (known === undefined) probing.set(one.service, [one]);
    else known.push(one);
  }
  return {
    replicas,
    sidecars,
    behind: new Behind(
      sidecars.filter((one) => one.routes && (!one.connected || one.appliedRevision < one.wantedRevision)),
    ),
    probing,
    running: runningOf(sidecars),
    candidates: new Map(),
  };
}

function runningOf(sidecars: readonly SidecarInfo[]): ReadonlyMap<string, readonly SidecarInfo[]> {
  const running = new Map<string, SidecarInfo[]>();
  for (const one of sidecars) {
    for (const { sandbox } of one.busy) {
      const known = running.get(sandbox);
      if (known === undefined) running.set(sandbox, [one]);
      else known.push(one);
    }
  }
  return running;
}
