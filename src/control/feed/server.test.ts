import { afterEach, describe, expect, test } from "vitest";
import { status } from "@grpc/grpc-js";
import { encodeFromControl } from "../../feed/codec.ts";
import { scoped, ScopeView } from "../../feed/scope.ts";
import type { FeedParts } from "../../feed/convert.ts";
import type { Scope } from "../../feed/messages.ts";
import { groupResource, sandboxResource, serviceResource } from "../fixture.ts";
import { TestControl, aHello, everything, startSilent } from "./fixture.ts";

let control: TestControl;
afterEach(() => control.close());

const shop = [
  serviceResource("checkout", { baseline: ["checkout:80"] }),
  serviceResource("ledger", { hosts: ["ledger.shop"] }),
  sandboxResource("pr-7", { services: { checkout: ["10.0.0.7:80"] } }),
  sandboxResource("pr-8", { services: { ledger: ["10.0.0.8:80"] } }),
  groupResource("both", { sandboxes: ["pr-7", "pr-8"] }),
];
const checkoutOnly: Scope = { services: ["checkout"], names: false };

async function start(options: Parameters<typeof TestControl.start>[0] = {}): Promise<TestControl> {
  control = await TestControl.start(options);
  control.commit(shop); // revision 2
  return control;
}

function seen(scope: Scope): FeedParts {
  const { services, sandboxes, groups } = scoped(new ScopeView(scope), control.state.table);
  return { services, sandboxes, groups };
}

function addSandbox(name: string, service: string): number {
  return control.commit([sandboxResource(name, { services: { [service]: ["10.0.1.1:80"] } })]);
}

const longNames = Array.from({ length: 1100 }, (_, n) => `${n}`.padStart(250, "s"));

describe("a sidecar that follows", () => {
  test("begins with the whole table, and is told each change", async () => {
    await start();
    const sidecar = control.follow();
    await sidecar.untilRevision(2);
    expect(sidecar.updates.map(({ whole, last, source }) => ({ whole, last, source }))).toEqual([
      { whole: true, last: true, source: "test" },
    ]);
    expect(sidecar.parts).toEqual(seen(everything));

    const revision = addSandbox("pr-9", "checkout");
    await sidecar.untilRevision(revision);
    expect(sidecar.updates).toHaveLength(2);
    expect(sidecar.updates[1]).toMatchObject({ whole: false, revision, services: [], groups: [] });
    expect(sidecar.parts).toEqual(seen(everything));
    control.commit([], [{ kind: "sandbox", name: "pr-7" }]);
    await sidecar.untilRevision(revision + 1);
    expect(sidecar.updates[2]).toMatchObject({ removedSandboxes: ["pr-7"] });
    expect(sidecar.parts).toEqual(seen(everything));
  });

  test("gets what it asks for, and nothing for what it does not see", async () => {
    await start();
    const sidecar = control.follow({ scope: checkoutOnly });
    await sidecar.untilRevision(2);
    expect([...sidecar.sandboxes.keys()]).toEqual(["pr-7"]);
    expect(sidecar.groups.get("both")?.sandboxes).toEqual(["pr-7"]);

    addSandbox("pr-9", "ledger");
    const revision = addSandbox("pr-10", "checkout");
    await sidecar.untilRevision(revision);
    expect(sidecar.updates).toHaveLength(2);
    expect(sidecar.parts).toEqual(seen(checkoutOnly));
  });

  test("gets whole tables in parts that end with `last`", async () => {
    await start();
    const services = {
      checkout: Array.from({ length: 40 }, (_, at) => `a-rather-long-name-of-a-host-${at}.example:80`),
    };
    control.commit(Array.from({ length: 400 }, (_, at) => sandboxResource(`many-${at}`, { services })));
    const sidecar = control.follow();
    await sidecar.untilRevision(3);
    expect(sidecar.updates.length).toBeGreaterThan(2);
    const sizes = sidecar.updates.map((update) => encodeFromControl({ kind: "update", update }).length);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(256 * 1024);
    expect(sidecar.updates.map(({ last }) => last)).toEqual(sidecar.updates.map((_, at) => at === sizes.length - 1));
    expect(sidecar.parts).toEqual(seen(everything));
  });

  test("is sent one change for several that come while it handles one", async () => {
    await start();
    const sidecar = control.follow({}, { acks: false });
    await sidecar.untilRevision(2);
    for (let at = 0; at < 20; at++) addSandbox(`pr-1${at}`, "checkout");
    sidecar.send({ kind: "applied", applied: { revision: 2, error: "", problems: [] } });
    await sidecar.untilRevision(22);
    expect(sidecar.updates).toHaveLength(2);
    expect(sidecar.parts).toEqual(seen(everything));
  });

  test("that does not acknowledge is told the next change all the same", async () => {
    await start({ times: { appliedMs: 10 } });
    const sidecar = control.follow({}, { acks: false });
    await sidecar.untilRevision(2);
    await sidecar.untilRevision(addSandbox("pr-9", "checkout"));
    expect(sidecar.parts).toEqual(seen(everything));
  });

  test("learns the revision now and then, when nothing changes for it", async () => {
    await start({ times: { revisionMs: 20 } });
    const sidecar = control.follow({ scope: checkoutOnly });
    await sidecar.untilRevision(2);
    const revision = addSandbox("pr-9", "ledger");
    await sidecar.untilRevision(revision);
    expect(sidecar.updates[1]).toMatchObject({
      whole: false,
      last: true,
      revision,
      sandboxes: [],
      removedSandboxes: [],
    });
  });
});

