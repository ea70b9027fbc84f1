// The journal behind the proxy, in both HTTP versions: what each sidecar on the way of a request remembers, and the path that
// `sidelane trace` makes of it.
import { describe, expect, test } from "vitest";
import { hopsOf } from "../../src/cli/trace/hops.ts";
import { traceText } from "../../src/cli/trace/text.ts";
import type { TracedEntry } from "../../src/cli/trace/traced-entry.ts";
import { traceTree } from "../../src/cli/trace/tree.ts";
import type { JournalEntry } from "../../src/telemetry/journal-entry.ts";
import { ok, startAnswering, startBackend } from "../support/backend.ts";
import { call, connectTo, fieldsOf, startHttp2Trio, exchange } from "../support/http2-sidecar.ts";
import { startHttp2Backend } from "../support/http2-backend.ts";
import { deadPort, eventually, get, request } from "../support/requests.ts";
import { type Sidecar, startSidecar, startTrio } from "../support/sidecar.ts";
import { startProcess } from "../support/sidelane-process.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const KEYED = ["baggage", "user=ada,sidelane=pr-7"] as const;
const span = (id: string) => ["traceparent", `00-${TRACE}-${id}-01`] as const;
const FRONT_SPAN = "00f067aa0ba902b7";
const CALL_SPAN = "b7ad6b7169203331";

type Field = readonly [name: string, value: string];

/** A request that has arrived at an app. */
interface Arrived {
  answer(status: number): void;
  hangUp(): void;
}

/** A request that was sent. */
interface Asked {
  /** Its status, once it is answered in full. */
  answered(): Promise<number>;
  abandon(): void;
}

/** One HTTP version in the hands of a test. */
interface Version {
  readonly protocol: "http1" | "http2";
  startApp(): Promise<{ readonly name: string; next(): Promise<Arrived> }>;
  ask(sidecar: Sidecar, listener: string, method: string, path: string, fields: readonly Field[]): Promise<Asked>;
}

const http1: Version = {
  protocol: "http1",
  async startApp() {
    const backend = await startBackend();
    return {
      name: backend.name,
      async next() {
        const { peer } = await backend.request();
        return {
          answer: (status) => peer.send(`HTTP/1.1 ${status} Fine\r\ncontent-length: 0\r\n\r\n`),
          hangUp: () => void peer.socket.destroy(),
        };
      },
    };
  },
  async ask(sidecar, listener, method, path, fields) {
    const peer = await sidecar.connect(listener);
    const body = method === "POST" ? "" : undefined;
    peer.send(request(method, path, body, ...fields.map(([name, value]) => `${name}: ${value}`)));
    return {
      answered: async () => (await peer.message()).status ?? 0,
      abandon: () => void peer.socket.resetAndDestroy(),
    };
  },
};

const http2: Version = {
  protocol: "http2",
  async startApp() {
    const backend = await startHttp2Backend();
    return {
      name: backend.name,
      async next() {
        const stream = await backend.next();
        return { answer: (status) => void stream.respond(status), hangUp: () => stream.peer.abort() };
      },
    };
  },
  async ask(sidecar, listener, method, path, fields) {
    const peer = await connectTo(sidecar, {}, listener);
    const stream = peer.request(fieldsOf(method, path, ...fields), { endStream: true });
    return {
      answered: async () => (await stream.complete()).heads[0]?.status ?? 0,
      abandon: () => stream.reset(),
    };
  },
};

function entries(sidecar: Sidecar): readonly JournalEntry[] {
  return sidecar.telemetry.journal?.read({ limit: 100 }) ?? [];
}

/** The only entry, once the exchange has ended. */
async function ended(sidecar: Sidecar): Promise<JournalEntry> {
  return eventually(() => {
    const [entry, ...more] = entries(sidecar);
    expect(more).toEqual([]);
    expect(entry?.durationMs).not.toBeNull();
    return entry as JournalEntry;
  });
}

