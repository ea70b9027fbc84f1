// Two replicas of a store that commit at once while something is done to what is beneath them, and what must hold then. For every
// store that several may share.

import { setTimeout as pause } from "node:timers/promises";
import { expect } from "vitest";
import type { Resource } from "../../src/control/resource.ts";
import { StoreUnavailableError, StoreUnusableError } from "../../src/control/store/store.ts";
import type { Store, StoreFollower } from "../../src/control/store/store.ts";
import type { RecordingFollower } from "./store-contract.ts";
import { commitOf, sandbox } from "./store-data.ts";

/** A store and what it has told. */
export interface Replica {
  readonly store: Store;
  readonly follower: RecordingFollower;
}

/** Commits puts, as often as another commit comes first or the store is away. */
export async function insist({ store, follower }: Replica, put: Resource): Promise<number> {
  for (;;) {
    const basedOn = follower.revision;
    try {
      const result = await store.commit(commitOf(basedOn, [put]));
      if (result.done) return result.revision;
    } catch (error) {
      if (!(error instanceof StoreUnavailableError)) throw error;
      // It may have been made after all: then it is there, or comes when the store is back.
      await follower.until(({ isReachable }) => isReachable);
      if (has(follower, put.name)) return follower.revision;
    }
  }
}

export function has(follower: RecordingFollower, name: string): boolean {
  return follower.resources.has(`sandbox/${name}`);
}

/** What each revision brought, as told. */
export function history({ changes }: RecordingFollower): string[] {
  return changes.map(({ revision, puts }) => `${revision} ${puts.map(({ name }) => name).join(" ")}`);
}

export async function untilSame(a: Replica, b: Replica): Promise<void> {
  const highest = Math.max(a.follower.revision, b.follower.revision);
  for (const { follower } of [a, b]) await follower.until(({ revision }) => revision >= highest);
  expect([...a.follower.resources].toSorted(byKey)).toEqual([...b.follower.resources].toSorted(byKey));
}

function byKey([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}

/** Two replicas commit `each` times at once, while something happens; nothing may be lost or made twice. The revision it began with. */
export async function expectRace(
  a: Replica,
  b: Replica,
  each: number,
  meanwhile: (progress: () => number) => Promise<void>,
): Promise<number> {
  const started = a.follower.revision;
  const begun = [a.follower.changes.length, b.follower.changes.length];
  const commits = async (replica: Replica, letter: string): Promise<void> => {
    for (let i = 0; i < each; i++) await insist(replica, sandbox(`${letter}${i}`));
  };
  const done = Promise.all([commits(a, "a"), commits(b, "b")]);
  await Promise.all([done, meanwhile(() => a.follower.revision - started)]);
  await untilSame(a, b);
  for (let i = 0; i < each; i++) for (const letter of ["a", "b"]) expect(has(a.follower, `${letter}${i}`)).toBe(true);
  expect(a.follower.revision).toBe(started + 2 * each);
  for (const [i, { follower }] of [a, b].entries()) {
    if (follower.resets.length > 1) continue;
    const names = follower.changes.slice(begun[i]).flatMap(({ puts }) => puts.map(({ name }) => name));
    expect(new Set(names).size).toBe(2 * each);
    expect(names).toHaveLength(2 * each);
  }
  return started;
}

export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await pause(5);
}

/** What a store that cannot be used says when it is opened. */
export async function refusalOf(store: Store): Promise<string> {
  const follower: StoreFollower = { reset: () => {}, changed: () => {}, reachable: () => {} };
  const error: unknown = await store.open(follower).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  await store.close();
  expect(error).toBeInstanceOf(StoreUnusableError);
  return (error as Error).message;
}
