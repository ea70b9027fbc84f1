// Several endpoints: who is chosen, who is passed over, and what the caller sees when none can be reached.
import { describe, expect, test } from "vitest";
import { ok, startAnswering } from "../support/backend.ts";
import { startBlackhole } from "../support/blackhole.ts";
import { deadPort, endpointState, eventually, get, request, startBackendAt } from "../support/requests.ts";
import { type Sidecar, type SidecarOptions, startSidecar } from "../support/sidecar.ts";

/** A table in which sandbox `x` has the service on these endpoints. */
function sandboxed(...endpoints: readonly string[]): object {
  return { services: { checkout: {} }, sandboxes: { x: { services: { checkout: endpoints } } } };
}

const inSandbox = "baggage: sidelane=x";

function answering(name: string): ReturnType<typeof startAnswering> {
  return startAnswering(() => ok(name));
}

describe("one of several endpoints refuses", () => {
  test("the caller sees nothing of it, whatever the method, and it is passed over", async () => {
    const dead = `127.0.0.1:${await deadPort()}`;
    const alive = await answering("alive");
    const sidecar = await startSidecar({
      target: alive.name,
      table: sandboxed(dead, alive.name),
      timeouts: { ejectBaseMs: 60_000, ejectMs: 60_000, upstreamIdleMs: 0 },
    });
    for (let n = 0; n < 30; n++) {
      const client = await sidecar.connect();
      client.send(request("POST", "/", "body", inSandbox));
      expect((await client.message()).body).toBe("alive");
    }
    expect(endpointState(sidecar, dead)).toMatchObject({ outstanding: 0, active: 0, connecting: 0 });
    expect(endpointState(sidecar, dead)?.ejectedMs).toBeGreaterThan(0);
    expect(endpointState(sidecar, alive.name)).toMatchObject({ outstanding: 0, ejectedMs: 0 });
    expect(await sidecar.metric("sidelane_requests_total", { code: "200" })).toBe(30);
  });

  test("and another is a black hole: the third answers", async () => {
    const dead = `127.0.0.1:${await deadPort()}`;
    const hole = `127.0.0.1:${await startBlackhole()}`;
    const alive = await answering("alive");
    const sidecar = await startSidecar({
      target: alive.name,
      table: sandboxed(dead, hole, alive.name),
      timeouts: { connectMs: 200 },
    });
    const clients = await Promise.all(Array.from({ length: 20 }, () => sidecar.connect()));
    for (const client of clients) client.send(get("/", inSandbox));
    for (const client of clients) expect((await client.message()).body).toBe("alive");
  });

  test("it is used again when it is back", async () => {
    const port = await deadPort();
    const alive = await answering("alive");
    const sidecar = await startSidecar({
      target: alive.name,
      table: sandboxed(`127.0.0.1:${port}`, alive.name),
      timeouts: { ejectBaseMs: 100, ejectMs: 200 },
    });
    const client = await sidecar.connect();
    const ask = async (): Promise<string> => {
      client.send(get("/", inSandbox));
      return (await client.message()).body;
    };
    await eventually(async () => {
      expect(await ask()).toBe("alive");
      expect(endpointState(sidecar, `127.0.0.1:${port}`)?.ejectedMs).toBeGreaterThan(0);
    });
    const back = await startBackendAt(port);
    void back.request().then(({ peer }) => peer.send(ok("back", "connection: close")));
    await eventually(async () => expect(await ask()).toBe("back"));
  });
});

test("a slow endpoint gets fewer requests than those that answer", async () => {
  const counts = new Map<string, number>();
  const counting = (name: string): ReturnType<typeof startAnswering> =>
    startAnswering(() => {
      counts.set(name, (counts.get(name) ?? 0) + 1);
      return name === "slow" ? "" : ok(name);
    });
  const [slow, one, two] = await Promise.all(["slow", "one", "two"].map(counting));
  const table = sandboxed(slow?.name ?? "", one?.name ?? "", two?.name ?? "");
  const sidecar = await startSidecar({ target: "127.0.0.1:1", table });
  for (let n = 0; n < 60; n++) {
    const client = await sidecar.connect();
    client.send(get("/", inSandbox));
    const before = counts.get("slow") ?? 0;
    // Whoever meets the slow one stays there and holds it: one request is enough to make it the last choice.
    await Promise.race([
      client.message().catch(() => undefined),
      eventually(() => expect(counts.get("slow")).toBe(before + 1)),
    ]);
  }
  expect(counts.get("slow")).toBe(1);
  expect(Math.min(counts.get("one") ?? 0, counts.get("two") ?? 0)).toBeGreaterThan(10);
});

