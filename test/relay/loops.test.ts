// Attack, or a slip in a config: a listener's way leads back to itself, at once or over another sidecar. Each round would
// cost a connection until none is left; the sidecar recognises its own name in Via and refuses (DESIGN §3.4 step 8).
import { expect, test } from "vitest";
import { startBackend } from "../support/backend.ts";
import { describeRelay, startSidecar } from "../support/sidecar.ts";

describeRelay("a request that comes back", (mode) => {
  test("to a listener that a table names as an endpoint", async () => {
    const sidecar = await startSidecar({ ...mode, target: "127.0.0.1:1" });
    sidecar.publish({
      services: { checkout: {} },
      sandboxes: { "pr-7": { services: { checkout: [`127.0.0.1:${sidecar.port()}`] } } },
    });
    const client = await sidecar.connect();
    client.send("GET / HTTP/1.1\r\nHost: checkout\r\nbaggage: sidelane=pr-7\r\n\r\n");
    const answer = await client.message();
    expect(answer.status).toBe(508);
    expect(JSON.parse(answer.body)).toMatchObject({ reason: "loop" });
    expect(await sidecar.metric("sidelane_requests_total", { reason: "loop" })).toBe(1);
  });

  test("over an outbound listener that passes through to itself", async () => {
    const sidecar = await startSidecar({
      ...mode,
      listeners: [{ name: "outbound", direction: "outbound", address: "127.0.0.1:0" }],
    });
    const client = await sidecar.connect("outbound");
    client.send(`GET / HTTP/1.1\r\nHost: 127.0.0.1:${sidecar.port("outbound")}\r\n\r\n`);
    expect((await client.message()).status).toBe(508);
  });

  test("over another sidecar", async () => {
    const probe = await startBackend();
    await probe.close();
    const there = await startSidecar({ ...mode, target: probe.name });
    await startSidecar({
      ...mode,
      listeners: [{ direction: "inbound", address: probe.name, target: `127.0.0.1:${there.port()}` }],
    });
    const client = await there.connect();
    client.send("GET / HTTP/1.1\r\nHost: checkout\r\n\r\n");
    expect((await client.message()).status).toBe(508);
  });

  test("not: a listener whose name begins like that of another one of the sidecar", async () => {
    const backend = await startBackend();
    const sidecar = await startSidecar({
      ...mode,
      listeners: [
        { name: "in", direction: "inbound", address: "127.0.0.1:0", target: backend.name },
        { name: "in-2", direction: "inbound", address: "127.0.0.1:0", target: backend.name },
      ],
    });
    const client = await sidecar.connect("in");
    client.send("GET / HTTP/1.1\r\nHost: checkout\r\nvia: 1.1 sidelane-1f-in-2, 1.1 xsidelane-1f-in\r\n\r\n");
    const { peer } = await backend.request();
    peer.send("HTTP/1.1 204 No Content\r\n\r\n");
    expect((await client.message()).status).toBe(204);
  });

  test("not: from the outbound to the inbound listener of one sidecar", async () => {
    const backend = await startBackend();
    const sidecar = await startSidecar({
      ...mode,
      listeners: [
        { direction: "inbound", address: "127.0.0.1:0", target: backend.name },
        { direction: "outbound", address: "127.0.0.1:0" },
      ],
    });
    const client = await sidecar.connect("outbound");
    client.send(`GET / HTTP/1.1\r\nHost: 127.0.0.1:${sidecar.port("inbound")}\r\n\r\n`);
    const { request, peer } = await backend.request();
    expect(request.lines.filter((line) => line.startsWith("via: "))).toHaveLength(2);
    peer.send("HTTP/1.1 204 No Content\r\n\r\n");
    expect((await client.message()).status).toBe(204);
  });
});
