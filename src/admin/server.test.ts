// The admin server as its clients see it. Long because all of it asks one server before one made-up sidecar.
import { Agent, request } from "node:http";
import type { IncomingHttpHeaders } from "node:http";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Log } from "../base/log.ts";
import type { TableStatus } from "../table/status.ts";
import { NO_JOURNAL } from "../telemetry/journal-entry.ts";
import type { AdminBackend, ExplainQuery, NotReadyReason } from "./backend.ts";
import { routes } from "./routes.ts";
import { ServerAddressError } from "./http-server.ts";
import type { HttpServer } from "./http-server.ts";
import { startAdmin } from "./server.ts";

const status: TableStatus = {
  version: 3,
  digest: "0123456789ab",
  source: "routes.yaml",
  loadedAtMs: Date.UTC(2026, 0, 2, 3, 4, 5),
  lastAttemptAtMs: Date.UTC(2026, 0, 2, 3, 4, 6),
  lastError: undefined,
  warnings: ["routes.yaml:1:1: odd"],
  counts: { services: 1, sandboxes: 2, groups: 3, endpoints: 4 },
};

let asked: ExplainQuery[] = [];
let drains = 0;
let notReady: readonly NotReadyReason[] = [];
let tableStatus = status;
let logged: string[] = [];
let admin: HttpServer;
let backend: AdminBackend;

const write = (message: string): void => void logged.push(message);
const log: Log = { debug: write, info: write, warn: write, error: write };

beforeEach(async () => {
  [asked, drains, notReady, tableStatus, logged] = [[], 0, [], status, []];
  backend = {
    notReady: () => notReady,
    metrics: () => Promise.resolve("sidelane_table_version 3\n"),
    tableStatus: () => tableStatus,
    describeTable: () => ({ services: { checkout: {} } }),
    explain: (query) => {
      asked.push(query);
      return query.service === "nonsense"
        ? { ok: false, detail: "no" }
        : { ok: true, explanation: { reason: "no-key" } };
    },
    connections: () => ({ listeners: [], endpoints: [], certificates: [], signingKeys: [] }),
    journal: () => Promise.resolve({ service: "checkout", ...NO_JOURNAL }),
    lostKeys: () => Promise.resolve({ lost: [], repair: "report", truncated: false }),
    config: () => ({ service: "checkout" }),
    drain: () => void drains++,
  };
  admin = await startAdmin("127.0.0.1:0", backend, log);
});
afterEach(() => admin.close());

interface Got {
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly json: Record<string, unknown>;
}

function ask(
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: string; agent?: Agent } = {},
): Promise<Got> {
  const { method = "GET", headers = {}, body = "", agent } = options;
  return new Promise((resolve, reject) => {
    const sent = request(
      `http://${admin.address}`,
      { path, method, headers, ...(agent ? { agent } : {}) },
      (response) => {
        void text(response).then(
          (got) =>
            resolve({
              status: response.statusCode,
              headers: response.headers,
              body: got,
              json: got.startsWith("{") ? (JSON.parse(got) as Record<string, unknown>) : {},
            }),
          reject,
        );
      },
    );
    sent.on("error", reject);
    sent.end(body);
  });
}

/** What polite clients never send; resolves with everything that came until the server closed. */
function raw(bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const [host = "", port] = admin.address.split(":");
    const socket = connect(Number(port), host, () => socket.write(bytes));
    let got = "";
    socket.setEncoding("utf8");
    socket.on("data", (chunk: string) => (got += chunk));
    socket.on("error", reject);
    socket.on("close", () => resolve(got));
  });
}