describe("a sidecar that comes again", () => {
  test("goes on from its revision, with one change", async () => {
    await start();
    const before = control.follow();
    await before.untilRevision(2);
    before.close();
    addSandbox("pr-9", "checkout");
    addSandbox("pr-10", "checkout");

    const again = control.follow({ source: "test", revision: 2 });
    again.restore(before.parts);
    await again.untilRevision(4);
    expect(again.updates.map(({ whole }) => whole)).toEqual([false]);
    expect(again.parts).toEqual(seen(everything));
    expect(control.server.stats.resumed).toBe(1);
  });

  test("hears that it may go on when nothing has changed", async () => {
    await start();
    const again = control.follow({ source: "test", revision: 2 });
    await again.until(() => again.updates.length === 1);
    expect(again.updates[0]).toMatchObject({ whole: false, last: true, revision: 2, services: [], sandboxes: [] });
  });

  test.each([
    ["of another source", { source: "other", revision: 2 }],
    ["that is not known any more", { source: "test", revision: 1 }],
    ["that this replica never hears of", { source: "test", revision: 2 ** 40 }],
  ])("with a revision %s gets the whole table", async (_, hello) => {
    await start({ history: { revisionsMax: 1, bytesMax: 1e6 }, times: { aheadMs: 10 } });
    addSandbox("pr-9", "checkout");
    const sidecar = control.follow(hello);
    await sidecar.until(() => sidecar.sandboxes.size === 3);
    expect(sidecar.updates.map(({ whole }) => whole)).toEqual([true]);
    expect(sidecar.parts).toEqual(seen(everything));
  });

  test("goes on when it knows more than this replica, as soon as that has caught up", async () => {
    await start();
    const sidecar = control.follow({ source: "test", revision: 4 });
    await control.until(() => control.sidecars.list().length === 1);
    addSandbox("pr-9", "checkout");
    addSandbox("pr-10", "checkout");
    await sidecar.untilRevision(addSandbox("pr-11", "checkout"));
    expect(sidecar.updates).toMatchObject([{ whole: false, sandboxes: [{ name: "pr-11" }] }]);
  });
});

describe("when the store has lost its connection", () => {
  const resources = [...shop, sandboxResource("pr-9", { services: { checkout: ["10.0.0.9:80"] } })];

  test("sidecars get what has changed meanwhile", async () => {
    await start();
    const sidecar = control.follow();
    await sidecar.untilRevision(2);
    control.state.reset({ revision: 9, resources });
    await sidecar.untilRevision(9);
    expect(sidecar.updates[1]).toMatchObject({ whole: false, services: [], sandboxes: [{ name: "pr-9" }] });
    expect(sidecar.parts).toEqual(seen(everything));
    const between = control.follow({ source: "test", revision: 5 });
    await between.untilRevision(9);
    expect(between.updates.map(({ whole }) => whole)).toEqual([true]);
  });

  test("they get the whole table when it is of another history", async () => {
    await start();
    const sidecar = control.follow();
    await sidecar.untilRevision(2);
    await control.until(() => control.sidecars.list()[0]?.appliedRevision === 2);
    control.source = "new";
    control.state.reset({ revision: 1, resources });
    const [info] = control.sidecars.list();
    expect(info && control.sidecars.isCurrent(info, 1)).toBe(false);
    await sidecar.until(() => sidecar.source === "new");
    expect(sidecar.parts).toEqual(seen(everything));
    expect(sidecar.updates.at(-1)).toMatchObject({ whole: true, revision: 1 });
  });
});

