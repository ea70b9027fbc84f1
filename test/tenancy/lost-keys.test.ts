// The lost-key detector at work: client -> inbound -> an app that drops the key -> outbound -> checkout, baseline or sandbox.
import { Metadata } from "@grpc/grpc-js";
import { describe, expect, test } from "vitest";
import { type Log, type LogFields, silentLog } from "../../src/base/log.ts";
import type { LostKeyEntry } from "../../src/telemetry/lost-keys.ts";
import { ok, startAnswering } from "../support/backend.ts";
import { GrpcClient, startGrpcApp } from "../support/grpc.ts";
import { connectHttp2, fetchHttp2, startHttp2App } from "../support/http2-app.ts";
import {
  type KeyDroppingApp,
  type Propagate,
  only,
  startKeyDroppingApp,
  startKeyDroppingHttp2App,
} from "../support/key-dropping-app.ts";
import { eventually, swept } from "../support/quiet.ts";
import { type Sidecar, type SidecarOptions, describeRelay, startSidecar } from "../support/sidecar.ts";

const HIGH = "4bf92f3577b34da6";
const LOW = "a3ce929d0e0e4736";
const SPAN = "00f067aa0ba902b7";
const traceparent = `00-${HIGH}${LOW}-${SPAN}-01`;
const otherTraceparent = `00-5bf92f3577b34da6${LOW}-${SPAN}-01`;

interface Line {
  readonly message: string;
  readonly fields: LogFields;
}

interface Shop {
  readonly sidecar: Sidecar;
  readonly app: KeyDroppingApp;
  readonly lines: Line[];
  /** Who answers a request with these field lines, and the baggage that came to it. */
  readonly ask: (...lines: readonly string[]) => Promise<string>;
}

/** The sidecar of `shop`, and for whatever it asks of checkout somebody who says who it is. */
async function start(app: KeyDroppingApp, repair: string, names: readonly string[], options: SidecarOptions = {}) {
  const lines: Line[] = [];
  const log: Log = {
    ...silentLog,
    warn: (message, fields = {}) => void ("peer" in fields && lines.push({ message, fields })),
  };
  const [baseline = "", sandbox = ""] = names;
  const sidecar = await startSidecar({
    service: "shop",
    listeners: [
      { name: "inbound", direction: "inbound", address: "127.0.0.1:0", target: app.name },
      { name: "outbound", direction: "outbound", address: "127.0.0.1:0" },
    ],
    table: {
      services: { shop: {}, checkout: { baseline: [baseline] } },
      sandboxes: { "pr-7": { services: { checkout: [sandbox] } }, "pr-8": { services: { checkout: [sandbox] } } },
    },
    log,
    ...options,
    tenancy: { repair, ...options.tenancy },
  });
  app.outboundPort = sidecar.port("outbound");
  return { sidecar, lines };
}

async function startShop(repair: string, propagate: Propagate, options: SidecarOptions = {}): Promise<Shop> {
  const app = await startKeyDroppingApp(propagate);
  const backends = ["baseline", "sandbox"].map((who) =>
    startAnswering((request) => ok(`${who} ${request.field("baggage") ?? "-"}`)),
  );
  const { sidecar, lines } = await start(
    app,
    repair,
    (await Promise.all(backends)).map(({ name }) => name),
    options,
  );
  const ask = async (...fields: readonly string[]): Promise<string> => {
    const client = await sidecar.connect();
    client.send(`GET / HTTP/1.1\r\nHost: shop\r\n${fields.map((line) => `${line}\r\n`).join("")}\r\n`);
    return (await client.message()).body;
  };
  return { sidecar, app, lines, ask };
}

const lostOf = (sidecar: Sidecar): readonly LostKeyEntry[] => sidecar.telemetry.lostKeys?.describe().lost ?? [];

const keyed = ["baggage: user=ada,sidelane=pr-7", `traceparent: ${traceparent}`];

