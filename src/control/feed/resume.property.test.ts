// Whatever changes, whatever a sidecar asks for and wherever it went on from: in the end it has what its scope sees of the table.
import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeFromControl } from "../../feed/codec.ts";
import type { Scope, Update } from "../../feed/messages.ts";
import { scoped, ScopeView } from "../../feed/scope.ts";
import { groupResource, sandboxResource, serviceResource } from "../fixture.ts";
import type { Resource, ResourceId } from "../resource.ts";
import { ControlState } from "../state.ts";
import { Distributor, type Follower } from "./distributor.ts";
import { TestControl, type TestSidecar } from "./fixture.ts";

const serviceNames = ["a", "b", "c", "d"];
const sandboxNames = ["s1", "s2", "s3", "s4", "s5"];
const groupNames = ["g1", "g2"];

const endpoints = fc.subarray(["h1:80", "h2:80"], { minLength: 1 });
const serviceArbitrary = fc
  .record({ name: fc.constantFrom(...serviceNames), baseline: endpoints })
  .map(({ name, baseline }) => serviceResource(name, { baseline }));
const sandboxArbitrary = fc
  .record({
    name: fc.constantFrom(...sandboxNames),
    services: fc.dictionary(fc.constantFrom(...serviceNames), endpoints),
    labels: fc.constantFrom({}, { team: "x" }),
  })
  .map(({ name, services, labels }) => sandboxResource(name, { services, labels }));
const groupArbitrary = fc
  .record({ name: fc.constantFrom(...groupNames), sandboxes: fc.option(fc.subarray(sandboxNames), { nil: undefined }) })
  .map(({ name, sandboxes }) =>
    groupResource(name, sandboxes === undefined ? { match: { all: { team: "x" } } } : { sandboxes }),
  );

interface Commit {
  readonly puts: readonly Resource[];
  readonly deletes: readonly ResourceId[];
}

const put: fc.Arbitrary<Resource> = fc.oneof(
  { arbitrary: serviceArbitrary, weight: 1 },
  { arbitrary: sandboxArbitrary, weight: 4 },
  { arbitrary: groupArbitrary, weight: 2 },
);
const idOf = fc.oneof(
  fc.record({ kind: fc.constant("service" as const), name: fc.constantFrom(...serviceNames) }),
  fc.record({ kind: fc.constant("sandbox" as const), name: fc.constantFrom(...sandboxNames) }),
  fc.record({ kind: fc.constant("group" as const), name: fc.constantFrom(...groupNames) }),
);
const commit: fc.Arbitrary<Commit> = fc
  .record({
    puts: fc.uniqueArray(put, { maxLength: 3, selector: ({ kind, name }) => `${kind} ${name}` }),
    deletes: fc.uniqueArray(idOf, { maxLength: 2, selector: ({ kind, name }) => `${kind} ${name}` }),
  })
  .map(({ puts, deletes }) => ({
    puts,
    deletes: deletes.filter((id) => !puts.some(({ kind, name }) => kind === id.kind && name === id.name)),
  }));
const scope: fc.Arbitrary<Scope> = fc.record({ services: fc.subarray(serviceNames), names: fc.boolean() });

/** What happens, one after the other. */
const step = fc.oneof(
  { arbitrary: commit.map((one) => ({ kind: "commit" as const, commit: one })), weight: 5 },
  // The store was out of reach for some commits.
  { arbitrary: fc.array(commit, { maxLength: 3 }).map((commits) => ({ kind: "missed" as const, commits })), weight: 1 },
  // One of the sidecars looks.
  { arbitrary: fc.nat({ max: 3 }).map((sidecar) => ({ kind: "look" as const, sidecar })), weight: 4 },
);

/** A table that is put together from messages. */
class Receiver implements Follower {
  sentRevision = -1;
  readonly parts: Record<"services" | "sandboxes" | "groups", Map<string, { readonly name: string }>> = {
    services: new Map(),
    sandboxes: new Map(),
    groups: new Map(),
  };

  advance(): void {}

  restart(): void {
    this.sentRevision = -1;
  }

  take(update: Update): void {
    const { services, sandboxes, groups } = this.parts;
    if (update.whole) for (const map of Object.values(this.parts)) map.clear();
    for (const one of update.services) services.set(one.name, one);
    for (const one of update.sandboxes) sandboxes.set(one.name, one);
    for (const one of update.groups) groups.set(one.name, one);
    for (const name of update.removedServices) services.delete(name);
    for (const name of update.removedSandboxes) sandboxes.delete(name);
    for (const name of update.removedGroups) groups.delete(name);
    this.sentRevision = update.revision;
  }
}

