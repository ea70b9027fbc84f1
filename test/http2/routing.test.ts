import { describe, expect, test } from "vitest";
import { type Http2Backend, startHttp2Answering } from "../support/http2-backend.ts";
import type { SentField } from "../support/http2-hpack.ts";
import { connectTo } from "../support/http2-sidecar.ts";
import { type Sidecar, type SidecarOptions, startSidecar } from "../support/sidecar.ts";

/** A backend that says its name and what was asked of it. */
const named = (name: string): Promise<Http2Backend> =>
  startHttp2Answering((stream) => {
    const head = stream.heads[0];
    stream.respond(200, name, ["x-authority", head?.get(":authority") ?? head?.get("host") ?? ""]);
  });

const outbound = [{ name: "outbound", direction: "outbound", address: "127.0.0.1:0" }];

/** What answers a GET: the name of a backend, or status and reason of the sidecar's own answer. */
async function ask(sidecar: Sidecar, listener: string, authority: string, ...fields: readonly SentField[]) {
  const client = await connectTo(sidecar, {}, listener);
  const stream = client.request([
    [":method", "GET"],
    [":scheme", "http"],
    [":authority", authority],
    [":path", "/"],
    ...fields,
  ]);
  await stream.complete();
  const [head] = stream.heads;
  if (head?.get("server") !== "sidelane") return stream.body;
  return `${head.status} ${(JSON.parse(stream.body) as { reason: string }).reason}`;
}

async function shop(options: SidecarOptions = {}): Promise<Sidecar> {
  const names = ["app", "baseline", "pr-7", "pr-9", "ledger-http", "ledger-grpc", "ledger-grpc-7"];
  const [app, baseline, pr7, pr9, http, grpc, grpc7] = await Promise.all(names.map(named));
  const at = (backend: Http2Backend | undefined): string[] => [backend?.name ?? ""];
  return startSidecar({
    listeners: [{ direction: "inbound", address: "127.0.0.1:0", target: app?.name }, ...outbound],
    table: {
      services: {
        checkout: { hosts: ["checkout", "checkout.shop.svc"], baseline: at(baseline) },
        ledger: { ports: { http: 8080, grpc: 9090 }, baseline: { http: at(http), grpc: at(grpc) } },
      },
      sandboxes: {
        "pr-7": { services: { checkout: at(pr7), ledger: { http: at(http), grpc: at(grpc7) } } },
        "pr-9": { key: "nine", services: { checkout: at(pr9) } },
        "pr-0": { services: { checkout: ["127.0.0.1:1"] } },
      },
      groups: { both: { sandboxes: ["pr-9", "pr-7"] } },
    },
    ...options,
  });
}

