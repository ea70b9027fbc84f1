// The port for the app over real sockets, with tables that the test publishes.
import { text } from "node:stream/consumers";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { ask, openStream } from "../../test/support/event-source.ts";
import type { EventSource } from "../../test/support/event-source.ts";
import { memoryGrowth } from "../../test/support/quiet.ts";
import type { Log } from "../base/log.ts";
import { carrierOf } from "../routing/carrier.ts";
import type { Carrier } from "../routing/carrier.ts";
import { compile } from "../routing/compile.ts";
import { CompiledTable } from "../routing/compiled-table.ts";
import type { TableImage } from "../routing/compiled-table.ts";
import { documentOf, seed } from "../routing/fixture.ts";
import { TableCell } from "../routing/table-cell.ts";
import { startOwnership } from "./ownership-server.ts";
import type { OwnershipOptions, OwnershipServer } from "./ownership-server.ts";

const shop = {
  services: { checkout: {}, payments: {} },
  sandboxes: {
    "pr-7": { services: { checkout: ["10.0.0.7:80"] } },
    "pr-9": { services: { payments: ["10.0.0.9:80"] } },
  },
  groups: { "release-42": { sandboxes: ["pr-9", "pr-7"] } },
};

let cell: TableCell;
let logged: string[];
const write = (message: string): void => void logged.push(message);
const log: Log = { debug: write, info: write, warn: write, error: write };

beforeEach(() => {
  cell = new TableCell();
  logged = [];
});

/** Makes a document the next table. */
function publish(document: object): void {
  publishImage(imageOf(document));
}

function publishImage(image: TableImage): void {
  const version = cell.current.version + 1;
  cell.publish(new CompiledTable(image, version, `digest-${version}`));
}

function imageOf(document: object): TableImage {
  return compile(documentOf(document), seed);
}

async function start(options: Partial<OwnershipOptions> = {}): Promise<OwnershipServer> {
  const server = await startOwnership({
    address: "127.0.0.1:0",
    service: "checkout",
    sandbox: undefined,
    carriers: [carrierOf("baggage", "sidelane")],
    cell,
    streamsMax: 8,
    batchMax: 5,
    log,
    ...options,
  });
  onTestFinished(() => server.close());
  return server;
}

interface Got {
  readonly status: number;
  readonly headers: Headers;
  readonly json: Record<string, unknown>;
}

async function get(server: OwnershipServer, path: string, query: Record<string, string> | [string, string][] = {}) {
  const response = await fetch(`http://${server.address}${path}?${new URLSearchParams(query).toString()}`);
  return gotOf(response);
}

async function post(server: OwnershipServer, body: unknown): Promise<Got> {
  const content = typeof body === "string" || body instanceof Buffer ? body : JSON.stringify(body);
  return gotOf(await fetch(`http://${server.address}/owner`, { method: "POST", body: content }));
}

async function gotOf(response: Response): Promise<Got> {
  const json = (await response.json()) as Record<string, unknown>;
  return { status: response.status, headers: response.headers, json };
}