describe("endpoints", () => {
  test("/live", async () => {
    expect((await ask("/live")).json).toEqual({ live: true });
  });

  test("/ready with every reason", async () => {
    expect(await ask("/ready")).toMatchObject({ status: 200, json: { ready: true, reasons: [] } });
    notReady = ["starting", "no-table", "draining"];
    const got = await ask("/ready");
    expect(got).toMatchObject({ status: 503, json: { ready: false } });
    expect(got.json["reasons"]).toMatchObject([{ reason: "starting" }, { reason: "no-table" }, { reason: "draining" }]);
  });

  test("/metrics in the text format", async () => {
    const got = await ask("/metrics");
    expect(got.headers["content-type"]).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(got.body).toBe("sidelane_table_version 3\n");
  });

  test("/table, with and without entries", async () => {
    const got = await ask("/table");
    expect(got.json).toMatchObject({
      version: 3,
      digest: "0123456789ab",
      source: "routes.yaml",
      loadedAt: "2026-01-02T03:04:05.000Z",
      lastAttemptAt: "2026-01-02T03:04:06.000Z",
      lastError: null,
      warnings: ["routes.yaml:1:1: odd"],
      counts: { services: 1, sandboxes: 2, groups: 3, endpoints: 4 },
    });
    expect(got.json["ageSeconds"]).toBeGreaterThan(0);
    expect(got.json["table"]).toBeUndefined();
    expect((await ask("/table?full=1")).json["table"]).toEqual({ services: { checkout: {} } });
    expect((await ask("/table?full=yes")).status).toBe(400);
  });

  test("/table before there is one, and with an error", async () => {
    const lastError = { kind: "invalid", message: "bad", problems: ["routes.yaml:2:1: bad"], sinceMs: 0 } as const;
    const feed = { connected: false, sinceMs: Date.UTC(2026, 0, 2), problem: "away" };
    tableStatus = { ...status, source: "control control:15021", revision: 17, feed };
    expect((await ask("/table")).json).toMatchObject({
      source: "control control:15021",
      revision: 17,
      connected: false,
      disconnectedSince: "2026-01-02T00:00:00.000Z",
      connectionProblem: "away",
    });

    tableStatus = { ...status, version: 0, digest: "", loadedAtMs: undefined, lastAttemptAtMs: undefined, lastError };
    expect((await ask("/table")).json).toMatchObject({
      version: 0,
      loadedAt: null,
      ageSeconds: null,
      lastAttemptAt: null,
      lastError: {
        kind: "invalid",
        message: "bad",
        problems: ["routes.yaml:2:1: bad"],
        since: "1970-01-01T00:00:00.000Z",
      },
    });
  });

  test("/explain hands on what was asked", async () => {
    expect((await ask("/explain?service=checkout&key=pr-7")).json).toEqual({ reason: "no-key" });
    await ask("/explain?host=checkout.shop:8080&header=baggage:%20sidelane=pr-7%20&header=X-A:");
    await ask("/explain?service=&key=");
    await ask("/explain?path=/x?sidelane=pr-7&caller=10.1.2.3");
    expect(asked).toEqual([
      { service: "checkout", key: "pr-7", headers: [] },
      {
        host: "checkout.shop:8080",
        headers: [
          ["baggage", "sidelane=pr-7"],
          ["X-A", ""],
        ],
      },
      { headers: [] },
      { path: "/x?sidelane=pr-7", caller: "10.1.2.3", headers: [] },
    ]);
  });

  test("/explain refuses what makes no sense", async () => {
    for (const query of [
      "service=a&host=b",
      "header=no-colon",
      "header=a%20b:c",
      "header=a:b%0d%0ac:d",
      "service=nonsense",
    ]) {
      expect(await ask(`/explain?${query}`)).toMatchObject({
        status: 400,
        headers: { "content-type": "application/problem+json" },
      });
    }
  });

  test("/connections, /config and /lost-keys", async () => {
    expect((await ask("/connections")).json).toEqual({
      listeners: [],
      endpoints: [],
      certificates: [],
      signingKeys: [],
    });
    expect((await ask("/config")).json).toEqual({ service: "checkout" });
    expect((await ask("/lost-keys")).json).toEqual({ lost: [], repair: "report", truncated: false });
  });

  test("POST /drain, again and again", async () => {
    for (const body of ["", "{}"]) {
      expect(await ask("/drain", { method: "POST", body })).toMatchObject({ status: 202, json: { draining: true } });
    }
    expect(drains).toBe(2);
  });

  test("/ lists every endpoint", async () => {
    const { json } = await ask("/");
    expect((json["endpoints"] as { path: string }[]).map(({ path }) => path)).toEqual(routes.map(({ path }) => path));
  });
});