describe.each([http1, http2])("$protocol", (version) => {
  const { protocol } = version;

  /** Sidecars beside front and beside pr-7's copy of checkout, and their apps. */
  async function startShop() {
    const [frontApp, copyApp] = await Promise.all([version.startApp(), version.startApp()]);
    const table = { services: { front: {}, checkout: {} } };
    const copy = await startSidecar({ service: "checkout", sandbox: "pr-7", target: copyApp.name, table });
    const front = await startSidecar({
      service: "front",
      listeners: [
        { name: "inbound", direction: "inbound", address: "127.0.0.1:0", target: frontApp.name },
        { name: "outbound", direction: "outbound", address: "127.0.0.1:0" },
      ],
      table: {
        services: { front: {}, checkout: {} },
        sandboxes: { "pr-7": { services: { checkout: [`127.0.0.1:${copy.port()}`] } } },
      },
    });
    return { frontApp, copyApp, front, copy };
  }

  test("a request through two services: entries while it runs and when it is over, and its path", async () => {
    const { frontApp, copyApp, front, copy } = await startShop();
    const asked = await version.ask(front, "inbound", "GET", "/cart?token=secret", [KEYED, span(FRONT_SPAN)]);
    const atFront = await frontApp.next();
    const inbound = {
      seq: 1,
      trace: TRACE,
      span: FRONT_SPAN,
      service: "front",
      listener: "inbound",
      direction: "inbound",
      protocol,
      method: "GET",
      path: "/cart",
      key: "pr-7",
      keyFrom: "carrier",
      destination: "baseline",
      reason: "not-in-sandbox",
      status: 0,
      durationMs: null,
      endpoint: "",
    };
    expect(entries(front)).toMatchObject([inbound]);

    const called = await version.ask(front, "outbound", "POST", "/order", [KEYED, span(CALL_SPAN)]);
    (await copyApp.next()).answer(201);
    expect(await called.answered()).toBe(201);
    atFront.answer(200);
    expect(await asked.answered()).toBe(200);

    const claimed = {
      trace: TRACE,
      span: CALL_SPAN,
      service: "checkout",
      key: "pr-7",
      destination: "pr-7",
      status: 201,
    };
    await eventually(() => {
      expect(entries(front)).toMatchObject([
        { ...claimed, seq: 2, direction: "outbound", listener: "outbound", reason: "sandbox", method: "POST" },
        { ...inbound, status: 200, durationMs: expect.any(Number) as number, endpoint: frontApp.name },
      ]);
      expect(entries(copy)).toMatchObject([{ ...claimed, direction: "inbound", reason: "self", path: "/order" }]);
    });
    for (const entry of [...entries(front), ...entries(copy)]) expect(entry).not.toHaveProperty("grpcStatus");

    const traced: TracedEntry[] = [
      ...entries(copy).map((entry) => ({ sidecar: { address: "b", service: "checkout", sandbox: "pr-7" }, entry })),
      ...entries(front).map((entry) => ({ sidecar: { address: "a", service: "front" }, entry })),
    ];
    const hops = hopsOf(traceTree(traced), "pr-7");
    const text = traceText({ trace: TRACE, keys: ["pr-7"], services: 2, durationMs: 1 }, hops);
    expect(text.replaceAll(/ +\d+\.\d ms/gu, " T")).toBe(
      [
        `trace ${TRACE}  key pr-7  2 services T`,
        "front        baseline  not-in-sandbox  200 T  GET /cart",
        "└─ checkout  pr-7      sandbox         201 T  POST /order",
        "",
      ].join("\n"),
    );
  });

  test("a request without a key leaves nothing, nor does any when the journal is off", async () => {
    const app = await version.startApp();
    const on = await startSidecar({ target: app.name });
    const off = await startSidecar({ target: app.name, limits: { journalEntriesMax: 0 } });
    for (const [sidecar, fields] of [
      [on, [span(FRONT_SPAN)]],
      [off, [KEYED, span(FRONT_SPAN)]],
    ] as const) {
      const asked = await version.ask(sidecar, "inbound", "GET", "/", fields);
      (await app.next()).answer(200);
      expect(await asked.answered()).toBe(200);
    }
    expect(entries(on)).toEqual([]);
    expect(off.telemetry.journal).toBeUndefined();
  });

  test("a refused key", async () => {
    const app = await version.startApp();
    const sidecar = await startSidecar({ target: app.name, tenancy: { onUnknownKey: "reject" } });
    const asked = await version.ask(sidecar, "inbound", "GET", "/", [["baggage", "sidelane=gone"]]);
    const status = await asked.answered();
    expect(await ended(sidecar)).toMatchObject({
      key: "gone",
      keyFrom: "carrier",
      trace: "",
      span: "",
      destination: "none",
      reason: "unknown-key",
      status,
      endpoint: "",
    });
  });

  test("nobody there, an endpoint that hangs up, a client that goes away", async () => {
    const dead = `127.0.0.1:${await deadPort()}`;
    const nobody = await startSidecar({ target: dead });
    await (await version.ask(nobody, "inbound", "GET", "/", [KEYED])).answered();
    expect(await ended(nobody)).toMatchObject({ status: 503, reason: "upstream-unavailable", endpoint: dead });

    const app = await version.startApp();
    const hanging = await startSidecar({ target: app.name });
    const asked = await version.ask(hanging, "inbound", "POST", "/", [KEYED]);
    (await app.next()).hangUp();
    const status = await asked.answered();
    expect(await ended(hanging)).toMatchObject({ status, endpoint: app.name, key: "pr-7" });
    expect(status).toBe(502);

    const left = await startSidecar({ target: app.name });
    const abandoned = await version.ask(left, "inbound", "GET", "/", [KEYED]);
    await app.next();
    abandoned.abandon();
    expect(await ended(left)).toMatchObject({ reason: "client-closed", endpoint: app.name });
  });

  test("a sandbox that cannot be reached and a baseline that answers for it", async () => {
    const app = await version.startApp();
    const sidecar = await startSidecar({
      target: app.name,
      tenancy: { onUnavailable: "baseline" },
      table: {
        services: { checkout: {} },
        sandboxes: { "pr-7": { services: { checkout: [`127.0.0.1:${await deadPort()}`] } } },
      },
    });
    const asked = await version.ask(sidecar, "inbound", "GET", "/", [KEYED]);
    const arrived = await app.next();
    expect(entries(sidecar)).toMatchObject([{ destination: "pr-7", reason: "sandbox", durationMs: null }]);
    arrived.answer(200);
    expect(await asked.answered()).toBe(200);
    expect(await ended(sidecar)).toMatchObject({
      destination: "baseline",
      reason: "sandbox-unavailable",
      status: 200,
      endpoint: app.name,
    });
  });

  test.each([
    ["report", "lost", "baseline"],
    ["restore", "restored", "pr-7"],
  ])("a key that the app drops, tenancy.repair %s: %s", async (repair, keyFrom, destination) => {
    const [frontApp, checkoutApp] = await Promise.all([version.startApp(), version.startApp()]);
    const sidecar = await startSidecar({
      service: "front",
      listeners: [
        { name: "inbound", direction: "inbound", address: "127.0.0.1:0", target: frontApp.name },
        { name: "outbound", direction: "outbound", address: "127.0.0.1:0" },
      ],
      table: {
        services: { front: {}, checkout: { baseline: [checkoutApp.name] } },
        sandboxes: { "pr-7": { services: { checkout: [checkoutApp.name] } } },
      },
      tenancy: { repair },
    });
    const asked = await version.ask(sidecar, "inbound", "GET", "/", [KEYED, span(FRONT_SPAN)]);
    const atFront = await frontApp.next();
    const called = await version.ask(sidecar, "outbound", "GET", "/", [span(CALL_SPAN)]);
    (await checkoutApp.next()).answer(200);
    await called.answered();
    atFront.answer(200);
    await asked.answered();
    const [outbound] = entries(sidecar);
    expect(outbound).toMatchObject({ direction: "outbound", key: "pr-7", keyFrom, trace: TRACE, destination });
  });

  test("a key by the stamp", async () => {
    const app = await version.startApp();
    const sidecar = await startSidecar({
      service: "front",
      listeners: [{ name: "outbound", direction: "outbound", address: "127.0.0.1:0" }],
      table: { services: { checkout: { baseline: [app.name] } }, sandboxes: { "pr-9": { services: {} } } },
      tenancy: { stamp: "pr-9" },
    });
    const asked = await version.ask(sidecar, "outbound", "GET", "/", [span(CALL_SPAN)]);
    (await app.next()).answer(200);
    await asked.answered();
    expect(await ended(sidecar)).toMatchObject({
      key: "pr-9",
      keyFrom: "stamp",
      trace: TRACE,
      reason: "not-in-sandbox",
    });
  });
});