describe("a peer that", () => {
  test("sends no hello is let go", async () => {
    await start({ times: { helloMs: 20 } });
    const sidecar = control.connect();
    expect(await sidecar.untilEnded()).toMatchObject({ code: status.DEADLINE_EXCEEDED });
  });

  test.each([
    ["something else first", { kind: "applied", applied: { revision: 1, error: "", problems: [] } } as const],
    ["nothing that is known", { kind: "unknown" } as const],
  ])("says %s is refused", async (_, message) => {
    await start();
    const sidecar = control.connect();
    sidecar.send(message);
    expect(await sidecar.untilEnded()).toEqual({
      code: status.INVALID_ARGUMENT,
      details: "the first message of a stream has to be a hello",
    });
  });

  test.each([
    ["an empty instance", { instance: "" }, "hello.instance"],
    ["an empty service", { service: "" }, "hello.service"],
    ["a control character", { host: "a\u0007b" }, "hello.host"],
    ["a long name", { version: "1".repeat(300) }, "hello.version"],
    ["an empty name in the scope", { scope: { services: [""], names: false } }, "hello.scope.services"],
    ["too many services", { scope: { services: Array.from({ length: 10_001 }, String), names: false } }, "10001"],
    ["a scope that is too long", { scope: { services: longNames, names: false } }, "longer than 262144 characters"],
  ])("says hello with %s is told what is wrong", async (_, hello, what) => {
    await start();
    const ended = await control.follow(hello).untilEnded();
    expect(ended.code).toBe(status.INVALID_ARGUMENT);
    expect(ended.details).toContain(what);
    expect(control.sidecars.list()).toEqual([]);
  });

  test("says hello twice is refused", async () => {
    await start();
    const sidecar = control.follow();
    sidecar.hello();
    expect(await sidecar.untilEnded()).toMatchObject({ code: status.INVALID_ARGUMENT });
  });

  test("sends garbage loses its stream, and nobody else does", async () => {
    await start();
    const other = control.follow();
    const hostile = control.follow();
    await Promise.all([other.untilRevision(2), hostile.untilRevision(2)]);
    hostile.stream.write(Buffer.from("ffffffffffffffffffff01", "hex"));
    expect(await hostile.untilEnded()).toEqual({
      code: status.INVALID_ARGUMENT,
      details: "not a FromSidecar message of sidelane.feed.v1",
    });
    await other.untilRevision(addSandbox("pr-9", "checkout"));
  });

  test("floods loses its stream", async () => {
    await start();
    const sidecar = control.follow();
    for (let at = 0; at < 1500; at++) sidecar.send({ kind: "activity", activity: { used: [], busy: [] } });
    expect(await sidecar.untilEnded()).toMatchObject({ code: status.RESOURCE_EXHAUSTED });
  });

  test("is one too many is told to come again", async () => {
    await start({ streamsMax: 1 });
    const first = control.follow();
    await first.untilRevision(2);
    expect(await control.follow().untilEnded()).toMatchObject({ code: status.UNAVAILABLE });
  });

  test("does not read is ended, and does not hold up others", async () => {
    await start({ times: { slowMs: 300, endMs: 50 } });
    const services = {
      checkout: Array.from({ length: 40 }, (_, at) => `a-rather-long-name-of-a-host-${at}.example:80`),
    };
    control.commit(Array.from({ length: 2000 }, (_, at) => sandboxResource(`many-${at}`, { services })));
    const end = startSilent(control.server.address, aHello);
    const other = control.follow();
    await other.untilRevision(3);
    for (let at = 0; at < 5; at++) await other.untilRevision(addSandbox(`pr-1${at}`, "checkout"));
    await control.until(() => control.server.stats.ends.slow === 1 && control.server.stats.streams === 1);
    expect(other.ended).toBeUndefined();
    expect(control.sidecars.find("silent")?.connected).toBe(false);
    end();
  });
});

describe("when the server closes", () => {
  test("each sidecar is brought up to date, and asked to come again later", async () => {
    await start();
    const sidecars = Array.from({ length: 20 }, () => control.follow({ scope: checkoutOnly }));
    await Promise.all(sidecars.map((one) => one.untilRevision(2)));
    const revision = addSandbox("pr-9", "ledger");
    await control.server.close();
    await Promise.all(sidecars.map((one) => one.untilEnded()));
    for (const { messages, revision: has } of sidecars) {
      expect(has).toBe(revision);
      expect(messages.at(-1)).toMatchObject({ kind: "reconnect" });
    }
    const times = sidecars.map(({ messages }) =>
      messages.flatMap((one) => (one.kind === "reconnect" ? [one.afterMs] : [])),
    );
    expect(new Set(times.flat()).size).toBeGreaterThan(5);
    expect(control.server.stats.ends.shutdown).toBe(20);
  });

  test("it waits for nobody who does not read", async () => {
    await start({ drainMs: 50 });
    const services = {
      checkout: Array.from({ length: 40 }, (_, at) => `a-rather-long-name-of-a-host-${at}.example:80`),
    };
    control.commit(Array.from({ length: 2000 }, (_, at) => sandboxResource(`many-${at}`, { services })));
    const end = startSilent(control.server.address, aHello);
    await control.until(() => control.server.stats.wholeTables === 1);
    await control.server.close();
    expect(control.server.stats.ends.shutdown).toBe(1);
    end();
  });
});

test("an address that is taken is named", async () => {
  await start();
  const { address } = control.server;
  await expect(TestControl.start({ config: { address } })).rejects.toThrow(
    `cannot listen on feed.address ${address}: another process has it; choose another in feed.address`,
  );
});
