// Questions to the port for the app, over real sockets.
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { ask } from "../../test/support/event-source.ts";
import { get, OwnershipPorts, post, twoSandboxes } from "../../test/support/ownership-port.ts";
import { carrierOf } from "../routing/carrier.ts";
import type { Carrier } from "../routing/carrier.ts";

let ports: OwnershipPorts;
beforeEach(() => {
  ports = new OwnershipPorts();
});

describe("GET /owner", () => {
  test("says whether this instance handles the message, whose it is, and why", async () => {
    ports.publish(twoSandboxes);
    const baseline = await ports.open();
    const sandbox = await ports.open({ sandbox: "pr-7" });
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
      "the table has no service mail, so that the baseline owns everything: check the spelling",
    ],
    [
      { service: "mail" },
      "baseline",
      null,
      "no-key",
      "the table has no service mail, so that the baseline owns everything: check the spelling",
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
    ports.publish(twoSandboxes);
    const got = await get(await ports.open(), "/owner", query);
    expect(got.json).toMatchObject({ handle: owner === "baseline", owner, key, reason });
    expect(got.json["because"]).toBe(`${why}; this instance is the baseline's`);
  });

  test("reads the carriers of the config in their order, and those of requests alone not at all", async () => {
    ports.publish({
      ...twoSandboxes,
      sandboxes: { ...twoSandboxes.sandboxes, "a.b": { services: { checkout: ["10.0.0.1:80"] } } },
    });
    const carriers: readonly Carrier[] = [
      carrierOf("host", "{key}--*"),
      carrierOf("query", "sidelane"),
      carrierOf("header", "x-sandbox"),
      carrierOf("tracestate", "sidelane"),
      carrierOf("cookie", "sidelane"),
      carrierOf("header", "x-virtual-env", { levels: true }),
    ];
    const server = await ports.open({ carriers });
    const ownerOf = async (...query: [string, string][]) => (await get(server, "/owner", query)).json["key"];
    expect(await ownerOf(["tracestate", "a=b,sidelane=pr-7"], ["header", "X-Sandbox:  pr-9\t"])).toBe("pr-9");
    expect(await ownerOf(["tracestate", "a=b,sidelane=pr-7"])).toBe("pr-7");
    expect(await ownerOf(["header", "cookie: a=b; sidelane=pr-9"])).toBe("pr-9");
    expect(await ownerOf(["header", "x-virtual-env: a.b.c"])).toBe("a.b");
    expect(await ownerOf(["baggage", "sidelane=pr-7"], ["header", "host: pr-7--checkout"])).toBeNull();
  });

  test("what makes no sense is a problem that says what does", async () => {
    ports.publish(twoSandboxes);
    const server = await ports.open();
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
    const server = await ports.open();
    for (const got of [await get(server, "/owner"), await post(server, { messages: [] })]) {
      expect(got.status).toBe(503);
      expect(got.headers.get("retry-after")).toBe("1");
      expect(got.json["detail"]).toBe("no routing table has been loaded; ask again");
    }
  });

  test("every answer names the table that decided it, also after one was taken back", async () => {
    ports.publish(twoSandboxes);
    const server = await ports.open();
    const owner = async () => (await get(server, "/owner", { baggage: "sidelane=pr-7" })).json;
    expect(await owner()).toMatchObject({ owner: "pr-7", table: { version: 1, digest: "digest-1" } });
    ports.publish({ services: { checkout: {} } });
    expect(await owner()).toMatchObject({ owner: "baseline", reason: "unknown-key", table: { version: 2 } });
    ports.publish(twoSandboxes);
    expect(await owner()).toMatchObject({ owner: "pr-7", table: { version: 3, digest: "digest-3" } });
  });
});

describe("POST /owner", () => {
  test("answers for each message, in order", async () => {
    ports.publish(twoSandboxes);
    const messages = [
      { baggage: "sidelane=pr-7" },
      {},
      { headers: { Baggage: "sidelane=release-42" } },
      { headers: { baggage: ["a=b", "sidelane=pr-9"], "x-other": "y" }, tracestate: "a=b" },
      { baggage: "sidelane=nobody" },
    ];
    const got = await post(await ports.open(), { messages });
    expect(got.status).toBe(200);
    expect(got.json).toEqual({
      table: { version: 1, digest: "digest-1" },
      handle: [false, true, false, true, true],
      owner: ["pr-7", "baseline", "pr-7", "baseline", "baseline"],
    });
    const other = await post(await ports.open({ sandbox: "pr-9" }), { service: "payments", messages });
    expect(other.json["handle"]).toEqual([false, false, true, true, false]);
    expect((await post(await ports.open(), { service: "chekcout", messages })).json).toEqual({
      table: { version: 1, digest: "digest-1" },
      because: "the table has no service chekcout, so that the baseline owns everything: check the spelling",
      handle: [true, true, true, true, true],
      owner: messages.map(() => "baseline"),
    });
    expect((await post(await ports.open(), { messages: [] })).json).toMatchObject({ handle: [], owner: [] });
  });

  test("many messages are decided by one table, although others come meanwhile", async () => {
    ports.publish(twoSandboxes);
    const server = await ports.open({ batchMax: 100_000 });
    const messages = Array.from({ length: 20_000 }, () => ({ baggage: "sidelane=pr-7" }));
    const asked = post(server, { messages });
    const tables = setInterval(() => ports.publish(ports.version % 2 === 0 ? twoSandboxes : { services: {} }), 1);
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
    ports.publish(twoSandboxes);
    const server = await ports.open();
    const got = await post(server, body);
    expect(got.status).toBe(status);
    expect(got.headers.get("content-type")).toBe("application/problem+json");
    expect(got.json["detail"]).toMatch(detail);
    expect((await get(server, "/owner")).status).toBe(200);
  });

  test("a body without end is not read", async () => {
    ports.publish(twoSandboxes);
    const got = await post(await ports.open(), " ".repeat(1024 * 1024 + 1));
    expect(got.status).toBe(413);
    expect(got.json["detail"]).toMatch(/more than 1048576 bytes/);
  });
});

describe("what it shares with the admin server", () => {
  test("unknown paths list the endpoints, wrong methods name the right ones", async () => {
    const server = await ports.open();
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
    ports.publish(twoSandboxes);
    const server = await ports.open();
    const rebound = await ask(`http://${server.address}/owner/stream`, { host: "evil.example" });
    expect(rebound.statusCode).toBe(421);
    rebound.resume();
    const headers = { origin: "https://evil.example" };
    expect((await fetch(`http://${server.address}/owner`, { method: "POST", headers, body: "{}" })).status).toBe(403);
  });

  test("an address that cannot be had names the setting", async () => {
    const { address } = await ports.open();
    await expect(ports.open({ address })).rejects.toThrow(/ownership\.address .* SIDELANE_OWNERSHIP_ADDRESS/);
    await expect(ports.open({ address: "15002" })).rejects.toThrow(/the host is missing/);
  });
});