test("many requests at once on one HTTP/2 connection: each its own entry", async () => {
  const { client, sidecar, backend } = await startHttp2Trio();
  backend.answer = (stream) => void stream.respond(200);
  const ids = Array.from({ length: 50 }, (_, index) => index.toString(16).padStart(16, "a"));
  await Promise.all(
    ids.map((id) => client.request(fieldsOf("GET", `/${id}`, KEYED, span(id)), { endStream: true }).complete()),
  );
  await eventually(() => {
    const seen = entries(sidecar);
    expect(seen.map(({ path }) => path).toSorted()).toEqual(ids.map((id) => `/${id}`).toSorted());
    for (const entry of seen) expect(entry).toMatchObject({ path: `/${entry.span}`, status: 200, key: "pr-7" });
  });
});

test("requests one after the other on one HTTP/1.1 connection: each its own entry", async () => {
  const { client, sidecar, backend } = await startTrio();
  client.send(get("/1", KEYED.join(": ")) + get("/2") + get("/3", "baggage: sidelane=pr-8"));
  const { peer } = await backend.request();
  for (const path of ["/1", "/2", "/3"]) {
    if (path !== "/1") await peer.message();
    peer.send(ok(path));
    expect((await client.message()).body).toBe(path);
  }
  await eventually(() =>
    expect(entries(sidecar)).toMatchObject([
      { seq: 2, path: "/3", key: "pr-8", status: 200 },
      { seq: 1, path: "/1", key: "pr-7", status: 200 },
    ]),
  );
});