describeRelay("a key that the app drops", (mode) => {
  test("is reported: metric, report and one line per period, but not put back", async () => {
    const { sidecar, lines, ask } = await startShop("report", only("traceparent"), mode);
    for (let i = 0; i < 3; i++) expect(await ask(...keyed)).toBe("baseline -");
    const labels = { service: "shop", peer: "checkout", outcome: "reported" };
    expect(await sidecar.metric("sidelane_lost_keys_total", labels)).toBe(3);
    expect(sidecar.telemetry.lostKeys?.describe()).toMatchObject({
      lost: [
        {
          service: "shop",
          towards: "checkout",
          count: 3,
          restored: 0,
          unsure: 0,
          example: { trace: `${HIGH}${LOW}`, key: "pr-7", method: "GET", path: "/pay" },
        },
      ],
      repair: "report",
      truncated: false,
    });
    expect(lines).toEqual([
      {
        message: "shop loses the routing key on the way to checkout",
        fields: expect.objectContaining({ peer: "checkout", count: 1, key: "pr-7" }) as LogFields,
      },
    ]);
  });

  test("is put back by `restore`, decides the route, and leaves other members alone", async () => {
    const { sidecar, app, ask } = await startShop("restore", only("traceparent"), mode);
    expect(await ask(...keyed)).toBe("sandbox sidelane=pr-7");
    app.propagate = (headers) => ({ traceparent: headers["traceparent"], baggage: "user=ada" });
    expect(await ask(...keyed)).toMatch(/^sandbox user=ada, ?sidelane=pr-7$/);
    expect(lostOf(sidecar)).toMatchObject([{ count: 2, restored: 2 }]);
    expect(await sidecar.metric("sidelane_lost_keys_total", { outcome: "restored" })).toBe(2);
    expect(await sidecar.metric("sidelane_keys_written_total", { source: "restored" })).toBe(2);
  });
});

describe("what is lost", () => {
  test("with `off` is nobody's business", async () => {
    const { sidecar, lines, ask } = await startShop("off", only("traceparent"));
    expect(await ask(...keyed)).toBe("baseline -");
    expect(sidecar.telemetry.lostKeys).toBeUndefined();
    expect(await sidecar.metric("sidelane_lost_keys_total")).toBe(0);
    expect(lines).toEqual([]);
  });

  test("cannot be a key that was passed on, or was never there", async () => {
    const { sidecar, ask } = await startShop("restore", only("traceparent", "baggage"));
    expect(await ask(...keyed)).toBe("sandbox user=ada,sidelane=pr-7");
    expect(await ask("baggage: user=ada", `traceparent: ${otherTraceparent}`)).toBe("baseline user=ada");
    expect(await ask("baggage: user=ada")).toBe("baseline user=ada");
    expect(lostOf(sidecar)).toEqual([]);
  });

  test("comes back with its properties, which say what the request requires", async () => {
    const { ask } = await startShop("restore", only("traceparent"));
    const answer = await ask("baggage: sidelane=pr-7;require=checkout", `traceparent: ${traceparent}`);
    expect(answer).toBe("sandbox sidelane=pr-7;require=checkout");
  });

  test("towards a host outside the table does not follow it there", async () => {
    const elsewhere = await startAnswering((request) => ok(`elsewhere ${request.field("baggage") ?? "-"}`));
    const { sidecar, ask } = await startShop("restore", ({ traceparent: trace }) => ({
      traceparent: trace,
      host: elsewhere.name,
    }));
    expect(await ask(...keyed)).toBe("elsewhere -");
    expect(lostOf(sidecar)).toEqual([]);
  });

  test("of a trace that came in with two keys is neither reported nor put back", async () => {
    const { sidecar, ask } = await startShop("restore", only("traceparent"));
    expect(await ask(...keyed)).toBe("sandbox sidelane=pr-7");
    expect(await ask("baggage: sidelane=pr-8", `traceparent: ${traceparent}`)).toBe("baseline -");
    expect(await ask(...keyed)).toBe("baseline -");
    expect(lostOf(sidecar)).toMatchObject([{ count: 1 }]);
  });

  test("of a trace that also came in without a key is reported as unsure", async () => {
    const { sidecar, lines, ask } = await startShop("report", only("traceparent"));
    expect(await ask(`traceparent: ${traceparent}`)).toBe("baseline -");
    expect(await ask(...keyed)).toBe("baseline -");
    expect(lostOf(sidecar)).toMatchObject([{ count: 1, unsure: 1 }]);
    expect(lines.map(({ message }) => message)).toEqual(["shop perhaps loses the routing key on the way to checkout"]);
  });

  test("is forgotten after `timeouts.traceRememberedMs`", async () => {
    const { sidecar, app, ask } = await startShop("restore", only("traceparent"), {
      timeouts: { traceRememberedMs: 100 },
    });
    const late = Promise.withResolvers<void>();
    app.ready = late.promise;
    const asked = ask(...keyed);
    await swept(200);
    late.resolve();
    expect(await asked).toBe("baseline -");
    expect(lostOf(sidecar)).toEqual([]);
  });

  test("is known of the last `limits.tracesRememberedMax` traces alone", async () => {
    const { app, ask } = await startShop("restore", only("traceparent"), { limits: { tracesRememberedMax: 16 } });
    const late = Promise.withResolvers<void>();
    app.ready = late.promise;
    const asked = Array.from({ length: 64 }, (_, i) =>
      ask("baggage: sidelane=pr-7", `traceparent: 00-${HIGH}${String(i + 1).padStart(16, "0")}-${SPAN}-01`),
    );
    await eventually(() => app.arrived === asked.length);
    late.resolve();
    const answers = await Promise.all(asked);
    const restored = answers.filter((answer) => answer === "sandbox sidelane=pr-7").length;
    expect(answers.filter((answer) => answer === "baseline -")).toHaveLength(asked.length - restored);
    expect(restored).toBeGreaterThan(0);
    expect(restored).toBeLessThanOrEqual(16);
  });
});

