// When sandboxes last had traffic: one object for all, read, merged and replaced; who comes second merges once more. Each time
// says which sandbox it is of by when that was created, so that one that is made anew has no traffic of the one before.

import { StoreUnavailableError } from "../store.ts";
import { TRAFFIC, objectIn, trafficObject } from "./objects.ts";
import type { Following } from "./following.ts";
import type { TableCommits } from "./table-commits.ts";

const ATTEMPTS = 8;

/** Milliseconds since the epoch, both. */
type Times = Record<string, readonly [lastMs: number, createdMs: number]>;

export class TrafficTimes {
  readonly #namespace: string;
  readonly #objects: TableCommits;
  readonly #following: Following;
  readonly #withinMs: number;

  constructor(namespace: string, objects: TableCommits, following: Following, withinMs: number) {
    this.#namespace = namespace;
    this.#objects = objects;
    this.#following = following;
    this.#withinMs = withinMs;
  }

  async note(noted: Readonly<Record<string, number>>): Promise<void> {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      const created = this.#created();
      const found = await this.#objects.get(TRAFFIC, this.#withinMs);
      const times: Times = found === undefined ? {} : timesIn(objectIn(found));
      let changes = false;
      for (const [name, lastMs] of Object.entries(noted)) {
        const createdMs = created.get(name);
        if (createdMs === undefined) continue;
        const [beforeMs, ofMs] = times[name] ?? [0, createdMs];
        if (ofMs === createdMs && beforeMs >= lastMs) continue;
        times[name] = [lastMs, createdMs];
        changes = true;
      }
      if (!changes) return;
      const { revision } = this.#following.known;
      const lastRevision = Number(found?.spec["revision"] ?? 0);
      // A replica that is behind does not know all sandboxes.
      if (revision >= lastRevision) for (const name of Object.keys(times)) if (!created.has(name)) delete times[name];
      const { resourceVersion = "" } = found?.metadata ?? {};
      const object = trafficObject(this.#namespace, Math.max(revision, lastRevision), times, resourceVersion);
      const written =
        found === undefined
          ? await this.#objects.create(object, this.#withinMs)
          : await this.#objects.replace(object, this.#withinMs);
      if (written !== undefined) return;
    }
    throw new StoreUnavailableError("others note traffic all the time");
  }

  async read(): Promise<Record<string, number>> {
    const found = await this.#objects.get(TRAFFIC, this.#withinMs);
    if (found === undefined) return {};
    const created = this.#created();
    const times = Object.entries(timesIn(objectIn(found)));
    return Object.fromEntries(
      times.flatMap(([name, [lastMs, createdMs]]) =>
        created.get(name) === createdMs ? [[name, lastMs] as const] : [],
      ),
    );
  }

  /** Sandboxes that exist. */
  #created(): ReadonlyMap<string, number> {
    const created = new Map<string, number>();
    for (const { kind, name, meta } of this.#following.contents.snapshot().resources) {
      if (kind === "sandbox") created.set(name, Date.parse(meta.createdAt));
    }
    return created;
  }
}

function timesIn(value: object): Times {
  const whole = Object.entries(value).filter(
    ([, pair]) => Array.isArray(pair) && Number.isFinite(pair[0]) && Number.isFinite(pair[1]),
  );
  return Object.fromEntries(whole);
}
