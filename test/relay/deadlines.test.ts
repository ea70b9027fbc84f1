import { expect, test } from "vitest";
import { eventually, swept } from "../support/quiet.ts";
import { openConnections } from "../support/requests.ts";
import { describeRelay, startTrio } from "../support/sidecar.ts";

const GET = "GET / HTTP/1.1\r\nHost: checkout\r\n\r\n";
/** Where something has to happen before the deadline: enough for it on a busy machine. */
const IN_TIME_MS = 1_500;

describeRelay("deadlines", (mode) => {
  test.each(["G", "GET / HTTP/1.1\r\nHost: checkout\r\n"])(
    "timeouts.headMs: 408 for a head that stops at %j",
    async (head) => {
      const listeners = [{ direction: "inbound", address: "127.0.0.1:0", target: "127.0.0.1:1", protocol: "http1" }];
      const { client } = await startTrio({ ...mode, listeners, timeouts: { headMs: 100 } });
      client.send(head);
      const answer = await client.message();
      expect(answer.status).toBe(408);
      expect(JSON.parse(answer.body)).toMatchObject({ reason: "request-timeout" });
      expect(await client.ended()).toBe("fin");
    },
  );

  test("timeouts.headMs: no answer to what might still be anything", async () => {
    const { client, sidecar, backend } = await startTrio({ ...mode, timeouts: { headMs: 100 } });
    client.send("G");
    expect(await client.ended()).toBe("fin");
    expect(client.text).toBe("");
    expect(backend.connections).toHaveLength(0);
    await eventually(() => openConnections(sidecar) === 0);
  });

  test("timeouts.headMs: no answer to empty lines that stand where a request could", async () => {
    const { client, backend } = await startTrio({ ...mode, timeouts: { headMs: 100 } });
    client.send("POST / HTTP/1.1\r\nHost: checkout\r\nContent-Length: 2\r\n\r\nhi\r\n");
    const { peer } = await backend.request();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    expect((await client.message()).body).toBe("ok");
    expect(await client.ended()).toBe("fin");
    expect(client.text).toBe("");
  });

  test("timeouts.headMs counts from the first byte, whatever trickles in", async () => {
    const { client } = await startTrio({ ...mode, timeouts: { headMs: 200 } });
    const trickle = setInterval(() => client.send("X: y\r\n"), 20);
    client.send("GET / HTTP/1.1\r\n");
    const answer = await client.message();
    clearInterval(trickle);
    expect(answer.status).toBe(408);
  });

  test("timeouts.bodyMs: 408 for a body that stops, and the endpoint's connection ends", async () => {
    const { client, backend } = await startTrio({ ...mode, timeouts: { bodyMs: IN_TIME_MS } });
    client.send("POST / HTTP/1.1\r\nHost: checkout\r\nContent-Length: 10\r\n\r\nabc");
    const peer = await backend.accept();
    await peer.until("abc");
    const answer = await client.message();
    expect(answer.status).toBe(408);
    expect(await client.ended()).toBe("fin");
    expect(await peer.ended()).toMatch(/fin|reset/);
  });

  test("timeouts.requestMs after an early answer has begun: a reset, counted for what it is", async () => {
    const { client, sidecar, backend } = await startTrio({ ...mode, timeouts: { requestMs: IN_TIME_MS } });
    client.send("POST / HTTP/1.1\r\nHost: checkout\r\nContent-Length: 10\r\n\r\nabc");
    const peer = await backend.accept();
    await peer.until("abc");
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    await client.until("abc");
    expect(await client.ended()).toBe("reset");
    expect(await sidecar.metric("sidelane_requests_total", { reason: "response-aborted", code: "200" })).toBe(1);
  });

  test("timeouts.bodyMs does not count the time in which the endpoint did not read", async () => {
    const { client, backend } = await startTrio({ ...mode, timeouts: { bodyMs: 1500 } });
    const length = 32 * 1024 * 1024;
    client.send(`POST / HTTP/1.1\r\nHost: checkout\r\nContent-Length: ${length}\r\n\r\n`);
    client.send(new Uint8Array(length - 1));
    const peer = await backend.accept();
    await peer.until("\r\n\r\n");
    peer.forget();
    peer.socket.pause();
    await swept(1800);
    peer.socket.resume();
    await peer.untilBytes(length - 1);
    client.send("x");
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    expect((await client.message()).status).toBe(200);
  });

  test("timeouts.responseHeadMs: 504", async () => {
    const { client, backend } = await startTrio({ ...mode, timeouts: { responseHeadMs: IN_TIME_MS } });
    client.send(GET);
    const { peer } = await backend.request();
    peer.send("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 O");
    await client.message();
    const answer = await client.message();
    expect(answer.status).toBe(504);
    expect(JSON.parse(answer.body)).toMatchObject({ reason: "upstream-timeout" });
    expect(await peer.ended()).toMatch(/fin|reset/);
    // The request was complete: the client's connection is in order.
    client.send(GET);
    const next = await backend.request();
    next.peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    expect((await client.message()).status).toBe(200);
  });

  test("timeouts.responseHeadMs does not touch a response that streams", async () => {
    const { client, backend } = await startTrio({ ...mode, timeouts: { responseHeadMs: IN_TIME_MS } });
    client.send(GET);
    const { peer } = await backend.request();
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    await client.until("\r\n\r\n");
    await swept(IN_TIME_MS + 300);
    peer.send("2\r\nok\r\n0\r\n\r\n");
    expect((await client.message()).body).toBe("ok");
  });

  test("timeouts.requestMs: 504 before the response has begun, a reset afterwards", async () => {
    const { client, sidecar, backend } = await startTrio({ ...mode, timeouts: { requestMs: IN_TIME_MS } });
    client.send(GET);
    await backend.request();
    expect((await client.message()).status).toBe(504);
    const second = await sidecar.connect();
    second.send(GET);
    const { peer } = await backend.request();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    expect(await second.ended()).toBe("reset");
    expect(await peer.ended()).toMatch(/fin|reset/);
  });

  test("timeouts.stalledMs: a client that does not read its response is cut off", async () => {
    const { client, sidecar, backend } = await startTrio({ ...mode, timeouts: { stalledMs: 200 } });
    client.send(GET);
    client.socket.pause();
    const { peer } = await backend.request();
    peer.send(`HTTP/1.1 200 OK\r\nContent-Length: ${64 * 1024 * 1024}\r\n\r\n`);
    peer.send(new Uint8Array(64 * 1024 * 1024));
    expect(await peer.ended()).toMatch(/fin|reset/);
    expect(await sidecar.metric("sidelane_requests_total", { reason: "client-closed" })).toBe(1);
  });

  test("timeouts.stalledMs: an endpoint that does not read its request is given up", async () => {
    const { client, backend } = await startTrio({ ...mode, timeouts: { stalledMs: 200 } });
    client.send(`POST / HTTP/1.1\r\nHost: checkout\r\nContent-Length: ${64 * 1024 * 1024}\r\n\r\n`);
    const peer = await backend.accept();
    await peer.until("\r\n\r\n");
    peer.socket.pause();
    client.send(new Uint8Array(32 * 1024 * 1024));
    const answer = await client.message();
    expect(answer.status).toBe(504);
    expect(JSON.parse(answer.body)).toMatchObject({ reason: "upstream-timeout" });
  });

  test("timeouts.stalledMs: a client that does not read between two pipelined requests is cut off", async () => {
    const { client, sidecar } = await startTrio({
      ...mode,
      timeouts: { stalledMs: 200 },
      tenancy: { onUnknownKey: "reject" },
    });
    client.socket.pause();
    client.socket.on("error", () => {});
    client.send("GET / HTTP/1.1\r\nHost: checkout\r\nbaggage: sidelane=nobody\r\n\r\n".repeat(200_000));
    await new Promise((resolve) => client.socket.once("close", resolve));
    expect(await sidecar.metric("sidelane_active_requests")).toBe(0);
  });

  test("timeouts.idleMs: an idle connection ends in order, before and after a request", async () => {
    const { client, sidecar, backend } = await startTrio({ ...mode, timeouts: { idleMs: 100 } });
    client.send(GET);
    const { peer } = await backend.request();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    await client.message();
    expect(await client.ended()).toBe("fin");
    expect(await (await sidecar.connect()).ended()).toBe("fin");
  });

  test("timeouts.upstreamIdleMs: an unused upstream connection ends in order", async () => {
    const { client, backend } = await startTrio({ ...mode, timeouts: { upstreamIdleMs: 100 } });
    client.send(GET);
    const { peer } = await backend.request();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    await client.message();
    expect(await peer.ended()).toBe("fin");
  });
});