describe("every answer", () => {
  test("has the common fields and the right length", async () => {
    for (const path of [...routes.map((route) => route.path), "/nothing"]) {
      const { headers, body } = await ask(path);
      expect(headers).toMatchObject({
        server: "sidelane",
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
      });
      expect(headers["content-length"]).toBe(String(Buffer.byteLength(body)));
    }
  });

  test("to HEAD is that to GET without its body", async () => {
    for (const { method, path } of routes) {
      if (method !== "GET" || path === "/table") continue; // the age goes on
      const get = await ask(path);
      const head = await ask(path, { method: "HEAD" });
      expect(head.body).toBe("");
      expect(head.status).toBe(get.status);
      expect(head.headers["content-length"]).toBe(get.headers["content-length"]);
    }
  });
});

describe("refusals", () => {
  test("an unknown path gets the list of paths", async () => {
    for (const path of ["/nothing", "/live/", "//live", "/LIVE", "/%6cive", "*"]) {
      const got = await ask(path);
      expect(got.status).toBe(404);
      expect(got.headers["content-type"]).toBe("application/problem+json");
      expect(JSON.stringify(got.json["endpoints"])).toContain("/connections");
    }
  });

  test("another method gets Allow", async () => {
    for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"]) {
      expect(await ask("/live", { method })).toMatchObject({ status: 405, headers: { allow: "GET, HEAD" } });
    }
    for (const method of ["GET", "HEAD", "PUT"]) {
      expect(await ask("/drain", { method })).toMatchObject({ status: 405, headers: { allow: "POST" } });
    }
    expect(drains).toBe(0);
  });

  test("an unknown or repeated query parameter gets the known ones", async () => {
    const got = await ask("/explain?service=a&kay=b");
    expect(got.status).toBe(400);
    expect(got.json["detail"]).toContain('"kay"');
    expect(Object.keys(got.json["parameters"] as object)).toEqual([
      ...["service", "host", "key", "header", "path", "caller"],
    ]);
    expect((await ask("/explain?service=a&service=b")).status).toBe(400);
    expect((await ask("/live?x=1")).json["detail"]).toMatch(/there are none/);
  });

  test("a handler that throws or rejects is a 500, in the log, and the next request works", async () => {
    backend.config = () => {
      throw new Error("secret");
    };
    backend.metrics = () => Promise.reject(new Error("secret"));
    for (const path of ["/config", "/metrics"]) {
      const got = await ask(path);
      expect(got).toMatchObject({ status: 500, headers: { "content-type": "application/problem+json" } });
      expect(got.body).not.toContain("secret");
    }
    expect(logged).toEqual(["an admin request failed", "an admin request failed"]);
    expect((await ask("/live")).status).toBe(200);
  });

  test("a body that is too large ends the connection", async () => {
    const got = await ask("/drain", { method: "POST", body: "x".repeat(64 * 1024 + 1) });
    expect(got).toMatchObject({ status: 413, headers: { connection: "close" } });
    expect(drains).toBe(0);
    expect((await ask("/drain", { method: "POST", body: "x".repeat(64 * 1024) })).status).toBe(202);
  });
});

describe("web pages are kept out", () => {
  test("a rebound name does not get an answer on loopback", async () => {
    for (const host of ["evil.example", "evil.example:15000", "127.0.0.1.evil.example", "localhost.evil.example"]) {
      expect((await ask("/config", { headers: { host } })).status).toBe(421);
    }
    for (const host of ["localhost", "LOCALHOST:1", "a.localhost.", "127.0.0.1", "10.1.2.3:9", "[::1]:15000"]) {
      expect((await ask("/config", { headers: { host } })).status).toBe(200);
    }
  });

  test("the configured name and, beyond loopback, any name is good", async () => {
    await admin.close();
    admin = await startAdmin("0.0.0.0:0", backend, log);
    const port = admin.address.split(":")[1] ?? "";
    admin = { ...admin, address: `127.0.0.1:${port}` };
    expect((await ask("/config", { headers: { host: "checkout-sidecar.shop:15000" } })).status).toBe(200);
  });

  test("a page cannot post, wherever the server listens", async () => {
    const host = admin.address;
    for (const headers of [
      { origin: "https://evil.example" },
      { origin: "null" },
      { origin: `http://${host}` },
      { "sec-fetch-site": "cross-site" },
    ]) {
      expect((await ask("/drain", { method: "POST", headers })).status).toBe(403);
    }
    expect(drains).toBe(0);
    // Reading from the address bar is fine.
    expect((await ask("/ready", { headers: { "sec-fetch-site": "none" } })).status).toBe(200);
  });
});

