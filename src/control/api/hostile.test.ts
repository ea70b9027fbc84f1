// Bodies, names and requests that nobody means well. Whatever comes, there is an answer as the document has it, and the table stays
// valid.

import { connect } from "node:net";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { startWorld } from "../../../test/support/api-world.ts";
import type { ApiWorld } from "../../../test/support/api-world.ts";
import { validate } from "../../routing/validate.ts";

let world: ApiWorld;

beforeEach(async () => {
  world = await startWorld();
  await world.ask("POST", "/v1/services", { body: { name: "checkout" } });
});
afterEach(() => world.close());

describe("bodies", () => {
  test.each([
    ["empty", "", 400],
    ["no JSON", "{", 400],
    ["a list", "[]", 400],
    ["null", "null", 400],
    ["a text", '"x"', 400],
    ["deep", `{"name":"x","labels":${'{"a":'.repeat(5000)}1${"}".repeat(5000)}}`, 400],
    ["deep lists", `{"name":"x","services":${"[".repeat(20_000)}${"]".repeat(20_000)}}`, 400],
    ["__proto__", '{"name":"x","__proto__":{"owner":"me"}}', 400],
    ["__proto__ further in", '{"name":"x","services":{"__proto__":["h:1"]}}', 400],
    ["constructor as a service", '{"name":"x","services":{"constructor":["h:1"]}}', 422],
    ["a name with a slash", '{"name":"../x"}', 422],
    ["a name with NUL", '{"name":"a\\u0000b"}', 422],
    ["a lone surrogate", '{"name":"x","key":"\\ud800"}', 422],
    [
      "thousands of unknown fields",
      JSON.stringify(Object.fromEntries(Array.from({ length: 4000 }, (_, i) => [`f${i}`, 1]))),
      422,
    ],
    [
      "a service thousands of times wrong",
      JSON.stringify({ name: "x", services: { checkout: Array.from({ length: 4000 }, () => 1) } }),
      422,
    ],
    ["a huge number", '{"name":"x","version":1e400}', 201],
  ])("%s", async (_name, body, status) => {
    const got = await world.ask("POST", "/v1/sandboxes", { body });
    expect(got.status, got.body.slice(0, 500)).toBe(status);
    expect(got.body.length).toBeLessThan(8000);
    expect(({} as Record<string, unknown>)["owner"]).toBeUndefined();
  });

  test("too large", async () => {
    const got = await world.ask("POST", "/v1/sandboxes", { body: { name: "x", description: "x".repeat(70_000) } });
    expect(got).toMatchObject({ status: 413, headers: { connection: "close" } });
  });

  test("not UTF-8", async () => {
    const response = await fetch(`http://${world.server.address}/v1/sandboxes`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: Buffer.from([0x7b, 0xff, 0x7d]),
    });
    expect(response.status).toBe(400);
    expect(await response.text()).toContain("not UTF-8");
  });

  test("another content type, as a form of a web page has it", async () => {
    const headers = { "content-type": "text/plain" };
    expect((await world.ask("POST", "/v1/sandboxes", { body: '{"name":"x"}', headers })).status).toBe(415);
    const merge = { "content-type": "application/merge-patch+json" };
    expect((await world.ask("PUT", "/v1/sandboxes/x", { body: "{}", headers: merge })).status).toBe(415);
  });

  test("web pages may not write, wherever they come from", async () => {
    for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
      const got = await world.ask(method, "/v1/services/checkout", { headers: { origin: "http://evil.example" } });
      expect(got.status).toBe(403);
    }
    expect((await world.ask("GET", "/v1/services", { headers: { host: "evil.example" } })).status).toBe(421);
  });
});

