import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openStream } from "../../../test/support/event-source.ts";
import { startWorld } from "../../../test/support/api-world.ts";
import type { ApiWorld } from "../../../test/support/api-world.ts";
import type { SandboxStatus, WaitEvent } from "./backend.ts";

let world: ApiWorld;

beforeEach(async () => {
  world = await startWorld();
  await world.ask("POST", "/v1/services", { body: { name: "checkout", baseline: ["checkout:8080"] } });
  await world.ask("POST", "/v1/services", { body: { name: "ledger" } });
  await world.ask("POST", "/v1/sandboxes", { body: { name: "pr-7", services: { checkout: ["10.0.0.7:8080"] } } });
});
afterEach(() => world.close());

describe("GET /v1/table", () => {
  test("is the table as people write it, with its revision beside it", async () => {
    const got = await world.ask("GET", "/v1/table");
    expect(got.json).toEqual({
      services: { checkout: { baseline: ["checkout:8080"] }, ledger: {} },
      sandboxes: { "pr-7": { services: { checkout: ["10.0.0.7:8080"] } } },
      groups: {},
    });
    expect(got.headers).toMatchObject({ etag: '"3"', "x-sidelane-revision": "3", "x-sidelane-source": "history-1" });
  });

  test("as a sidecar sees it that asks for some services", async () => {
    const got = await world.ask("GET", "/v1/table?services=ledger");
    expect(got.json).toEqual({ services: { ledger: {} }, sandboxes: {}, groups: {} });
    expect((await world.ask("GET", "/v1/table?services=ledger,checkout")).json["sandboxes"]).toHaveProperty("pr-7");
  });
});

describe("GET /v1/explain", () => {
  test("decides with the table of now", async () => {
    const ask = async (query: string): Promise<unknown> => (await world.ask("GET", `/v1/explain?${query}`)).json;
    expect(await ask("service=checkout&key=pr-7")).toMatchObject({ destination: "pr-7", reason: "sandbox" });
    expect(await ask("service=checkout&header=baggage:a%3Db,sidelane%3Dpr%252D7")).toMatchObject({
      destination: "pr-7",
    });
    expect(await ask("host=checkout:80")).toMatchObject({ destination: "baseline", reason: "no-key" });
    await world.ask("DELETE", "/v1/sandboxes/pr-7");
    expect(await ask("service=checkout&key=pr-7")).toMatchObject({ destination: "baseline", reason: "unknown-key" });
  });

  test.each(["", "?service=a&host=b", "?service=a&header=x", "?service=a&caller=1"])(
    "%s makes no sense",
    async (query) => {
      expect((await world.ask("GET", `/v1/explain${query}`)).status).toBe(400);
    },
  );
});

describe("GET /v1/audit", () => {
  test("by kind, name and number", async () => {
    const names = async (query: string): Promise<unknown[]> =>
      ((await world.ask("GET", `/v1/audit${query}`)).json["entries"] as { name: string }[]).map(({ name }) => name);
    expect(await names("")).toEqual(["pr-7", "ledger", "checkout"]);
    expect(await names("?kind=service")).toEqual(["ledger", "checkout"]);
    expect(await names("?name=ledger")).toEqual(["ledger"]);
    expect(await names("?limit=1")).toEqual(["pr-7"]);
    for (const query of ["?kind=x", "?limit=0", "?limit=100000"]) {
      expect((await world.ask("GET", `/v1/audit${query}`)).status).toBe(400);
    }
  });
});

test("sidecars and traces: other replicas are asked unless it is one that asks", async () => {
  const asked: string[] = [];
  const of = (what: string) => async (everywhere: boolean) => {
    asked.push(`${what} ${everywhere}`);
    return { items: [], missing: [{ replica: "r2", why: "no answer in time" }] };
  };
  const traces = of("trace");
  const replicated = await startWorld({ sidecars: of("sidecars"), trace: (_, everywhere) => traces(everywhere) });
  const headers = { authorization: "Bearer replica-secret" };
  const trace = `/v1/traces/${"a".repeat(32)}`;
  expect((await replicated.ask("GET", "/v1/sidecars")).json["missing"]).toEqual([
    { replica: "r2", why: "no answer in time" },
  ]);
  await replicated.ask("GET", "/v1/sidecars?here=1");
  await replicated.ask("GET", "/v1/sidecars", { headers });
  await replicated.ask("GET", trace);
  await replicated.ask("GET", trace, { headers });
  expect(asked).toEqual(["sidecars true", "sidecars false", "sidecars false", "trace true", "trace false"]);
  await replicated.close();
});

describe("health", () => {
  test("ready says why it is not", async () => {
    expect((await world.ask("GET", "/live")).json).toEqual({ live: true });
    expect((await world.ask("GET", "/ready")).json).toEqual({ ready: true, reasons: [], problems: [] });
    const ending = await startWorld({ notReady: () => ["it is ending"] });
    expect(await ending.ask("GET", "/ready")).toMatchObject({
      status: 503,
      json: { ready: false, reasons: ["it is ending"] },
    });
    await ending.close();
  });

  test("metrics are text", async () => {
    expect((await world.ask("GET", "/metrics")).body).toContain("sidelane_control_revision 1");
  });
});

describe("GET /v1/sandboxes/{name}/wait", () => {
  const status: SandboxStatus = { conditions: [] };

  test("tells what happens, then that it is done, and ends", async () => {
    const got = await world.ask("GET", "/v1/sandboxes/pr-7/wait?for=ready&withinMs=1000");
    expect(got.headers["content-type"]).toBe("text/event-stream");
    expect(got.body).toMatch(
      /^retry: 1000\n\nevent: progress\ndata: \{"status".*\n\nevent: done\ndata: \{"reached":true,"message":"it is ready"/u,
    );
  });

  test.each(["?for=redy", "?withinMs=x", "?withinMs=99999999", "?until=ready"])("%s makes no sense", async (query) => {
    expect((await world.ask("GET", `/v1/sandboxes/pr-7/wait${query}`)).status).toBe(400);
  });

  test("for a sandbox that is not there", async () => {
    expect((await world.ask("GET", "/v1/sandboxes/pr-8/wait")).json["detail"]).toContain("did you mean pr-7?");
    expect((await world.ask("GET", "/v1/sandboxes/pr-8/wait?for=deleted")).status).toBe(200);
  });

  test("whoever hangs up is waited for no longer, and there is an end to how many wait", async () => {
    const waiting: AbortSignal[] = [];
    async function* wait(_: string, __: string, ___: number, signal: AbortSignal): AsyncGenerator<WaitEvent> {
      waiting.push(signal);
      yield { kind: "progress", status };
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    }
    const patient = await startWorld({
      wait,
      limits: { bodyBytesMax: 1000, connectionsMax: 20, waitsMax: 2, resourcesMax: 10 },
    });
    const url = `http://${patient.server.address}/v1/sandboxes/x/wait?for=deleted`;
    const streams = [await openStream(url), await openStream(url)];
    for (const stream of streams) expect((await stream.next()).event).toBe("progress");
    expect(await patient.ask("GET", "/v1/sandboxes/x/wait?for=deleted")).toMatchObject({
      status: 503,
      json: { detail: expect.stringContaining("limits.waitsMax") as string },
    });
    const [first] = waiting;
    const gone = new Promise((resolve) => first?.addEventListener("abort", resolve));
    streams[0]?.response.destroy();
    await gone;
    streams[1]?.response.destroy();
    await patient.close();
  });
});