describe("hostile and broken clients", () => {
  test("what is not HTTP gets a problem, and nothing else is disturbed", async () => {
    expect(await raw("HELLO\r\n\r\n")).toMatch(/^HTTP\/1\.1 400 Bad Request\r\nserver: sidelane\r\n[^]*not valid HTTP/);
    expect(await raw(`GET / HTTP/1.1\r\nhost: a\r\nx: ${"x".repeat(20_000)}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 431 /);
    expect(await raw("GET /live HTTP/1.1\r\nconnection: close\r\n\r\n")).toMatch(/^HTTP\/1\.1 400 [^]*no Host/);
    expect(await raw("GET /live HTTP/1.0\r\n\r\n")).toMatch(/^HTTP\/1\.1 200 /);
    expect(await raw("GET http://localhost/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")).toMatch(
      /^HTTP\/1\.1 200 /,
    );
    expect(await raw("GET /live HTTP/1.1\r\nhost:\r\nconnection: close\r\n\r\n")).toMatch(/^HTTP\/1\.1 421 /);
    expect((await ask("/live")).status).toBe(200);
  });

  test("slow heads and slow bodies run out of time", async () => {
    await admin.close();
    admin = await startAdmin("127.0.0.1:0", backend, log, { headMs: 50, requestMs: 500, idleMs: 5000 });
    expect(await raw("GET /live HTTP/1.1\r\nhost: loc")).toMatch(/^HTTP\/1\.1 408 /);
    const slowBody = await raw("POST /drain HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nab");
    expect(slowBody).not.toMatch(/ 202 /);
    expect(drains).toBe(0);
  });

  test("an abort in the middle of a body drains nothing", async () => {
    const [host = "", port] = admin.address.split(":");
    await new Promise<void>((resolve) => {
      const socket = connect(Number(port), host, () => {
        socket.write("POST /drain HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nab", () =>
          socket.resetAndDestroy(),
        );
      });
      socket.on("close", () => resolve());
    });
    expect((await ask("/live")).status).toBe(200);
    await admin.close();
    expect(drains).toBe(0);
  });
});

describe("start and stop", () => {
  test("an address that cannot be had is a clear error", async () => {
    const error: unknown = await startAdmin(admin.address, backend, log).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ServerAddressError);
    expect(error).toMatchObject({ code: "EADDRINUSE", address: admin.address });
    expect((error as Error).message).toMatch(
      /cannot listen on admin\.address 127\.0\.0\.1:\d+: another process has it/,
    );
    await expect(startAdmin("15000", backend, log)).rejects.toThrow(/the host is missing, write 127\.0\.0\.1:15000/);
    await expect(startAdmin("203.0.113.1:0", backend, log)).rejects.toThrow(/does not have that address/);
  });

  test("close ends kept-alive connections and lets a running answer finish", async () => {
    const agent = new Agent({ keepAlive: true });
    expect((await ask("/live", { agent })).headers.connection).toBe("keep-alive");
    let release: (body: string) => void = () => {};
    const begun = new Promise<void>((resolve) => {
      backend.metrics = () => {
        resolve();
        return new Promise((release_) => (release = release_));
      };
    });
    const running = ask("/metrics");
    await begun;
    const closed = admin.close();
    release("late\n");
    expect(await running).toMatchObject({ body: "late\n", headers: { connection: "close" } });
    await closed;
    await expect(ask("/live", { agent })).rejects.toThrow(/ECONNREFUSED/);
    agent.destroy();
  });

  test("close does not wait for ever for an answer", async () => {
    const begun = new Promise<void>((resolve) => {
      backend.metrics = () => {
        resolve();
        return new Promise(() => {});
      };
    });
    const running = ask("/metrics").catch((error: unknown) => error);
    await begun;
    await admin.close();
    expect(await running).toBeInstanceOf(Error);
  });
});
