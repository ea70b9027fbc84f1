import { expect, test } from "vitest";
import { describeRelay, startTrio } from "../support/sidecar.ts";

const GET = "GET / HTTP/1.1\r\nHost: checkout\r\n\r\n";
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

describeRelay("persistent connections (RFC 9112 §9.3)", (mode) => {
  test("one client connection and one upstream connection carry many requests", async () => {
    const { client, backend } = await startTrio(mode);
    client.send(GET);
    const { peer } = await backend.request();
    peer.send(OK);
    await client.message();
    for (let n = 0; n < 20; n++) {
      client.send(`POST /${n} HTTP/1.1\r\nHost: checkout\r\nContent-Length: 1\r\n\r\n${n % 10}`);
      const request = await peer.message();
      expect(request.start).toBe(`POST /${n} HTTP/1.1`);
      peer.send(`HTTP/1.1 200 OK\r\nContent-Length: ${n}\r\n\r\n${"x".repeat(n)}`);
      expect((await client.message()).body).toHaveLength(n);
    }
    expect(backend.connections).toHaveLength(1);
  });

  test("another client uses the idle upstream connection", async () => {
    const { client, sidecar, backend } = await startTrio(mode);
    client.send(GET);
    const { peer } = await backend.request();
    peer.send(OK);
    await client.message();
    const second = await sidecar.connect();
    second.send(GET);
    await peer.message();
    peer.send(OK);
    expect((await second.message()).body).toBe("ok");
    expect(backend.connections).toHaveLength(1);
  });

  test("Connection: close of the client: said in the answer, the upstream connection is kept", async () => {
    const { client, sidecar, backend } = await startTrio(mode);
    client.send("GET / HTTP/1.1\r\nHost: checkout\r\nConnection: close\r\n\r\n");
    const { request, peer } = await backend.request();
    expect(request.field("connection")).toBeUndefined();
    peer.send(OK);
    expect((await client.message()).field("connection")).toBe("close");
    expect(await client.ended()).toBe("fin");
    const second = await sidecar.connect();
    second.send(GET);
    expect((await peer.message()).start).toBe("GET / HTTP/1.1");
  });

  test("Connection: close of the endpoint: not said to the client, whose connection is kept", async () => {
    const { client, backend } = await startTrio(mode);
    client.send(GET);
    const { peer } = await backend.request();
    peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
    expect((await client.message()).field("connection")).toBeUndefined();
    expect(await peer.ended()).toBe("fin");
    client.send(GET);
    const next = await backend.request();
    next.peer.send(OK);
    expect((await client.message()).body).toBe("ok");
  });

  test("what follows a request with Connection: close is not answered", async () => {
    const { client, backend } = await startTrio(mode);
    client.send(`GET /1 HTTP/1.1\r\nHost: checkout\r\nConnection: close\r\n\r\n${GET}`);
    const { peer } = await backend.request();
    peer.send(OK);
    expect((await client.message()).body).toBe("ok");
    expect(await client.ended()).toBe("fin");
    expect(client.text).toBe("");
    expect(peer.text).toBe("");
  });

  test("one connection, decided anew for each request", async () => {
    const { client, sidecar, backend } = await startTrio(mode);
    client.send(GET);
    const { peer } = await backend.request();
    peer.send(OK);
    await client.message();
    const endpoint = `127.0.0.1:${backend.port}`;
    sidecar.publish({ services: { checkout: {} }, sandboxes: { "pr-7": { services: { checkout: [endpoint] } } } });
    client.send("GET / HTTP/1.1\r\nHost: checkout\r\nbaggage: sidelane=pr-7\r\nx-sidelane-debug: 1\r\n\r\n");
    await peer.message();
    peer.send(OK);
    expect((await client.message()).field("x-sidelane-route")).toBe("checkout=pr-7;reason=sandbox;table=1");
  });
});
