// Endpoints that are names: looked up off the request path, refreshed, and kept as they were when DNS fails. The addresses
// are several of the loopback network's, so that one port can be several machines.
import { describe, expect, test } from "vitest";
import type { Message } from "../support/message.ts";
import { ok } from "../support/backend.ts";
import type { Peer } from "../support/peer.ts";
import { ScriptedDns, startNamedSidecar } from "../support/named-sidecar.ts";
import { deadPort, endpointState, eventually, get, startBackendAt, upstreamGauges } from "../support/requests.ts";
import type { Sidecar } from "../support/sidecar.ts";

const A = "127.0.0.1";
const B = "127.0.0.2";

/** A backend at an address of ours that answers every request with `name`, on connections that it keeps. */
async function startNamed(name: string, host: string, port: number): Promise<void> {
  const backend = await startBackendAt(port, host);
  const serve = async (peer: Peer): Promise<void> => {
    for (;;) {
      await peer.message();
      peer.send(ok(name));
    }
  };
  const acceptAll = async (): Promise<void> => {
    // Ends with the connection: nothing more to serve.
    for (;;) serve(await backend.accept()).catch(() => {});
  };
  void acceptAll();
}

async function ask(sidecar: Sidecar): Promise<Message> {
  const client = await sidecar.connect();
  client.send(get());
  const answer = await client.message();
  client.finish();
  return answer;
}

describe("a name", () => {
  test("is looked up when its route is made, not for each request", async () => {
    const port = await deadPort();
    await startNamed("a", A, port);
    const dns = new ScriptedDns();
    dns.answer = [A];
    const sidecar = await startNamedSidecar(dns, `app.test:${port}`, { dnsRefreshMs: 60_000 });
    for (let n = 0; n < 20; n++) expect((await ask(sidecar)).body).toBe("a");
    expect(dns.asked.length).toBeLessThanOrEqual(2);
    expect(new Set(dns.asked)).toEqual(new Set(["app.test"]));
  });

  test("with several addresses: each gets its share", async () => {
    const port = await deadPort();
    await startNamed("a", A, port);
    await startNamed("b", B, port);
    const dns = new ScriptedDns();
    dns.answer = [A, B];
    const sidecar = await startNamedSidecar(dns, `app.test:${port}`);
    const clients = await Promise.all(Array.from({ length: 10 }, () => sidecar.connect()));
    for (const client of clients) client.send(get());
    const answers = await Promise.all(clients.map((client) => client.message()));
    expect(new Set(answers.map(({ body }) => body))).toEqual(new Set(["a", "b"]));
  });

  test("with an address that refuses: another is tried, the caller sees nothing, the endpoint stays in", async () => {
    const port = await deadPort();
    await startNamed("b", B, port);
    const dns = new ScriptedDns();
    dns.answer = [A, B];
    const sidecar = await startNamedSidecar(dns, `app.test:${port}`, { ejectBaseMs: 60_000, ejectMs: 60_000 });
    const clients = await Promise.all(Array.from({ length: 30 }, () => sidecar.connect()));
    for (const client of clients) client.send(get());
    for (const client of clients) expect((await client.message()).body).toBe("b");
    expect(endpointState(sidecar)?.ejectedMs).toBe(0);
  });

  test("that moves: the next requests go to the new address, and connections to the old one end", async () => {
    const port = await deadPort();
    await startNamed("a", A, port);
    await startNamed("b", B, port);
    const dns = new ScriptedDns();
    dns.answer = [A];
    const sidecar = await startNamedSidecar(dns, `app.test:${port}`, { dnsRefreshMs: 100, upstreamIdleMs: 0 });
    const client = await sidecar.connect();
    const askAgain = async (): Promise<string> => {
      client.send(get());
      return (await client.message()).body;
    };
    expect(await askAgain()).toBe("a");
    dns.answer = [B];
    // The connection to A would be kept for ever, and is used by every request: the last one in is the first one out.
    await eventually(async () => expect(await askAgain()).toBe("b"));
    expect(await askAgain()).toBe("b");
    expect(endpointState(sidecar)).toMatchObject({ idle: 1, active: 0 });
  });

  test("keeps its last addresses when DNS fails or knows nothing any more", async () => {
    const port = await deadPort();
    await startNamed("a", A, port);
    const dns = new ScriptedDns();
    dns.answer = [A];
    const sidecar = await startNamedSidecar(dns, `app.test:${port}`, { dnsRefreshMs: 100, upstreamIdleMs: 100 });
    expect((await ask(sidecar)).body).toBe("a");
    for (const failure of [new Error("no answer"), []]) {
      dns.answer = failure;
      const before = dns.asked.length;
      await eventually(async () => {
        expect((await ask(sidecar)).body).toBe("a");
        expect(dns.asked.length).toBeGreaterThan(before + 1);
      });
      expect((await ask(sidecar)).body).toBe("a");
    }
  });

  test("that cannot be resolved: 503 that says so, and served once it can", async () => {
    const port = await deadPort();
    await startNamed("a", A, port);
    const dns = new ScriptedDns();
    dns.answer = new Error("getaddrinfo ENOTFOUND app.test");
    const sidecar = await startNamedSidecar(dns, `app.test:${port}`);
    const answer = await ask(sidecar);
    expect(answer.status).toBe(503);
    expect(JSON.parse(answer.body)).toMatchObject({ reason: "upstream-unavailable", endpoint: `app.test:${port}` });
    expect(answer.body).toContain("the name app.test cannot be resolved");
    expect(endpointState(sidecar)).toMatchObject({ connecting: 0, waiting: 0, outstanding: 0 });
    dns.answer = [A];
    expect((await ask(sidecar)).body).toBe("a");
  });

  test("whose look-up hangs: nobody waits longer than upstreamWaitMs, and nothing is left behind", async () => {
    const dns = new ScriptedDns();
    const late = Promise.withResolvers<readonly string[]>();
    dns.answer = late.promise;
    const timeouts = { upstreamWaitMs: 200, connectMs: 100 };
    const sidecar = await startNamedSidecar(dns, `app.test:${await deadPort()}`, timeouts);
    const answer = await ask(sidecar);
    expect(answer.status).toBe(503);
    expect(JSON.parse(answer.body)).toMatchObject({ reason: "upstream-unavailable" });
    expect(endpointState(sidecar)).toMatchObject({ connecting: 1, waiting: 0, outstanding: 0 });
    late.resolve([A]);
    // Nobody wants the connection any more: none is made.
    await eventually(() => expect(endpointState(sidecar)).toMatchObject({ connecting: 0, active: 0, idle: 0 }));
    expect(await upstreamGauges(sidecar)).toEqual({ idle: 0, active: 0, connecting: 0 });
  });

  test("whose look-up answers after the proxy was closed: no connection is made", async () => {
    const dns = new ScriptedDns();
    const late = Promise.withResolvers<readonly string[]>();
    dns.answer = late.promise;
    const port = await deadPort();
    const backend = await startBackendAt(port);
    const sidecar = await startNamedSidecar(dns, `app.test:${port}`);
    const client = await sidecar.connect();
    client.send(get());
    await eventually(() => expect(endpointState(sidecar)).toMatchObject({ connecting: 1, waiting: 1 }));
    await sidecar.close();
    late.resolve([A]);
    await eventually(async () => expect(await upstreamGauges(sidecar)).toEqual({ idle: 0, active: 0, connecting: 0 }));
    expect(backend.connections).toHaveLength(0);
  });
});
