// The sidecar's end of the table feed: first table, changes, and what it does with what is wrong.
import { expect, test } from "vitest";
import { startFeedServer, update, whole } from "../support/feed-server.ts";
import type { FeedServer, FollowingSidecar } from "../support/feed-server.ts";
import { type Followed, makeSource, startSource, targetOf } from "./source.ts";

const SHOP = {
  services: { checkout: {}, ledger: { ports: { http: 8080, grpc: 9090 } } },
  sandboxes: { "pr-7": { services: { checkout: ["10.0.0.7:8080"] } } },
} as const;

const eight = { sandboxes: { "pr-8": { services: { checkout: ["10.0.0.8:8080"] } } } } as const;

interface Pair extends Followed {
  readonly server: FeedServer;
  readonly stream: FollowingSidecar;
}

/** With revision 5 of the shop in use. */
async function following(): Promise<Pair> {
  const server = await startFeedServer({ onHello: (sidecar) => greet(sidecar) });
  const followed = await startSource({ control: server.address });
  const stream = await server.stream(0);
  await stream.applied(5);
  return { ...followed, server, stream };
}

/** As a control plane does: goes on from the table that is there, or begins anew. */
function greet(sidecar: FollowingSidecar): void {
  const { source, revision } = sidecar.hello;
  if (source === "history-1" && revision >= 5) sidecar.send(update(revision, {}));
  else sidecar.send(whole(5, SHOP));
}

test("the first table; the hello says who is there, and that there was none", async () => {
  const { stream, source, cell, loads } = await following();
  expect(stream.hello).toEqual({
    instance: "instance-1",
    service: "checkout",
    sandbox: "",
    host: "host-1",
    version: "0.0.0",
    scope: { services: [], names: false },
    source: "",
    revision: 0,
    routes: true,
    probes: true,
  });
  expect(stream.acks).toEqual([{ revision: 5, error: "", problems: [] }]);
  expect(source.status()).toMatchObject({
    version: 1,
    revision: 5,
    source: `control ${source.status().source.split(" ")[1]}`,
    digest: expect.stringMatching(/^[0-9a-f]{12}$/u),
    feed: { connected: true, problem: "" },
    counts: { services: 2, sandboxes: 1, groups: 0 },
  });
  expect(cell.current.counts.sandboxes).toBe(1);
  expect(loads).toEqual(["applied"]);
});

test("changes: added, changed, removed; twice the same is harmless and not loaded again", async () => {
  const pair = await following();
  const { stream, source, loads } = pair;
  stream.send(update(6, eight));
  await stream.applied(6);
  expect([targetOf(pair, "pr-7"), targetOf(pair, "pr-8")]).toEqual(["pr-7", "pr-8"]);
  stream.send(update(7, eight));
  expect(await stream.applied(7)).toMatchObject({ error: "" });
  expect([source.status().version, source.status().revision]).toEqual([2, 7]);
  stream.send(
    update(8, { sandboxes: { "pr-8": { key: "eight", services: {} } } }, { removedSandboxes: ["pr-7", "pr-1"] }),
  );
  await stream.applied(8);
  expect([targetOf(pair, "pr-7"), targetOf(pair, "eight")]).toEqual([undefined, "pr-8"]);
  expect(loads).toEqual(["applied", "applied", "applied"]);
});

test("a table has the same digest however it came to be", async () => {
  const { stream, source } = await following();
  stream.send(update(6, eight));
  await stream.applied(6);
  const { digest } = source.status();
  const other = await startFeedServer({
    onHello: (sidecar) => sidecar.send(whole(9, { ...SHOP, sandboxes: { ...eight.sandboxes, ...SHOP.sandboxes } })),
  });
  const { source: second } = await startSource({ control: other.address });
  expect(second.status().digest).toBe(digest);
});

test("a group without sandboxes is one: its key is known", async () => {
  const pair = await following();
  pair.stream.send(update(6, { groups: { team: { sandboxes: [] } } }));
  expect(await pair.stream.applied(6)).toMatchObject({ error: "" });
  expect(targetOf(pair, "team")).toBe("team");
});