test.each([
  ["from trailers", "5", 5],
  ["that is none", "many", -1],
])("gRPC: a status %s", async (_, sent, grpcStatus) => {
  const trio = await startHttp2Trio();
  const { asked, got } = await exchange(trio, call("/shop.Checkout/Pay", KEYED));
  got
    .head([
      [":status", "200"],
      ["content-type", "application/grpc"],
    ])
    .head([["grpc-status", sent]], { endStream: true });
  await asked.complete();
  expect(await ended(trio.sidecar)).toMatchObject({ path: "/shop.Checkout/Pay", status: 200, grpcStatus });
});

describe("two workers", () => {
  test("answer as one: each entry once, the newest first, within the limit", async () => {
    const backend = await startAnswering(() => ok("served"));
    const sidelane = await startProcess({ target: backend.name, workers: 2 });
    const read = async (query: string): Promise<{ entriesMax: number; kept: number; entries: JournalEntry[] }> =>
      JSON.parse((await sidelane.admin(`/journal${query}`)).body) as ReturnType<typeof read>;
    expect(await read("")).toEqual({ service: "checkout", entriesMax: 2000, kept: 0, oldest: null, entries: [] });
    const peers = await Promise.all(Array.from({ length: 64 }, () => sidelane.connect()));
    for (const [index, peer] of peers.entries())
      peer.send(get(`/${index}`, KEYED.join(": "), span(CALL_SPAN).join(": ")));
    for (const peer of peers) await peer.message();

    const { entries: all, kept } = await read(`?trace=${TRACE}`);
    expect(kept).toBe(64);
    expect(all.map(({ path }) => Number(path.slice(1))).toSorted((a, b) => a - b)).toEqual([...peers.keys()]);
    const times = all.map(({ time }) => time);
    expect(times).toEqual(times.toSorted().toReversed());
    // Each worker counts for itself: both have taken requests.
    expect(all.filter(({ seq }) => seq === 1)).toHaveLength(2);
    expect((await read("?limit=5")).entries).toEqual(all.slice(0, 5));
    expect((await read(`?since=${times[9]}&key=pr-7`)).entries.length).toBeGreaterThanOrEqual(10);
    expect((await read("?key=pr-8")).entries).toEqual([]);
    expect((await sidelane.admin("/journal?limit=none")).status).toBe(400);
    expect(JSON.parse((await sidelane.admin("/lost-keys")).body)).toEqual({
      lost: [],
      repair: "off",
      truncated: false,
    });
  });
});