describe("paths", () => {
  test.each([
    ["/v1/sandboxes/%2e%2e%2fx", 404],
    ["/v1/sandboxes/%zz", 404],
    ["/v1/sandboxes/a/b/c", 404],
    ["/v1/sandboxes/", 404],
    ["/v1/sandboxes/%00", 404],
    ["/v1/sandboxes/__proto__", 404],
    [`/v1/sandboxes/${"x".repeat(10_000)}`, 404],
    ["/v1/traces/xyz", 400],
    ["/v1/sandboxes/x?all=1", 400],
  ])("GET %s", async (path, status) => {
    const got = await world.ask("GET", path);
    expect(got.status).toBe(status);
    expect(got.body.length).toBeLessThan(25_000);
  });

  test("a method that is not there", async () => {
    expect(await world.ask("DELETE", "/v1/sandboxes")).toMatchObject({
      status: 405,
      headers: { allow: "GET, HEAD, POST" },
    });
    expect((await world.ask("HEAD", "/v1/services/checkout")).status).toBe(200);
  });
});

describe("upgrades", () => {
  const upgrade = (path: string, lines: readonly string[] = []): Promise<string> =>
    new Promise((resolve, reject) => {
      const port = Number(world.server.address.split(":").at(-1));
      const socket = connect(port, "127.0.0.1", () => {
        const head = [`GET ${path} HTTP/1.1`, "Host: localhost", "Connection: Upgrade", ...lines];
        socket.write(`${head.join("\r\n")}\r\n\r\n`);
      });
      let got = "";
      socket.setEncoding("utf8");
      socket.on("data", (chunk: string) => (got += chunk));
      socket.on("error", reject);
      socket.on("close", () => resolve(got));
    });

  test("only where there is a WebSocket; otherwise a request is a request", async () => {
    const h2c = await upgrade("/live", ["Upgrade: h2c", "Connection: close"]);
    expect(h2c).toMatch(/^HTTP\/1\.1 200 /u);
    expect(await upgrade("/v1/services", ["Upgrade: websocket", "Connection: close"])).toMatch(/^HTTP\/1\.1 200 /u);
    // The made-up process hangs up on whoever gets through.
    expect(await upgrade("/v1/connect?sandbox=x", ["Upgrade: WebSocket"])).toBe("");
  });

  test("strangers are refused before anybody has seen them", async () => {
    await world.close();
    world = await startWorld({
      authority: {
        identify: (token) => (token === undefined ? { refused: "no" } : { name: "v", role: "viewer", replica: false }),
      },
    });
    expect(await upgrade("/v1/connect", ["Upgrade: websocket"])).toMatch(
      /^HTTP\/1\.1 401 [^]*www-authenticate: Bearer/u,
    );
    expect(await upgrade("/v1/connect", ["Upgrade: websocket", "Authorization: Bearer x"])).toMatch(
      /^HTTP\/1\.1 403 /u,
    );
    expect(await upgrade("/v1/connect", ["Upgrade: websocket", "Host: evil.example"])).toMatch(/^HTTP\/1\.1 4/u);
  });
});

const json = fc.jsonValue({ maxDepth: 4 });
const field = fc.constantFrom(
  "name",
  "services",
  "labels",
  "key",
  "ttl",
  "match",
  "sandboxes",
  "hosts",
  "ports",
  "baseline",
  "probe",
  "strict",
  "owner",
  "version",
);
const body = fc.oneof(
  fc.dictionary(field, json),
  fc.dictionary(
    field,
    fc.oneof(fc.constantFrom<unknown>({ checkout: ["h:1"] }, ["a"], "a", { a: "b" }, 1, null, true), json),
  ),
);
const target = fc.constantFrom(
  "/v1/services",
  "/v1/sandboxes",
  "/v1/groups",
  "/v1/services/a",
  "/v1/sandboxes/a",
  "/v1/groups/a",
);
const method = fc.constantFrom("POST", "PUT", "PATCH", "DELETE", "GET");

test("whatever is asked for, the answer is one of the document's, and no bug", async () => {
  await fc.assert(
    fc.asyncProperty(method, target, body, async (verb, path, content) => {
      // `ask` holds the answer against the document.
      const got = await world.ask(verb, path, verb === "GET" || verb === "DELETE" ? {} : { body: content });
      expect(got.status).toBeLessThan(500);
    }),
    { numRuns: 500 },
  );
  expect(validate(world.state.document()).problems).toEqual([]);
});