test("parts of a revision are used together; one that is cut off in the middle leaves nothing", async () => {
  const pair = await following();
  const { stream, server } = pair;
  stream.send(whole(9, eight, { last: false }));
  stream.end();
  const next = await server.stream(1);
  expect(next.hello).toMatchObject({ source: "history-1", revision: 5 });
  expect([targetOf(pair, "pr-7"), targetOf(pair, "pr-8")]).toEqual(["pr-7", undefined]);
  next.send(update(6, eight, { last: false }), update(6, { services: { billing: {} } }));
  await next.applied(6);
  expect([targetOf(pair, "pr-7"), targetOf(pair, "pr-8")]).toEqual(["pr-7", "pr-8"]);
  expect(pair.cell.current.serviceByName("billing")).not.toBe(-1);
});

test("a whole table in several parts throws away what was before", async () => {
  const pair = await following();
  pair.stream.send(whole(9, eight, { last: false }), update(9, { services: { checkout: {} } }));
  await pair.stream.applied(9);
  expect([targetOf(pair, "pr-7"), targetOf(pair, "pr-8")]).toEqual([undefined, "pr-8"]);
  expect(pair.cell.current.counts.services).toBe(1);
});

test.each<[string, Parameters<typeof update>[1], RegExp]>([
  ["a name that is none", { services: { "a b": {} } }, /"a b" is not a service name/u],
  ["a key that is another's", { sandboxes: { x: { key: "pr-7", services: {} } } }, /one routing key/u],
  ["a group of sandboxes that are not there", { groups: { g: { sandboxes: ["x"] } } }, /there is no such sandbox/u],
  ["an endpoint that is none", { sandboxes: { x: { services: { checkout: ["nowhere"] } } } }, /is not an endpoint/u],
  ["an empty list of endpoints", { sandboxes: { x: { services: { checkout: [] } } } }, /must not be empty/u],
  ["a port that is none", { services: { a: { ports: { http: 70000 } } } }, /70000 is not a port number/u],
  [
    "names that objects have",
    { services: { ["__proto__"]: {} }, sandboxes: { constructor: { services: { checkout: [""] } } } },
    /"__proto__" is not a service name/u,
  ],
])("%s is refused with the reason, the table before stays, and the next change can mend it", async (_, parts, why) => {
  const pair = await following();
  const { stream, source, loads } = pair;
  stream.send(update(6, parts));
  const ack = await stream.applied(6);
  expect(ack.error).toMatch(why);
  expect(ack.problems.length).toBeGreaterThan(0);
  expect(source.status()).toMatchObject({ version: 1, revision: 5, lastError: { kind: "invalid" } });
  expect(targetOf(pair, "pr-7")).toBe("pr-7");
  stream.send(
    update(7, eight, {
      removedServices: ["a b", "a", "__proto__"],
      removedSandboxes: ["x", "constructor"],
      removedGroups: ["g"],
    }),
  );
  expect(await stream.applied(7)).toMatchObject({ error: "" });
  expect(targetOf(pair, "pr-8")).toBe("pr-8");
  expect(source.status().lastError).toBeUndefined();
  expect(loads).toEqual(["applied", "rejected", "applied"]);
});

test("what was refused is told again by the next stream, since the hello says what is in use", async () => {
  const { stream, server } = await following();
  stream.send(update(6, { services: { "a b": {} } }));
  await stream.applied(6);
  stream.end();
  expect((await server.stream(1)).hello).toMatchObject({ source: "history-1", revision: 5 });
});

test.each<[string, (stream: FollowingSidecar) => void]>([
  ["bytes that are no message", (stream) => stream.sayBytes(Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]))],
  ["a message that is cut off", (stream) => stream.sayBytes(Buffer.from([0x0a, 0x20, 0x0a]))],
  ["a change of another history", (stream) => stream.send(update(6, eight, { source: "history-2" }))],
  ["a revision that goes backwards", (stream) => stream.send(update(4, eight))],
  ["an update without a source", (stream) => stream.send(update(6, eight, { source: "" }))],
  [
    "a revision before the one before is complete",
    (stream) => stream.send(update(6, eight, { last: false }), update(7, {})),
  ],
  [
    "more than fits",
    (stream) =>
      stream.send(
        whole(6, {
          services: Object.fromEntries(
            Array.from({ length: 40_000 }, (_, i) => [`service-${i}-with-a-name-that-is-long`, {}]),
          ),
        }),
      ),
  ],
])("%s: the stream is begun anew and the table stays", async (_, say) => {
  const pair = await following();
  say(pair.stream);
  const next = await pair.server.stream(1);
  expect(next.hello).toMatchObject({ instance: "instance-1", source: "history-1", revision: 5 });
  await next.applied(5);
  expect([targetOf(pair, "pr-7"), targetOf(pair, "pr-8")]).toEqual(["pr-7", undefined]);
  expect(pair.source.status()).toMatchObject({ version: 1, feed: { connected: true } });
});

