// `GET /owner/stream` over real sockets: what readers are told, and what becomes of those that do not read.
import { text } from "node:stream/consumers";
import { beforeEach, describe, expect, test } from "vitest";
import { ask, openStream } from "../../test/support/event-source.ts";
import type { EventSource } from "../../test/support/event-source.ts";
import { get, imageOf, OwnershipPorts, twoSandboxes } from "../../test/support/ownership-port.ts";
import { memoryGrowth } from "../../test/support/quiet.ts";
import type { TableImage } from "../routing/compiled-table.ts";
import type { OwnershipServer } from "./ownership-server.ts";

let ports: OwnershipPorts;
beforeEach(() => {
  ports = new OwnershipPorts();
});

/** A table in which so many sandboxes have checkout; its rule has about 1 MB. */
function sandboxes(count: number): TableImage {
  return imageOf({
    services: { checkout: {} },
    sandboxes: Object.fromEntries(
      Array.from({ length: count }, (_, i) => [
        `sandbox-with-a-rather-long-name-${i}`,
        { services: { checkout: ["10.0.0.1:80"] } },
      ]),
    ),
  });
}

const [large, larger] = [sandboxes(20_000), sandboxes(20_001)];

describe("GET /owner/stream", () => {
  const at = (server: OwnershipServer, query = ""): string => `http://${server.address}/owner/stream${query}`;

  test("the rule comes first, then its changes; a table that changes nothing is told by its version", async () => {
    ports.publish(twoSandboxes);
    const baseline = await openStream(at(await ports.open()));
    expect(baseline.response.headers["content-type"]).toBe("text/event-stream");
    expect(baseline.response.headers["content-length"]).toBeUndefined();
    expect(baseline.response.headers.connection).toBe("close");
    const sandbox = await openStream(at(await ports.open({ sandbox: "pr-7" })));
    const common = { service: "checkout", table: { version: 1, digest: "digest-1" } };
    expect(await baseline.next()).toEqual({
      event: "rule",
      data: { ...common, mode: "all-except", instance: "baseline", keys: ["pr-7", "release-42"] },
    });
    expect(await sandbox.next()).toEqual({
      event: "rule",
      data: { ...common, mode: "only", instance: "pr-7", keys: ["pr-7", "release-42"] },
    });

    // Another sandbox, of another service.
    ports.publish({
      ...twoSandboxes,
      sandboxes: { ...twoSandboxes.sandboxes, "pr-10": { services: { payments: ["10.0.0.10:80"] } } },
    });
    const told = { event: "table", data: { version: 2, digest: "digest-2" } };
    expect(await baseline.next()).toEqual(told);
    expect(await sandbox.next()).toEqual(told);

    // Another sandbox, of this service: none of pr-7's business.
    ports.publish({
      ...twoSandboxes,
      sandboxes: { ...twoSandboxes.sandboxes, "pr-11": { services: { checkout: ["10.0.0.11:80"] } } },
    });
    expect(await baseline.next()).toMatchObject({ event: "rule", data: { keys: ["pr-7", "pr-11", "release-42"] } });
    expect(await sandbox.next()).toEqual({ event: "table", data: { version: 3, digest: "digest-3" } });

    // The sandbox is gone: the baseline takes over, the sandbox has nothing any more.
    ports.publish({ services: { checkout: {} } });
    expect(await baseline.next()).toMatchObject({ event: "rule", data: { keys: [], table: { version: 4 } } });
    expect(await sandbox.next()).toMatchObject({ event: "rule", data: { mode: "only", keys: [] } });
    ports.publish(twoSandboxes);
    expect(await baseline.next()).toMatchObject({ event: "rule", data: { keys: ["pr-7", "release-42"] } });
    expect(await sandbox.next()).toMatchObject({ event: "rule", data: { keys: ["pr-7", "release-42"] } });
  });

  test("of another service; of one context", async () => {
    ports.publish(twoSandboxes);
    const server = await ports.open();
    const payments = await openStream(at(server, "?service=payments"));
    expect((await payments.next()).data).toMatchObject({ service: "payments", keys: ["pr-9", "release-42"] });
    const one = await openStream(at(server, "?baggage=sidelane%3Dpr-7"));
    expect(await one.next()).toEqual({
      event: "owner",
      data: {
        handle: false,
        owner: "pr-7",
        service: "checkout",
        key: "pr-7",
        reason: "sandbox",
        because: "sandbox pr-7 has checkout; this instance is the baseline's",
        table: { version: 1, digest: "digest-1" },
      },
    });
    // A context without a key is one, too.
    const none = await openStream(at(server, "?baggage="));
    expect(await none.next()).toMatchObject({ event: "owner", data: { handle: true, reason: "no-key" } });

    ports.publish({ services: { checkout: {}, payments: {} } });
    expect(await one.next()).toMatchObject({ event: "owner", data: { handle: true, reason: "unknown-key" } });
    expect(await none.next()).toEqual({ event: "table", data: { version: 2, digest: "digest-2" } });
    expect(await payments.next()).toMatchObject({ event: "rule", data: { keys: [] } });
  });

  test("waits for the first table, and never sends less than the state to whoever comes back", async () => {
    const server = await ports.open();
    const first = await openStream(at(server));
    const one = await openStream(at(server, "?baggage=sidelane%3Dpr-7"));
    ports.publish(twoSandboxes);
    expect(await first.next()).toMatchObject({ event: "rule", data: { table: { version: 1 } } });
    expect(await one.next()).toMatchObject({ event: "owner", data: { table: { version: 1 } } });
    const again = await openStream(at(server), { "last-event-id": "1 nonsense" });
    expect(await again.next()).toMatchObject({ event: "rule", data: { keys: ["pr-7", "release-42"] } });
  });

  test("HEAD and misspelt questions open none", async () => {
    ports.publish(twoSandboxes);
    const server = await ports.open({ streamsMax: 1 });
    const head = await ask(at(server), {}, "HEAD");
    expect(head.statusCode).toBe(200);
    expect(await text(head)).toBe("");
    expect((await get(server, "/owner/stream", { servce: "x" })).status).toBe(400);
    expect((await get(server, "/owner/stream", { service: "-" })).status).toBe(400);
    expect((await (await openStream(at(server))).next()).event).toBe("rule");
  });

  test("no more than limits.ownerStreamsMax at a time", async () => {
    ports.publish(twoSandboxes);
    const server = await ports.open({ streamsMax: 2 });
    const first = await openStream(at(server));
    await first.next();
    await (await openStream(at(server, "?service=payments"))).next();
    const refused = await get(server, "/owner/stream");
    expect(refused.status).toBe(503);
    expect(refused.json["detail"]).toMatch(/2 streams are open, which is limits\.ownerStreamsMax/);
    expect((await get(server, "/owner")).status).toBe(200);
    first.response.destroy();
    const free = async (): Promise<EventSource> => openStream(at(server)).catch(() => free());
    expect(await (await free()).next()).toMatchObject({ event: "rule" });
  });

  test("shows signs of life", async () => {
    ports.publish(twoSandboxes);
    const stream = await openStream(at(await ports.open({ beatMs: 5 })));
    await stream.commented(3);
    expect(await stream.next()).toMatchObject({ event: "rule" });
    expect(ports.logged).toEqual([]);
  });

  test("a reader that keeps up gets large rules whole, in order, newest last", async () => {
    ports.publishImage(large);
    const stream = await openStream(at(await ports.open()));
    let version = 0;
    while (version < 30) {
      const { event, data } = await stream.next();
      const table = (event === "table" ? data : data["table"]) as { version: number };
      expect(table.version).toBeGreaterThan(version);
      ({ version } = table);
      if (event === "rule") expect(data["keys"]).toHaveLength(version % 2 === 0 ? 20_001 : 20_000);
      // Several at once: those in between may be skipped, the last may not.
      while (ports.version < 30 && ports.version - version < 3) {
        ports.publishImage(ports.version % 2 === 0 ? large : larger);
      }
    }
    expect(ports.logged).toEqual([]);
  });

  test("for a reader that does not read, nothing piles up", async () => {
    ports.publishImage(large);
    const server = await ports.open();
    const idle = await Promise.all(Array.from({ length: 4 }, () => ask(at(server))));
    const good = await openStream(at(server));
    const grownBytes = memoryGrowth();
    while (ports.version < 40) {
      await good.next();
      ports.publishImage(ports.version % 2 === 0 ? large : larger);
    }
    // Forty rules of a megabyte each, of which one reader holds two at most, shared or not.
    expect(grownBytes()).toBeLessThan(20 * 1024 * 1024);
    for (const one of idle) one.destroy();
  });

  test("a reader that does not read is dropped, and others are not held up", async () => {
    ports.publishImage(large);
    const server = await ports.open({ beatMs: 1000 });
    const idle = await ask(at(server));
    const closed = new Promise((resolve) => idle.on("close", resolve));
    idle.on("error", () => {});
    const good = await openStream(at(server));
    // The sockets' own buffers fill first.
    while (ports.logged.length === 0) {
      await good.next();
      ports.publishImage(ports.version % 2 === 0 ? large : larger);
    }
    expect(ports.logged).toEqual(["an ownership stream is dropped, its reader does not keep up"]);
    idle.resume();
    await closed;
    ports.publish({ services: { checkout: {} } });
    const { version } = ports;
    for (;;) {
      const { data } = await good.next();
      if (JSON.stringify(data["keys"]) === "[]") break;
      expect((data["table"] as { version: number }).version).toBeLessThan(version);
    }
  });

  test("a drain tells every reader, ends the streams in good order and begins none; questions are answered on", async () => {
    ports.publish(twoSandboxes);
    const server = await ports.open();
    const rule = await openStream(at(server));
    const one = await openStream(at(server, "?baggage=sidelane%3Dpr-7"));
    await Promise.all([rule.next(), one.next()]);
    server.drain();
    for (const stream of [rule, one]) {
      expect(await stream.end()).toEqual({ how: "end", events: [{ event: "draining", data: { draining: true } }] });
    }
    const refused = await get(server, "/owner/stream");
    expect(refused.status).toBe(503);
    expect(refused.json["detail"]).toMatch(/shutting down/);
    expect((await get(server, "/owner")).status).toBe(200);
    ports.publish({ services: {} });
    expect((await get(server, "/owner", { baggage: "sidelane=pr-7" })).json).toMatchObject({ handle: true });
    await server.close();
    await expect(get(server, "/owner")).rejects.toThrow(/fetch failed/);
  });

  test("close alone ends streams as well, those without a table and those of nobody included", async () => {
    const server = await ports.open();
    const waiting = await openStream(at(server));
    const gone = await openStream(at(server));
    gone.response.destroy();
    await server.close();
    expect(await waiting.end()).toMatchObject({ how: "end", events: [{ event: "draining" }] });
  });
});
