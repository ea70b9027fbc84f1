import { expect, test } from "vitest";
import { type Backend, ok, startAnswering } from "../support/backend.ts";
import { type Sidecar, type SidecarOptions, describeRelay, startSidecar } from "../support/sidecar.ts";

/** A backend that says its name and what was asked of it. */
const named = (name: string): Promise<Backend> =>
  startAnswering((request) => ok(name, `x-host: ${request.field("host")}`));

const outbound = [{ name: "outbound", direction: "outbound", address: "127.0.0.1:0" }];

async function ask(sidecar: Sidecar, listener: string, host: string, ...lines: readonly string[]): Promise<string> {
  const client = await sidecar.connect(listener);
  client.send(`GET / HTTP/1.1\r\nHost: ${host}\r\n${lines.map((line) => `${line}\r\n`).join("")}\r\n`);
  const answer = await client.message();
  client.socket.destroy();
  if (answer.field("server") === "sidelane") {
    return `${answer.status} ${(JSON.parse(answer.body) as { reason: string }).reason}`;
  }
  return answer.body;
}

/** An inbound and an outbound listener of `checkout`, whose app and whose sandboxes answer with their names. */
async function shop(options: SidecarOptions): Promise<Sidecar> {
  const [app, baseline, pr7, pr9, http, grpc, grpc7] = await Promise.all(
    ["app", "baseline", "pr-7", "pr-9", "ledger-http", "ledger-grpc", "ledger-grpc-7"].map(named),
  );
  const at = (backend: Backend | undefined): string[] => [backend?.name ?? ""];
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

describeRelay("decisions (DESIGN §3.4)", (mode) => {
  test("inbound: the app, unless a key selects a sandbox that has the service", async () => {
    const sidecar = await shop(mode);
    expect(await ask(sidecar, "inbound", "whatever")).toBe("app");
    expect(await ask(sidecar, "inbound", "whatever", "baggage: sidelane=pr-7")).toBe("pr-7");
    expect(await ask(sidecar, "inbound", "whatever", "Baggage: a=1, sidelane=nine;p=1 ,b=2")).toBe("pr-9");
    expect(await ask(sidecar, "inbound", "whatever", "baggage: sidelane=unknown")).toBe("app");
    expect(await ask(sidecar, "inbound", "whatever", "baggage: xsidelane=pr-7,sidelane2=pr-7")).toBe("app");
  });

  test("outbound: by host, whatever its case and port", async () => {
    const sidecar = await shop(mode);
    for (const host of ["checkout", "CHECKOUT:8080", "checkout.shop.svc", "Checkout.Shop.svc:1"]) {
      expect(await ask(sidecar, "outbound", host)).toBe("baseline");
      expect(await ask(sidecar, "outbound", host, "baggage: sidelane=pr-7")).toBe("pr-7");
    }
  });

  test("outbound: several ports, told apart by the number in the authority", async () => {
    const sidecar = await shop(mode);
    expect(await ask(sidecar, "outbound", "ledger:8080")).toBe("ledger-http");
    expect(await ask(sidecar, "outbound", "ledger:9090")).toBe("ledger-grpc");
    expect(await ask(sidecar, "outbound", "ledger:9090", "baggage: sidelane=pr-7")).toBe("ledger-grpc-7");
  });

  test("outbound: a host that the table does not know passes through to its authority", async () => {
    const sidecar = await shop(mode);
    const other = await named("elsewhere");
    expect(await ask(sidecar, "outbound", other.name)).toBe("elsewhere");
    expect(await ask(sidecar, "outbound", other.name, "baggage: sidelane=pr-7")).toBe("elsewhere");
    const client = await sidecar.connect("outbound");
    client.send(`GET http://${other.name}/x HTTP/1.1\r\nHost: checkout\r\n\r\n`);
    expect((await client.message()).field("x-host")).toBe(other.name);
  });

  test("a group: the first member that has the service", async () => {
    const sidecar = await shop(mode);
    expect(await ask(sidecar, "outbound", "checkout", "baggage: sidelane=both")).toBe("pr-9");
    expect(await ask(sidecar, "outbound", "ledger:9090", "baggage: sidelane=both")).toBe("ledger-grpc-7");
  });

  test("carriers in their order: the first that yields a key wins", async () => {
    const carriers = [{ tracestate: "sidelane" }, { header: "x-sandbox" }, { baggage: "tenant" }];
    const sidecar = await shop({ ...mode, tenancy: { carriers } });
    expect(await ask(sidecar, "inbound", "h", "baggage: tenant=pr-7")).toBe("pr-7");
    expect(await ask(sidecar, "inbound", "h", "X-SANDBOX:  nine ")).toBe("pr-9");
    expect(await ask(sidecar, "inbound", "h", "tracestate: a=1,sidelane=pr-7,b=2")).toBe("pr-7");
    expect(await ask(sidecar, "inbound", "h", "x-sandbox: pr-7", "baggage: tenant=nine")).toBe("pr-7");
    expect(await ask(sidecar, "inbound", "h", "x-sandbox: pr-7", "tracestate: sidelane=nine")).toBe("pr-9");
    expect(await ask(sidecar, "inbound", "h", "baggage: sidelane=pr-7")).toBe("app");
  });

  test("onUnknownKey: reject", async () => {
    const sidecar = await shop({ ...mode, tenancy: { onUnknownKey: "reject" } });
    expect(await ask(sidecar, "inbound", "h", "baggage: sidelane=nobody")).toBe("421 unknown-key");
    expect(await ask(sidecar, "outbound", "checkout", "baggage: sidelane=nobody")).toBe("421 unknown-key");
    expect(await ask(sidecar, "inbound", "h")).toBe("app");
  });

  test("onUnavailable: fail never asks the baseline, baseline does", async () => {
    const fail = await shop(mode);
    expect(await ask(fail, "inbound", "h", "baggage: sidelane=pr-0")).toBe("503 sandbox-unavailable");
    expect(await ask(fail, "outbound", "checkout", "baggage: sidelane=pr-0")).toBe("503 sandbox-unavailable");
    const baseline = await shop({ ...mode, tenancy: { onUnavailable: "baseline" } });
    expect(await ask(baseline, "inbound", "h", "baggage: sidelane=pr-0")).toBe("app");
    expect(await ask(baseline, "outbound", "checkout", "baggage: sidelane=pr-0")).toBe("baseline");
    expect(await baseline.metric("sidelane_active_requests")).toBe(0);
  });

  test("onUnavailable: baseline, where the table declares none: the authority that was called", async () => {
    const called = await startAnswering((request) => ok(`called ${request.field("host")}`));
    const port = called.name.slice(called.name.lastIndexOf(":") + 1);
    const sidecar = await startSidecar({
      ...mode,
      listeners: outbound,
      tenancy: { onUnavailable: "baseline" },
      table: {
        services: { payments: { hosts: ["localhost", "127.0.0.1"] } },
        sandboxes: { "pr-0": { services: { payments: ["127.0.0.1:1"] } } },
      },
    });
    const authority = `127.0.0.1:${port}`;
    expect(await ask(sidecar, "outbound", authority)).toBe(`called ${authority}`);
    expect(await ask(sidecar, "outbound", authority, "baggage: sidelane=pr-0")).toBe(`called ${authority}`);
    expect(await sidecar.metric("sidelane_active_requests")).toBe(0);
  });

  test("beside a sandbox's own copy inbound goes to the app", async () => {
    const sidecar = await shop({ ...mode, sandbox: "pr-7" });
    expect(await ask(sidecar, "inbound", "h", "baggage: sidelane=nine")).toBe("app");
    expect(await ask(sidecar, "outbound", "checkout", "baggage: sidelane=nine")).toBe("pr-9");
  });

  test("several endpoints: one that refuses connections is passed over, with the body of the request", async () => {
    const good = await startAnswering((request) => ok(request.body));
    const sidecar = await startSidecar({
      ...mode,
      listeners: outbound,
      table: { services: { checkout: { baseline: ["127.0.0.1:1", good.name, "127.0.0.1:2"] } } },
    });
    for (let n = 0; n < 10; n++) {
      const client = await sidecar.connect("outbound");
      client.send(`POST / HTTP/1.1\r\nHost: checkout\r\nContent-Length: 4\r\n\r\n${1000 + n}`);
      expect((await client.message()).body).toBe(`${1000 + n}`);
    }
  });
});
