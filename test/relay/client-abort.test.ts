import { expect, test } from "vitest";
import { eventually } from "../support/quiet.ts";
import { describeRelay, startTrio } from "../support/sidecar.ts";

describeRelay("a client that goes away ends its exchange", (mode) => {
  test.each(["abort", "finish"] as const)("within its body (%s): the endpoint's connection ends", async (how) => {
    const { client, sidecar, backend } = await startTrio(mode);
    client.send("POST / HTTP/1.1\r\nHost: checkout\r\nContent-Length: 100\r\n\r\nabc");
    const peer = await backend.accept();
    await peer.until("abc");
    client[how]();
    expect(await peer.ended()).toMatch(/fin|reset/);
    await eventually(async () => (await sidecar.metric("sidelane_requests_total", { reason: "client-closed" })) === 1);
    expect(await sidecar.metric("sidelane_active_requests")).toBe(0);
  });

  test("before the answer", async () => {
    const { client, sidecar, backend } = await startTrio(mode);
    client.send("GET / HTTP/1.1\r\nHost: checkout\r\n\r\n");
    const { peer } = await backend.request();
    client.abort();
    expect(await peer.ended()).toMatch(/fin|reset/);
    await eventually(async () => (await sidecar.metric("sidelane_requests_total", { code: "499" })) === 1);
    expect(await sidecar.metric("sidelane_upstream_connections")).toBe(0);
  });

  test("within the response", async () => {
    const { client, sidecar, backend } = await startTrio(mode);
    client.send("GET / HTTP/1.1\r\nHost: checkout\r\n\r\n");
    const { peer } = await backend.request();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc");
    await client.until("abc");
    client.abort();
    expect(await peer.ended()).toMatch(/fin|reset/);
    await eventually(async () => (await sidecar.metric("sidelane_requests_total", { reason: "client-closed" })) === 1);
    expect(await sidecar.metric("sidelane_active_requests")).toBe(0);
  });

  test("while a response pours in that nobody takes any more: nothing breaks, the next client is served", async () => {
    const { sidecar, backend } = await startTrio(mode);
    // More than the kernel's buffers take.
    const body = Buffer.alloc(32 * 1024 * 1024);
    for (let n = 0; n < 20; n++) {
      const client = await sidecar.connect();
      client.send("GET / HTTP/1.1\r\nHost: checkout\r\n\r\n");
      const { peer } = await backend.request();
      peer.send(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`);
      peer.send(body);
      await client.untilBytes(1000 + n * 200_000);
      client.abort();
      await peer.ended();
    }
    const client = await sidecar.connect();
    client.send("GET / HTTP/1.1\r\nHost: checkout\r\n\r\n");
    const { peer } = await backend.request();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    expect((await client.message()).body).toBe("ok");
    await eventually(async () => (await sidecar.metric("sidelane_active_requests")) === 0);
  });

  test("a response that ends in the same turn as the client: nothing breaks", async () => {
    const { sidecar, backend } = await startTrio(mode);
    const body = Buffer.alloc(300 * 1024);
    for (let n = 0; n < 50; n++) {
      const client = await sidecar.connect();
      client.send("GET / HTTP/1.1\r\nHost: checkout\r\n\r\n");
      const { peer } = await backend.request();
      client.abort();
      peer.send(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`);
      peer.send(body);
      await peer.ended();
    }
    await eventually(async () => (await sidecar.metric("sidelane_active_requests")) === 0);
    expect(await sidecar.metric("sidelane_requests_total")).toBe(50);
  });
});