describe("decisions over HTTP/2 (DESIGN §3.4)", () => {
  test("inbound: the app, unless a key selects a sandbox that has the service", async () => {
    const sidecar = await shop();
    expect(await ask(sidecar, "inbound", "whatever")).toBe("app");
    expect(await ask(sidecar, "inbound", "whatever", ["baggage", "sidelane=pr-7"])).toBe("pr-7");
    expect(await ask(sidecar, "inbound", "whatever", ["baggage", "a=1, sidelane=nine;p=1 ,b=2"])).toBe("pr-9");
    expect(await ask(sidecar, "inbound", "whatever", ["baggage", "sidelane=unknown"])).toBe("app");
    expect(await ask(sidecar, "inbound", "whatever", ["baggage", "xsidelane=pr-7,sidelane2=pr-7"])).toBe("app");
  });

  test("several baggage fields, and several carriers at once", async () => {
    const sidecar = await shop();
    const first: SentField = ["baggage", "user=ada"];
    expect(await ask(sidecar, "inbound", "h", first, ["baggage", "sidelane=pr-7"])).toBe("pr-7");
    expect(await ask(sidecar, "inbound", "h", ["baggage", "sidelane=nine"], first, first)).toBe("pr-9");
    expect(await ask(sidecar, "inbound", "h", first, ["x-other", "sidelane=pr-7"])).toBe("app");
  });

  test("the key is found again when it comes from the dynamic table, and when it changes", async () => {
    const sidecar = await shop();
    const client = await connectTo(sidecar);
    const keys = ["pr-7", "nine", "pr-7", "unknown", "pr-7", "nine"];
    const answers = keys.map(async (key) => {
      const fields: SentField[] = [
        [":method", "GET", "indexed"],
        [":scheme", "http", "indexed"],
        [":authority", "checkout", "indexed"],
        [":path", "/", "indexed"],
        ["baggage", `sidelane=${key}`, "indexed"],
      ];
      return (await client.request(fields).complete()).body;
    });
    expect(await Promise.all(answers)).toEqual(["pr-7", "pr-9", "pr-7", "app", "pr-7", "pr-9"]);
  });

  test("outbound: by :authority, whatever its case and port; or by Host when there is none", async () => {
    const sidecar = await shop();
    for (const host of ["checkout", "CHECKOUT:8080", "checkout.shop.svc", "Checkout.Shop.svc:1"]) {
      expect(await ask(sidecar, "outbound", host)).toBe("baseline");
      expect(await ask(sidecar, "outbound", host, ["baggage", "sidelane=pr-7"])).toBe("pr-7");
    }
    const client = await connectTo(sidecar, {}, "outbound");
    const fields: SentField[] = [
      [":method", "GET"],
      [":scheme", "http"],
      [":path", "/"],
      ["host", "checkout:8080"],
    ];
    expect((await client.request(fields).complete()).body).toBe("baseline");
  });

  test("outbound: several ports, told apart by the number in the authority", async () => {
    const sidecar = await shop();
    expect(await ask(sidecar, "outbound", "ledger:8080")).toBe("ledger-http");
    expect(await ask(sidecar, "outbound", "ledger:9090")).toBe("ledger-grpc");
    expect(await ask(sidecar, "outbound", "ledger:9090", ["baggage", "sidelane=pr-7"])).toBe("ledger-grpc-7");
  });

  test("outbound: a host that the table does not know passes through to its authority", async () => {
    const sidecar = await shop();
    const other = await named("elsewhere");
    expect(await ask(sidecar, "outbound", other.name)).toBe("elsewhere");
    expect(await ask(sidecar, "outbound", other.name, ["baggage", "sidelane=pr-7"])).toBe("elsewhere");
  });

  test("a group: the first member that has the service", async () => {
    const sidecar = await shop();
    expect(await ask(sidecar, "outbound", "checkout", ["baggage", "sidelane=both"])).toBe("pr-9");
    expect(await ask(sidecar, "outbound", "ledger:9090", ["baggage", "sidelane=both"])).toBe("ledger-grpc-7");
  });

  test("carriers in their order: the first that yields a key wins", async () => {
    const carriers = [{ tracestate: "sidelane" }, { header: "x-sandbox" }, { baggage: "tenant" }];
    const sidecar = await shop({ tenancy: { carriers } });
    expect(await ask(sidecar, "inbound", "h", ["baggage", "tenant=pr-7"])).toBe("pr-7");
    expect(await ask(sidecar, "inbound", "h", ["x-sandbox", "nine"])).toBe("pr-9");
    expect(await ask(sidecar, "inbound", "h", ["tracestate", "a=1,sidelane=pr-7,b=2"])).toBe("pr-7");
    expect(await ask(sidecar, "inbound", "h", ["x-sandbox", "pr-7"], ["baggage", "tenant=nine"])).toBe("pr-7");
    expect(await ask(sidecar, "inbound", "h", ["x-sandbox", "pr-7"], ["tracestate", "sidelane=nine"])).toBe("pr-9");
  });

  test("onUnknownKey: reject", async () => {
    const sidecar = await shop({ tenancy: { onUnknownKey: "reject" } });
    expect(await ask(sidecar, "inbound", "h", ["baggage", "sidelane=nobody"])).toBe("421 unknown-key");
    expect(await ask(sidecar, "outbound", "checkout", ["baggage", "sidelane=nobody"])).toBe("421 unknown-key");
    expect(await ask(sidecar, "inbound", "h")).toBe("app");
  });

  test("onUnavailable: fail never asks the baseline, baseline does", async () => {
    const key: SentField = ["baggage", "sidelane=pr-0"];
    const fail = await shop();
    expect(await ask(fail, "inbound", "h", key)).toBe("503 sandbox-unavailable");
    expect(await ask(fail, "outbound", "checkout", key)).toBe("503 sandbox-unavailable");
    const baseline = await shop({ tenancy: { onUnavailable: "baseline" } });
    expect(await ask(baseline, "inbound", "h", key)).toBe("app");
    expect(await ask(baseline, "outbound", "checkout", key)).toBe("baseline");
    expect(await baseline.metric("sidelane_active_requests")).toBe(0);
  });

  test("beside a sandbox's own copy inbound goes to the app", async () => {
    const sidecar = await shop({ sandbox: "pr-7" });
    expect(await ask(sidecar, "inbound", "h", ["baggage", "sidelane=nine"])).toBe("app");
    expect(await ask(sidecar, "outbound", "checkout", ["baggage", "sidelane=nine"])).toBe("pr-9");
  });

  test("streams of one connection go where their own key says, whatever their neighbours'", async () => {
    const sidecar = await shop();
    const client = await connectTo(sidecar);
    const asked = Array.from({ length: 60 }, (_, n) => {
      const key = ["pr-7", "nine", "none"][n % 3] ?? "";
      return client.request([
        [":method", "GET"],
        [":scheme", "http"],
        [":authority", "checkout"],
        [":path", `/${n}`],
        ["baggage", `sidelane=${key}`],
      ]);
    });
    for (const [n, stream] of asked.entries()) {
      expect((await stream.complete()).body).toBe(["pr-7", "pr-9", "app"][n % 3]);
    }
    expect(await sidecar.metric("sidelane_requests_total", { protocol: "http2", destination: "pr-7" })).toBe(20);
  });

  test("several endpoints: one that refuses connections is passed over, with the body of the request", async () => {
    const good = await startHttp2Answering(async (stream) => {
      stream.respond(200, (await stream.complete()).body);
    });
    const sidecar = await startSidecar({
      listeners: outbound,
      table: { services: { checkout: { baseline: ["127.0.0.1:1", good.name, "127.0.0.1:2"] } } },
    });
    const client = await connectTo(sidecar, {}, "outbound");
    for (let n = 0; n < 10; n++) {
      const stream = client.request(
        [
          [":method", "POST"],
          [":scheme", "http"],
          [":authority", "checkout"],
          [":path", "/"],
        ],
        {},
      );
      stream.data(`body ${n}`, { endStream: true });
      expect((await stream.complete()).body).toBe(`body ${n}`);
    }
  });
});
