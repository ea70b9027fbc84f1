import { expect, test } from "vitest";
import { describeRelay, startTrio } from "../support/sidecar.ts";

const GET = "GET / HTTP/1.1\r\nHost: checkout\r\n\r\n";

describeRelay("how bodies are delimited", (mode) => {
  test("Content-Length, both ways, byte for byte", async () => {
    const { client, backend } = await startTrio(mode);
    client.send("POST /orders HTTP/1.1\r\nHost: checkout\r\nContent-Length: 5\r\n\r\nhello");
    const { request, peer } = await backend.request();
    expect(request.body).toBe("hello");
    expect(request.lines).toContain("Content-Length: 5");
    peer.send("HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\ndone");
    expect((await client.message()).raw).toBe("HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\ndone");
  });

  test("a body that comes in pieces goes on in pieces, before it is complete", async () => {
    const { client, backend } = await startTrio(mode);
    client.send("POST / HTTP/1.1\r\nHost: checkout\r\nContent-Length: 6\r\n\r\nabc");
    const peer = await backend.accept();
    await peer.until("\r\n\r\nabc");
    client.send("def");
    await peer.until("\r\n\r\nabcdef");
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nuvw");
    await client.until("\r\n\r\nuvw");
    peer.send("xyz");
    expect((await client.message()).body).toBe("uvwxyz");
  });

  test("chunked with trailers, both ways; extensions are dropped", async () => {
    const { client, backend } = await startTrio(mode);
    client.send(
      "POST / HTTP/1.1\r\nHost: checkout\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n" +
        '5;name=value;quoted="a b"\r\nhello\r\n0\r\nx-sum: 42\r\n\r\n',
    );
    const { request, peer } = await backend.request();
    expect(request.raw).toMatch(/\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 42\r\n\r\n$/);
    expect(request.lines).toContain("Transfer-Encoding: chunked");
    expect(request.lines).toContain("Trailer: x-sum");
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n1\r\nd\r\n0\r\nX-Took: 7\r\n\r\n");
    const response = await client.message();
    expect(response.raw).toBe(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\nX-Took: 7\r\n\r\n",
    );
    client.send(GET);
    expect((await peer.message()).start).toBe("GET / HTTP/1.1");
  });

  test("trailers that would change framing or routing do not pass", async () => {
    const { client, backend } = await startTrio(mode);
    client.send(
      "POST / HTTP/1.1\r\nHost: checkout\r\nTransfer-Encoding: chunked\r\n\r\n" +
        "0\r\nContent-Length: 3\r\nx-sum: 42\r\nHost: ledger\r\nbaggage: sidelane=pr-7\r\n\r\n",
    );
    const { request } = await backend.request();
    expect(request.trailers).toEqual(["x-sum: 42"]);
  });

  test("a response delimited by the end of the connection", async () => {
    const { client, backend } = await startTrio(mode);
    client.send(GET);
    const { peer } = await backend.request();
    peer.send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nall of ");
    await client.until("all of ");
    peer.send("it");
    peer.finish();
    expect(await client.ended()).toBe("fin");
    expect(client.text).toBe("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nconnection: close\r\n\r\nall of it");
  });

  test("an empty response delimited by the end of the connection", async () => {
    const { client, backend } = await startTrio(mode);
    client.send(GET);
    const { peer } = await backend.request();
    peer.send("HTTP/1.1 200 OK\r\n\r\n");
    peer.finish();
    expect(await client.ended()).toBe("fin");
    expect(client.text).toBe("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
  });

  test.each([
    ["HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"],
    ["HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"],
    ["HEAD", "HTTP/1.1 200 OK\r\n\r\n"],
    ["GET", "HTTP/1.1 204 No Content\r\n\r\n"],
    ["GET", 'HTTP/1.1 304 Not Modified\r\nContent-Length: 1234\r\nETag: "1"\r\n\r\n'],
    ["GET", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"],
    ["DELETE", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"],
  ])("%s: a response without a body stays as it is, and the connections are kept: %j", async (method, answer) => {
    const { client, backend } = await startTrio(mode);
    client.send(`${method} / HTTP/1.1\r\nHost: checkout\r\n\r\n`);
    const { peer } = await backend.request();
    peer.send(answer);
    expect((await client.message("bodyless")).raw).toBe(answer);
    client.send(GET);
    expect((await peer.message()).start).toBe("GET / HTTP/1.1");
  });

  test("a request without a body gets no framing added", async () => {
    const { client, backend } = await startTrio(mode);
    client.send("POST / HTTP/1.1\r\nHost: checkout\r\n\r\n");
    const { request } = await backend.request();
    expect(request.raw).not.toMatch(/content-length|transfer-encoding/i);
  });

  test("Content-Length: 0 is preserved in both directions", async () => {
    const { client, backend } = await startTrio(mode);
    client.send("POST / HTTP/1.1\r\nHost: checkout\r\nContent-Length: 0\r\n\r\n");
    const { request, peer } = await backend.request();
    expect(request.lines).toContain("Content-Length: 0");
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    expect((await client.message()).raw).toBe("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  });

  test("equal Content-Length values are forwarded as one", async () => {
    const { client, backend } = await startTrio(mode);
    client.send("POST / HTTP/1.1\r\nHost: checkout\r\nContent-Length: 2, 2\r\nContent-Length: 2\r\n\r\nhi");
    const { request } = await backend.request();
    expect(request.lines.filter((line) => /content-length/i.test(line))).toEqual(["content-length: 2"]);
    expect(request.body).toBe("hi");
  });
});