describe("GET /owner", () => {
  test("says whether this instance handles the message, whose it is, and why", async () => {
    publish(shop);
    const baseline = await start();
    const sandbox = await start({ sandbox: "pr-7" });
    const baggage = "user=ada,sidelane=pr-7;require=checkout";
    const got = await get(baseline, "/owner", { baggage });
    expect(got.status).toBe(200);
    expect(got.headers.get("content-type")).toBe("application/json");
    expect(got.headers.get("cache-control")).toBe("no-store");
    expect(got.json).toEqual({
      handle: false,
      owner: "pr-7",
      service: "checkout",
      key: "pr-7",
      reason: "sandbox",
      because: "sandbox pr-7 has checkout; this instance is the baseline's",
      table: { version: 1, digest: "digest-1" },
    });
    const own = await get(sandbox, "/owner", { baggage });
    expect(own.json).toMatchObject({ handle: true, owner: "pr-7" });
    expect(own.json["because"]).toBe("sandbox pr-7 has checkout; this instance is of sandbox pr-7");
  });

  test.each([
    [{}, "baseline", null, "no-key", "the message carries no key"],
    [{ baggage: "" }, "baseline", null, "no-key", "the message carries no key"],
    [{ baggage: "sidelane=pr-77" }, "baseline", "pr-77", "unknown-key", "no sandbox or group has the key pr-77"],
    [{ baggage: "sidelane=pr-9" }, "baseline", "pr-9", "not-in-sandbox", "sandbox pr-9 does not have checkout"],
    [{ baggage: "sidelane=pr-9", service: "payments" }, "pr-9", "pr-9", "sandbox", "sandbox pr-9 has payments"],
    [
      { baggage: "sidelane=pr-9", service: "mail" },
      "baseline",
      "pr-9",
      "not-in-sandbox",
      "the table has no service mail",
    ],
    [
      { baggage: "sidelane=release-42" },
      "pr-7",
      "release-42",
      "sandbox",
      "sandbox pr-7 is the first of group release-42 that has checkout",
    ],
    [{ baggage: "sidelane=pr-1, sidelane = pr%2D7 ; p=1" }, "pr-7", "pr-7", "sandbox", "sandbox pr-7 has checkout"],
    [{ header: "BAGGAGE: sidelane=pr-7" }, "pr-7", "pr-7", "sandbox", "sandbox pr-7 has checkout"],
    [{ tracestate: "sidelane=pr-7" }, "baseline", null, "no-key", "the message carries no key"],
  ])("%o: %s", async (query: Record<string, string>, owner, key, reason, why) => {
    publish(shop);
    const got = await get(await start(), "/owner", query);
    expect(got.json).toMatchObject({ handle: owner === "baseline", owner, key, reason });
    expect(got.json["because"]).toBe(`${why}; this instance is the baseline's`);
  });

  test("reads the carriers of the config in their order, and those of requests alone not at all", async () => {
    publish({ ...shop, sandboxes: { ...shop.sandboxes, "a.b": { services: { checkout: ["10.0.0.1:80"] } } } });
    const carriers: readonly Carrier[] = [
      carrierOf("host", "{key}--*"),
      carrierOf("query", "sidelane"),
      carrierOf("header", "x-sandbox"),
      carrierOf("tracestate", "sidelane"),
      carrierOf("cookie", "sidelane"),
      carrierOf("header", "x-virtual-env", { levels: true }),
    ];
    const server = await start({ carriers });
    const ownerOf = async (...query: [string, string][]) => (await get(server, "/owner", query)).json["key"];
    expect(await ownerOf(["tracestate", "a=b,sidelane=pr-7"], ["header", "X-Sandbox:  pr-9\t"])).toBe("pr-9");
    expect(await ownerOf(["tracestate", "a=b,sidelane=pr-7"])).toBe("pr-7");
    expect(await ownerOf(["header", "cookie: a=b; sidelane=pr-9"])).toBe("pr-9");
    expect(await ownerOf(["header", "x-virtual-env: a.b.c"])).toBe("a.b");
    expect(await ownerOf(["baggage", "sidelane=pr-7"], ["header", "host: pr-7--checkout"])).toBeNull();
  });

  test("what makes no sense is a problem that says what does", async () => {
    publish(shop);
    const server = await start();
    for (const [query, detail] of [
      [{ bagage: "x" }, /no query parameter "bagage"/],
      [{ service: "check out" }, /service: " " cannot be part of a name, write check-out/],
      [{ header: "nonsense" }, /"nonsense" is no header field/],
      [
        [
          ["baggage", "a=b"],
          ["baggage", "c=d"],
        ],
        /may be given once/,
      ],
    ] as [Record<string, string>, RegExp][]) {
      const got = await get(server, "/owner", query);
      expect(got.status).toBe(400);
      expect(got.headers.get("content-type")).toBe("application/problem+json");
      expect(got.json["detail"]).toMatch(detail);
      expect(got.json["parameters"]).toHaveProperty("baggage");
    }
  });

  test("before the first table nobody owns anything", async () => {
    const server = await start();
    for (const got of [await get(server, "/owner"), await post(server, { messages: [] })]) {
      expect(got.status).toBe(503);
      expect(got.headers.get("retry-after")).toBe("1");
      expect(got.json["detail"]).toBe("no routing table has been loaded; ask again");
    }
  });

  test("every answer names the table that decided it, also after one was taken back", async () => {
    publish(shop);
    const server = await start();
    const owner = async () => (await get(server, "/owner", { baggage: "sidelane=pr-7" })).json;
    expect(await owner()).toMatchObject({ owner: "pr-7", table: { version: 1, digest: "digest-1" } });
    publish({ services: { checkout: {} } });
    expect(await owner()).toMatchObject({ owner: "baseline", reason: "unknown-key", table: { version: 2 } });
    publish(shop);
    expect(await owner()).toMatchObject({ owner: "pr-7", table: { version: 3, digest: "digest-3" } });
  });
});