describe("no endpoint can be reached", () => {
  async function ask(sidecar: Sidecar, ...lines: readonly string[]) {
    const client = await sidecar.connect();
    client.send(get("/", ...lines));
    return client.message();
  }

  async function startDead(options: SidecarOptions = {}) {
    const baseline = await answering("baseline");
    const dead = [`127.0.0.1:${await deadPort()}`, `127.0.0.1:${await deadPort()}`];
    const sidecar = await startSidecar({ target: baseline.name, table: sandboxed(...dead), ...options });
    return { baseline, dead, sidecar };
  }

  test("of the sandbox: 503 sandbox-unavailable, and the baseline has seen nothing", async () => {
    const { baseline, sidecar } = await startDead();
    for (let n = 0; n < 5; n++) {
      const answer = await ask(sidecar, inSandbox);
      expect(answer.status).toBe(503);
      expect(JSON.parse(answer.body)).toMatchObject({
        reason: "sandbox-unavailable",
        service: "checkout",
        destination: "x",
      });
    }
    expect(baseline.connections).toHaveLength(0);
    const labels = { reason: "sandbox-unavailable", destination: "x", code: "503" };
    expect(await sidecar.metric("sidelane_requests_total", labels)).toBe(5);
    expect(await sidecar.metric("sidelane_active_requests")).toBe(0);
  });

  test("of the sandbox, with onUnavailable: baseline: the baseline answers, and header and metric say why", async () => {
    const { dead, sidecar } = await startDead({ tenancy: { onUnavailable: "baseline" } });
    const answer = await ask(sidecar, inSandbox, "x-sidelane-debug: 1");
    expect(answer.body).toBe("baseline");
    expect(answer.field("x-sidelane-route")).toBe("checkout=baseline;reason=sandbox-unavailable;table=1");
    const labels = { reason: "sandbox-unavailable", destination: "baseline", code: "200" };
    expect(await sidecar.metric("sidelane_requests_total", labels)).toBe(1);
    for (const name of dead) expect(endpointState(sidecar, name)?.outstanding).toBe(0);
    expect(await sidecar.metric("sidelane_active_requests")).toBe(0);
  });

  test("of sandbox and baseline: 503 upstream-unavailable", async () => {
    const target = `127.0.0.1:${await deadPort()}`;
    const { sidecar } = await startDead({ target, tenancy: { onUnavailable: "baseline" } });
    const answer = await ask(sidecar, inSandbox);
    expect(answer.status).toBe(503);
    expect(JSON.parse(answer.body)).toMatchObject({ reason: "upstream-unavailable", destination: "baseline" });
    expect(endpointState(sidecar, target)?.outstanding).toBe(0);
  });

  test("of the baseline: 503 upstream-unavailable, tried each time, and served as soon as it is back", async () => {
    const port = await deadPort();
    const sidecar = await startSidecar({ target: `127.0.0.1:${port}` });
    for (let n = 0; n < 3; n++) {
      const answer = await ask(sidecar);
      expect(answer.status).toBe(503);
      expect(JSON.parse(answer.body)).toMatchObject({
        reason: "upstream-unavailable",
        destination: "baseline",
        endpoint: `127.0.0.1:${port}`,
      });
    }
    // Still ejected, and tried all the same: there is nobody else.
    const back = await startBackendAt(port);
    void back.request().then(({ peer }) => peer.send(ok("back")));
    expect((await ask(sidecar)).body).toBe("back");
    expect(endpointState(sidecar)?.ejectedMs).toBe(0);
  });

  test("a black hole: 503 after connectMs, and no attempt is left behind", async () => {
    const port = await startBlackhole();
    const sidecar = await startSidecar({ target: `127.0.0.1:${port}`, timeouts: { connectMs: 200 } });
    const answer = await ask(sidecar);
    expect(answer.status).toBe(503);
    expect(answer.body).toContain("took longer than 200 ms");
    expect(endpointState(sidecar)).toMatchObject({ connecting: 0, active: 0, outstanding: 0 });
  });

  test("a black hole and connectMs above upstreamWaitMs: connectMs counts", async () => {
    const port = await startBlackhole();
    const timeouts = { connectMs: 600, upstreamWaitMs: 100 };
    const sidecar = await startSidecar({ target: `127.0.0.1:${port}`, timeouts });
    const answer = await ask(sidecar);
    expect(answer.body).toContain("took longer than 600 ms");
    expect(JSON.parse(answer.body)).toMatchObject({ reason: "upstream-unavailable" });
  });

  test("a client that goes away while the connection is being made leaves nothing behind", async () => {
    const port = await startBlackhole();
    const sidecar = await startSidecar({ target: `127.0.0.1:${port}`, timeouts: { connectMs: 500 } });
    const client = await sidecar.connect();
    client.send(get());
    await eventually(() => expect(endpointState(sidecar)).toMatchObject({ connecting: 1, waiting: 1 }));
    client.abort();
    await eventually(() => expect(endpointState(sidecar)).toMatchObject({ waiting: 0, outstanding: 0 }));
    await eventually(() => expect(endpointState(sidecar)).toMatchObject({ connecting: 0 }));
    expect(await sidecar.metric("sidelane_upstream_connections", { state: "connecting" })).toBe(0);
  });

  test("closing while connections are being made leaves no count behind", async () => {
    const port = await startBlackhole();
    const sidecar = await startSidecar({ target: `127.0.0.1:${port}` });
    const client = await sidecar.connect();
    client.send(get());
    await eventually(() => expect(endpointState(sidecar)).toMatchObject({ connecting: 1 }));
    await sidecar.close();
    await client.ended();
    await eventually(() => expect(endpointState(sidecar)).toMatchObject({ connecting: 0, waiting: 0, outstanding: 0 }));
    expect(await sidecar.metric("sidelane_upstream_connections", { state: "connecting" })).toBe(0);
  });
});