/** The same trace as each of them writes it. */
const notations: Record<string, string> = {
  traceparent,
  b3: `${HIGH}${LOW}-${SPAN}-1`,
  "x-b3-traceid": `${HIGH}${LOW}`,
  "x-datadog-trace-id": BigInt(`0x${LOW}`).toString(),
  "uber-trace-id": `${HIGH}${LOW}:${SPAN}:0:1`,
  "x-request-id": "f058ebd6-02f7-4d3f-942e-904344e8cde5",
};

describe("a trace", () => {
  test.each(Object.keys(notations))("is recognised by %s", async (name) => {
    const { ask } = await startShop("restore", only(name));
    expect(await ask("baggage: sidelane=pr-7", `${name}: ${notations[name]}`)).toBe("sandbox sidelane=pr-7");
  });

  test.each(Object.keys(notations).filter((name) => name !== "x-request-id"))(
    "that came in as %s is recognised in every other notation",
    async (came) => {
      const { app, ask } = await startShop("restore", () => ({}));
      for (const [goes, value] of Object.entries(notations)) {
        app.propagate = () => ({ [goes]: value });
        const answer = goes === "x-request-id" ? "baseline -" : "sandbox sidelane=pr-7";
        expect({ goes, answer: await ask("baggage: sidelane=pr-7", `${came}: ${notations[came]}`) }).toEqual({
          goes,
          answer,
        });
      }
    },
  );

  test("of several ids is recognised by the one that is passed on", async () => {
    const { ask } = await startShop("restore", only("x-request-id"));
    expect(await ask(...keyed, "x-request-id: f058ebd6")).toBe("sandbox sidelane=pr-7");
  });

  test("whose id is malformed is none", async () => {
    const { ask } = await startShop("restore", only("traceparent"));
    const malformed = `traceparent: ${traceparent.toUpperCase()}`;
    expect(await ask("baggage: sidelane=pr-7", malformed)).toBe("baseline -");
  });
});

describe("over HTTP/2", () => {
  async function startHttp2Shop(repair: string) {
    const app = await startKeyDroppingHttp2App(only("traceparent"));
    const backends = ["baseline", "sandbox"].map((who) =>
      startHttp2App((stream, headers) => {
        stream.respond({ ":status": 200 });
        stream.end(`${who} ${String(headers["baggage"] ?? "-")}`);
      }),
    );
    return start(
      app,
      repair,
      (await Promise.all(backends)).map(({ name }) => name),
    );
  }

  test.each([
    ["report", "baseline -", { restored: 0 }],
    ["restore", "sandbox sidelane=pr-7", { restored: 2 }],
  ])("%s does the same", async (repair, body, counted) => {
    const { sidecar } = await startHttp2Shop(repair);
    const session = await connectHttp2(sidecar.port());
    for (let i = 0; i < 2; i++) {
      expect(await fetchHttp2(session, { baggage: "sidelane=pr-7", traceparent })).toMatchObject({ status: 200, body });
    }
    expect(lostOf(sidecar)).toMatchObject([
      { towards: "checkout", count: 2, ...counted, example: { key: "pr-7", method: "GET", path: "/" } },
    ]);
  });

  test("a gRPC call reaches its sandbox although the service between drops the key", async () => {
    const [baseline, sandbox] = await Promise.all([startGrpcApp("baseline"), startGrpcApp("sandbox")]);
    const app = await startKeyDroppingHttp2App(only("traceparent"));
    const { sidecar } = await start(app, "restore", [baseline.name, sandbox.name]);
    const metadata = new Metadata();
    metadata.set("baggage", "sidelane=pr-7");
    metadata.set("traceparent", traceparent);
    const { code, message, initial } = await new GrpcClient(sidecar.port()).unary("hello", { metadata });
    expect({ code, message: message?.toString(), who: initial.get("x-server") }).toEqual({
      code: 0,
      message: "hello",
      who: ["sandbox"],
    });
    expect(sandbox.served[0]?.metadata.get("baggage")).toEqual(["sidelane=pr-7"]);
    expect(lostOf(sidecar)).toMatchObject([{ restored: 1, example: { method: "POST", path: "/test.Echo/Unary" } }]);
  });
});