describe("POST /owner", () => {
  test("answers for each message, in order", async () => {
    publish(shop);
    const messages = [
      { baggage: "sidelane=pr-7" },
      {},
      { headers: { Baggage: "sidelane=release-42" } },
      { headers: { baggage: ["a=b", "sidelane=pr-9"], "x-other": "y" }, tracestate: "a=b" },
      { baggage: "sidelane=nobody" },
    ];
    const got = await post(await start(), { messages });
    expect(got.status).toBe(200);
    expect(got.json).toEqual({
      table: { version: 1, digest: "digest-1" },
      handle: [false, true, false, true, true],
      owner: ["pr-7", "baseline", "pr-7", "baseline", "baseline"],
    });
    const other = await post(await start({ sandbox: "pr-9" }), { service: "payments", messages });
    expect(other.json["handle"]).toEqual([false, false, true, true, false]);
    expect((await post(await start(), { messages: [] })).json).toMatchObject({ handle: [], owner: [] });
  });

  test("many messages are decided by one table, although others come meanwhile", async () => {
    publish(shop);
    const server = await start({ batchMax: 100_000 });
    const messages = Array.from({ length: 20_000 }, () => ({ baggage: "sidelane=pr-7" }));
    const asked = post(server, { messages });
    const tables = setInterval(() => publish(cell.current.version % 2 === 0 ? shop : { services: {} }), 1);
    onTestFinished(() => clearInterval(tables));
    const { json } = await asked;
    expect(new Set(json["owner"] as string[]).size).toBe(1);
    expect(json["owner"]).toHaveLength(20_000);
  });

  test.each([
    ["", 400, /not valid JSON: it is empty/],
    ["{", 400, /not valid JSON/],
    [Buffer.of(0x22, 0xff, 0x22), 400, /not UTF-8/],
    [[], 400, /the body is an array; write \{"messages"/],
    [{}, 400, /messages is missing; write an array/],
    [{ messages: "x" }, 400, /messages is a string; write an array/],
    [{ messages: [], extra: 1 }, 400, /no field "extra" here; there are service and messages/],
    [{ messages: [], service: 7 }, 400, /service is a number/],
    [{ messages: [], service: "" }, 400, /service: a name must not be empty/],
    [{ messages: [{}, null] }, 400, /messages\[1\] is null/],
    [{ messages: [{ baggage: null }] }, 400, /messages\[0\]\.baggage is null; write a string/],
    [{ messages: [{ bagage: "" }] }, 400, /messages\[0\] has no field "bagage"/],
    [{ messages: [{ headers: [] }] }, 400, /messages\[0\]\.headers is an array; write an object/],
    [{ messages: [{ headers: { a: { b: 1 } } }] }, 400, /messages\[0\]\.headers\["a"\] is an object/],
    ['{"messages":[{"__proto__":1}]}', 400, /messages\[0\] has no field "__proto__"/],
    [{ messages: [{}, {}, {}, {}, {}, {}] }, 413, /6 messages are too many at once; send at most 5/],
  ])("%o is refused with %i", async (body, status, detail) => {
    publish(shop);
    const server = await start();
    const got = await post(server, body);
    expect(got.status).toBe(status);
    expect(got.headers.get("content-type")).toBe("application/problem+json");
    expect(got.json["detail"]).toMatch(detail);
    expect((await get(server, "/owner")).status).toBe(200);
  });

  test("a body without end is not read", async () => {
    publish(shop);
    const got = await post(await start(), " ".repeat(1024 * 1024 + 1));
    expect(got.status).toBe(413);
    expect(got.json["detail"]).toMatch(/more than 1048576 bytes/);
  });
});

describe("what it shares with the admin server", () => {
  test("unknown paths list the endpoints, wrong methods name the right ones", async () => {
    const server = await start();
    const lost = await get(server, "/live");
    expect(lost.status).toBe(404);
    const paths = (lost.json["endpoints"] as { method: string; path: string }[]).map(
      ({ method, path }) => `${method} ${path}`,
    );
    expect(paths).toEqual(["GET /", "GET /owner", "POST /owner", "GET /owner/stream"]);
    expect((await get(server, "/")).json).toEqual({ endpoints: lost.json["endpoints"] });
    const wrong = await fetch(`http://${server.address}/owner`, { method: "DELETE" });
    expect(wrong.status).toBe(405);
    expect(wrong.headers.get("allow")).toBe("GET, HEAD, POST");
    const stream = await fetch(`http://${server.address}/owner/stream`, { method: "POST" });
    expect(stream.headers.get("allow")).toBe("GET, HEAD");
  });

  test("web pages reach it no more than the admin server", async () => {
    publish(shop);
    const server = await start();
    const rebound = await ask(`http://${server.address}/owner/stream`, { host: "evil.example" });
    expect(rebound.statusCode).toBe(421);
    rebound.resume();
    const headers = { origin: "https://evil.example" };
    expect((await fetch(`http://${server.address}/owner`, { method: "POST", headers, body: "{}" })).status).toBe(403);
  });

  test("an address that cannot be had names the setting", async () => {
    const { address } = await start();
    await expect(start({ address })).rejects.toThrow(/ownership\.address .* SIDELANE_OWNERSHIP_ADDRESS/);
    await expect(start({ address: "15002" })).rejects.toThrow(/the host is missing/);
  });
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
    publish(shop);
    const baseline = await openStream(at(await start()));
    expect(baseline.response.headers["content-type"]).toBe("text/event-stream");
    expect(baseline.response.headers["content-length"]).toBeUndefined();
    const sandbox = await openStream(at(await start({ sandbox: "pr-7" })));
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
    publish({ ...shop, sandboxes: { ...shop.sandboxes, "pr-10": { services: { payments: ["10.0.0.10:80"] } } } });
    const told = { event: "table", data: { version: 2, digest: "digest-2" } };
    expect(await baseline.next()).toEqual(told);
    expect(await sandbox.next()).toEqual(told);

    // Another sandbox, of this service: none of pr-7's business.
    publish({ ...shop, sandboxes: { ...shop.sandboxes, "pr-11": { services: { checkout: ["10.0.0.11:80"] } } } });
    expect(await baseline.next()).toMatchObject({ event: "rule", data: { keys: ["pr-7", "pr-11", "release-42"] } });
    expect(await sandbox.next()).toEqual({ event: "table", data: { version: 3, digest: "digest-3" } });

    // The sandbox is gone: the baseline takes over, the sandbox has nothing any more.
    publish({ services: { checkout: {} } });
    expect(await baseline.next()).toMatchObject({ event: "rule", data: { keys: [], table: { version: 4 } } });
    expect(await sandbox.next()).toMatchObject({ event: "rule", data: { mode: "only", keys: [] } });
    publish(shop);
    expect(await baseline.next()).toMatchObject({ event: "rule", data: { keys: ["pr-7", "release-42"] } });
    expect(await sandbox.next()).toMatchObject({ event: "rule", data: { keys: ["pr-7", "release-42"] } });
  });

  test("of another service; of one context", async () => {
    publish(shop);
    const server = await start();
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

    publish({ services: { checkout: {}, payments: {} } });
    expect(await one.next()).toMatchObject({ event: "owner", data: { handle: true, reason: "unknown-key" } });
    expect(await none.next()).toEqual({ event: "table", data: { version: 2, digest: "digest-2" } });
    expect(await payments.next()).toMatchObject({ event: "rule", data: { keys: [] } });
  });

  test("waits for the first table, and never sends less than the state to whoever comes back", async () => {
    const server = await start();
    const first = await openStream(at(server));
    const one = await openStream(at(server, "?baggage=sidelane%3Dpr-7"));
    publish(shop);
    expect(await first.next()).toMatchObject({ event: "rule", data: { table: { version: 1 } } });
    expect(await one.next()).toMatchObject({ event: "owner", data: { table: { version: 1 } } });
    const again = await openStream(at(server), { "last-event-id": "1\u0000 nonsense".replace("\u0000", "") });
    expect(await again.next()).toMatchObject({ event: "rule", data: { keys: ["pr-7", "release-42"] } });
  });

  test("HEAD and misspelt questions open none", async () => {
    publish(shop);
    const server = await start({ streamsMax: 1 });
    const head = await ask(at(server), {}, "HEAD");
    expect(head.statusCode).toBe(200);
    expect(await text(head)).toBe("");
    expect((await get(server, "/owner/stream", { servce: "x" })).status).toBe(400);
    expect((await get(server, "/owner/stream", { service: "-" })).status).toBe(400);
    expect((await (await openStream(at(server))).next()).event).toBe("rule");
  });

  test("no more than limits.ownerStreamsMax at a time", async () => {
    publish(shop);
    const server = await start({ streamsMax: 2 });
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
    publish(shop);
    const stream = await openStream(at(await start({ beatMs: 5 })));
    await stream.commented(3);
    expect(await stream.next()).toMatchObject({ event: "rule" });
    expect(logged).toEqual([]);
  });

  test("a reader that keeps up gets large rules whole, in order, newest last", async () => {
    publishImage(large);
    const stream = await openStream(at(await start()));
    let version = 0;
    while (version < 30) {
      const { event, data } = await stream.next();
      const table = (event === "table" ? data : data["table"]) as { version: number };
      expect(table.version).toBeGreaterThan(version);
      ({ version } = table);
      if (event === "rule") expect(data["keys"]).toHaveLength(version % 2 === 0 ? 20_001 : 20_000);
      // Several at once: those in between may be skipped, the last may not.
      while (cell.current.version < 30 && cell.current.version - version < 3) {
        publishImage(cell.current.version % 2 === 0 ? large : larger);
      }
    }
    expect(logged).toEqual([]);
  });

  test("for a reader that does not read, nothing piles up", async () => {
    publishImage(large);
    const server = await start();
    const idle = await Promise.all(Array.from({ length: 4 }, () => ask(at(server))));
    const good = await openStream(at(server));
    const grownBytes = memoryGrowth();
    while (cell.current.version < 40) {
      await good.next();
      publishImage(cell.current.version % 2 === 0 ? large : larger);
    }
    // Forty rules of a megabyte each, of which one reader holds two at most, shared or not.
    expect(grownBytes()).toBeLessThan(20 * 1024 * 1024);
    for (const one of idle) one.destroy();
  });

  test("a reader that does not read is dropped, and others are not held up", async () => {
    publishImage(large);
    const server = await start({ beatMs: 1000 });
    const idle = await ask(at(server));
    const closed = new Promise((resolve) => idle.on("close", resolve));
    idle.on("error", () => {});
    const good = await openStream(at(server));
    // The sockets' own buffers fill first.
    while (logged.length === 0) {
      await good.next();
      publishImage(cell.current.version % 2 === 0 ? large : larger);
    }
    expect(logged).toEqual(["an ownership stream is dropped, its reader does not keep up"]);
    idle.resume();
    await closed;
    publish({ services: { checkout: {} } });
    const { version } = cell.current;
    for (;;) {
      const { data } = await good.next();
      if (JSON.stringify(data["keys"]) === "[]") break;
      expect((data["table"] as { version: number }).version).toBeLessThan(version);
    }
  });

  test("a drain tells every reader, ends the streams in good order and begins none; questions are answered on", async () => {
    publish(shop);
    const server = await start();
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
    publish({ services: {} });
    expect((await get(server, "/owner", { baggage: "sidelane=pr-7" })).json).toMatchObject({ handle: true });
    await server.close();
    await expect(get(server, "/owner")).rejects.toThrow(/fetch failed/);
  });

  test("close alone ends streams as well, those without a table and those of nobody included", async () => {
    const server = await start();
    const waiting = await openStream(at(server));
    const gone = await openStream(at(server));
    gone.response.destroy();
    await server.close();
    expect(await waiting.end()).toMatchObject({ how: "end", events: [{ event: "draining" }] });
  });
});
