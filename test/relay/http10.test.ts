import { expect, test } from "vitest";
import { describeRelay, startTrio } from "../support/sidecar.ts";

describeRelay("HTTP/1.0 on either side", (mode) => {
  test("a request without Host gets one and our version", async () => {
    const { client, backend } = await startTrio(mode);
    client.send("GET /a HTTP/1.0\r\nX: y\r\n\r\n");
    const { request, peer } = await backend.request();
    expect(request.start).toBe("GET /a HTTP/1.1");
    expect(request.field("host")).toBe(backend.name);
    expect(request.lines).toContain("X: y");
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    expect(await client.ended()).toBe("fin");
    expect(client.text).toBe("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nconnection: close\r\n\r\nok");
  });

  test("a Host that is there stays", async () => {
    const { client, backend } = await startTrio(mode);
    client.send("GET /a HTTP/1.0\r\nHost: checkout\r\n\r\n");
    const { request } = await backend.request();
    expect(request.lines.filter((line) => /^host:/i.test(line))).toEqual(["Host: checkout"]);
  });

  test("keep-alive is honoured and said", async () => {
    const { client, backend } = await startTrio(mode);
    client.send("GET /1 HTTP/1.0\r\nHost: checkout\r\nConnection: Keep-Alive\r\n\r\n");
    const { request, peer } = await backend.request();
    expect(request.field("connection")).toBeUndefined();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    expect((await client.message()).field("connection")).toBe("keep-alive");
    client.send("GET /2 HTTP/1.0\r\nHost: checkout\r\nConnection: Keep-Alive\r\n\r\n");
    expect((await peer.message()).start).toBe("GET /2 HTTP/1.1");
  });

  test("a chunked response loses its chunks and trailers and ends with the connection", async () => {
    const { client, backend } = await startTrio(mode);
    client.send("GET / HTTP/1.0\r\nHost: checkout\r\nConnection: keep-alive\r\n\r\n");
    const { peer } = await backend.request();
    await peer.sendParts([
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n5;ext\r\nhel",
      "lo\r\n",
      "6\r\n world\r\n0\r\nX-Sum: 1\r\n",
      "\r\n",
    ]);
    expect(await client.ended()).toBe("fin");
    expect(client.text).toBe("HTTP/1.1 200 OK\r\nX: y\r\nconnection: close\r\n\r\nhello world");
  });

  test("no Transfer-Encoding in the response to HEAD either", async () => {
    const { client, backend } = await startTrio(mode);
    client.send("HEAD / HTTP/1.0\r\nHost: checkout\r\n\r\n");
    (await backend.request()).peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n");
    expect(await client.ended()).toBe("fin");
    expect(client.text).toBe("HTTP/1.1 200 OK\r\nX: y\r\nconnection: close\r\n\r\n");
  });

  test("a chunked response cut short resets the connection: without chunks nothing else shows it", async () => {
    const { client, backend } = await startTrio(mode);
    client.send("GET / HTTP/1.0\r\nHost: checkout\r\n\r\n");
    const { peer } = await backend.request();
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    await client.until("hello");
    peer.finish();
    expect(await client.ended()).toBe("reset");
  });

  test("an HTTP/1.0 endpoint: our version to the client, its connection ends with the response", async () => {
    const { client, backend } = await startTrio(mode);
    client.send("GET /1 HTTP/1.1\r\nHost: checkout\r\n\r\n");
    const { peer } = await backend.request();
    peer.send("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok");
    expect((await client.message()).raw).toBe("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    await peer.ended();
    client.send("GET /2 HTTP/1.1\r\nHost: checkout\r\n\r\n");
    expect((await backend.request()).request.start).toBe("GET /2 HTTP/1.1");
  });

  test("an HTTP/1.0 endpoint that keeps its connection is used again", async () => {
    const { client, backend } = await startTrio(mode);
    client.send("GET /1 HTTP/1.1\r\nHost: checkout\r\n\r\n");
    const { peer } = await backend.request();
    peer.send("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok");
    await client.message();
    client.send("GET /2 HTTP/1.1\r\nHost: checkout\r\n\r\n");
    expect((await peer.message()).start).toBe("GET /2 HTTP/1.1");
  });
});