test("what a sidecar ends with is what its scope sees of the table", () => {
  const limits = { revisionsMax: 6, bytesMax: 1e6 };
  fc.assert(
    fc.property(fc.array(scope, { minLength: 4, maxLength: 4 }), fc.array(step, { maxLength: 40 }), (scopes, steps) => {
      const state = new ControlState();
      const resources = new Map<string, Resource>();
      state.reset({ revision: 1, resources: [] });
      const distributor = new Distributor({
        state,
        source: () => "test",
        onConcerned: () => {},
        revisionMs: 1e9,
        history: limits,
      });
      try {
        const receivers = scopes.map((one) => {
          const receiver = new Receiver();
          return { receiver, channel: distributor.follow(receiver, one) };
        });
        const keep = ({ puts, deletes }: Commit): void => {
          for (const one of puts) resources.set(`${one.kind} ${one.name}`, one);
          for (const { kind, name } of deletes) resources.delete(`${kind} ${name}`);
        };
        const look = ({ receiver, channel }: (typeof receivers)[number]): void => {
          const { sentRevision } = receiver;
          const before = JSON.stringify(Object.values(receiver.parts).map((map) => [...map]));
          const parcel = distributor.parcel(channel, sentRevision);
          for (const message of parcel.messages) {
            const from = decodeFromControl(message);
            if (from.kind === "update") receiver.take(from.update);
          }
          const { services, sandboxes, groups } = scoped(channel.view, state.table);
          expect(receiver.parts).toEqual({ services, sandboxes, groups });
          expect(receiver.sentRevision).toBeGreaterThanOrEqual(channel.lastChange);
          // Nothing is told that is known, and everything that is told was due.
          const after = JSON.stringify(Object.values(receiver.parts).map((map) => [...map]));
          if (!parcel.whole) expect(parcel.concerns).toBe(before !== after);
          if (!parcel.whole && parcel.concerns) expect(sentRevision).toBeLessThan(channel.lastChange);
        };
        for (const one of steps) {
          if (one.kind === "look") {
            const receiver = receivers[one.sidecar];
            if (receiver !== undefined) look(receiver);
          } else if (one.kind === "commit") {
            keep(one.commit);
            state.changed({ revision: state.revision + 1, ...one.commit });
          } else {
            for (const lost of one.commits) keep(lost);
            state.reset({ revision: state.revision + one.commits.length, resources: [...resources.values()] });
          }
        }
        for (const receiver of receivers) look(receiver);
      } finally {
        distributor.close();
      }
    }),
    { numRuns: 300 },
  );
});

test("the same, with connections that break in between", { timeout: 60_000 }, async () => {
  const control = await TestControl.start({ history: { revisionsMax: 10, bytesMax: 1e6 } });
  try {
    const [commits = []] = fc.sample(fc.array(commit, { minLength: 150, maxLength: 150, size: "max" }), {
      numRuns: 1,
      seed: 7,
    });
    const scopes = fc.sample(scope, { numRuns: 12, seed: 7 });
    const sidecars: (TestSidecar | undefined)[] = scopes.map((one) => control.follow({ scope: one }));
    for (const [at, one] of commits.entries()) {
      control.commit(one.puts, one.deletes);
      // Some come back soon, some when their revision is forgotten.
      const place = at % (at % 2 === 0 ? 3 : scopes.length);
      const broken = sidecars[place];
      // Some break before they have anything, some in the middle, some when all is well.
      if (at % 3 !== 0) await broken?.until(() => broken.updates.length > 0);
      broken?.close();
      // It goes on from whatever it had, in one piece or not.
      const again = control.follow({
        scope: scopes[place] as Scope,
        source: broken?.source ?? "",
        revision: broken?.revision ?? 0,
      });
      if (broken !== undefined) again.restore(broken.parts);
      sidecars[place] = again;
    }
    // The last one concerns everybody: who has it has everything.
    const services = Object.fromEntries(serviceNames.map((name) => [name, ["last:80"]]));
    const revision = control.commit([sandboxResource("last", { services })]);
    for (const [at, sidecar] of sidecars.entries()) {
      await sidecar?.untilRevision(revision);
      const expected = scoped(new ScopeView(scopes[at] as Scope), control.state.table);
      const { services: seenServices, sandboxes, groups } = expected;
      expect(sidecar?.parts).toEqual({ services: seenServices, sandboxes, groups });
    }
    expect(control.server.stats.resumed).toBeGreaterThan(10);
    expect(control.server.stats.wholeTables).toBeGreaterThan(10);
  } finally {
    await control.close();
  }
});