test("a whole table of an older revision is taken: the store was restored from a backup", async () => {
  const pair = await following();
  pair.stream.send(whole(4, eight));
  await pair.stream.applied(4);
  expect([targetOf(pair, "pr-7"), targetOf(pair, "pr-8")]).toEqual([undefined, "pr-8"]);
});

test("updates that are refused on arrival are acknowledged with an error", async () => {
  const { stream } = await following();
  stream.send(update(4, eight));
  expect((await stream.applied(4)).error).toBe("revision 4 is older than 5, which is here already");
});

test("fields and messages of a later version are passed over", async () => {
  const { stream } = await following();
  stream.sayBytes(Buffer.from([0xfa, 0x07, 0x02, 0x08, 0x01])); // field 127, a message
  stream.sayBytes(Buffer.alloc(0));
  stream.send(update(6, eight));
  expect(await stream.applied(6)).toMatchObject({ error: "" });
});

test("another history begins with a whole table, whatever its revision", async () => {
  const pair = await following();
  pair.stream.send(whole(1, eight, { source: "history-2" }));
  await pair.stream.applied(1);
  expect(pair.source.status().revision).toBe(1);
  expect([targetOf(pair, "pr-7"), targetOf(pair, "pr-8")]).toEqual([undefined, "pr-8"]);
});

test("of revisions that arrive while one is loaded only the last is loaded and acknowledged", async () => {
  const gate = Promise.withResolvers<void>();
  const { loadFed } = await import("../../src/table/control/loader.ts");
  const sizes: number[] = [];
  const server = await startFeedServer({ onHello: (sidecar) => sidecar.send(whole(5, SHOP)) });
  const followed = await makeSource({
    control: server.address,
    deps: {
      async loadFed(candidate, signal) {
        sizes.push(candidate.revision);
        await gate.promise;
        return loadFed(candidate, signal);
      },
    },
  });
  const first = followed.source.start();
  const stream = await server.stream(0);
  for (let revision = 6; revision <= 105; revision++) {
    stream.send(update(revision, { sandboxes: { [`pr-${revision}`]: { services: { checkout: ["10.0.0.7:8080"] } } } }));
  }
  stream.say({
    kind: "question",
    id: 1,
    withinMs: 1000,
    question: { kind: "journal", journal: { trace: "", key: "", limit: 1 } },
  });
  await stream.until(() => stream.answers.has(1)); // so all of them have arrived
  gate.resolve();
  await first;
  await stream.applied(105);
  expect(sizes).toEqual([5, 105]);
  expect(stream.acks.map(({ revision }) => revision)).toEqual([5, 105]);
  expect(followed.cell.current.counts.sandboxes).toBe(100); // pr-7 is one of them
});

test("a large table is compiled by a process of its own, to the same result", async () => {
  const sandboxes = Object.fromEntries(
    Array.from({ length: 1000 }, (_, index) => [`pr-${index}`, { services: { checkout: [`10.0.0.7:${index + 1}`] } }]),
  );
  const server = await startFeedServer({
    onHello: (sidecar) => sidecar.send(whole(5, { services: { checkout: {} }, sandboxes })),
  });
  const followed = await startSource({ control: server.address });
  expect(targetOf(followed, "pr-999")).toBe("pr-999");
  const stream = await server.stream(0);
  stream.send(update(6, { services: { "a b": {} } }));
  expect((await stream.applied(6)).error).toMatch(/not a service name/u);
  stream.send(update(7, {}, { removedServices: ["a b"], removedSandboxes: ["pr-0"] }));
  expect(await stream.applied(7)).toMatchObject({ error: "" });
  expect([targetOf(followed, "pr-0"), targetOf(followed, "pr-1")]).toEqual([undefined, "pr-1"]);
});

test("with a narrow scope, services of which only the name is known claim no host", async () => {
  const server = await startFeedServer({
    onHello: (sidecar) => sidecar.send(whole(5, { services: { checkout: { hosts: ["shop"] }, shop: {} } })),
  });
  const scope = { services: ["checkout"], names: true };
  const { cell } = await startSource({ control: server.address, scope });
  const host = Buffer.from("shop");
  expect(cell.current.serviceName(cell.current.findService(host, 0, host.length))).toBe("checkout");
  expect(cell.current.serviceByName("shop")).not.toBe(-1);
});
