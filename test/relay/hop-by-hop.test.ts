import { expect, test } from "vitest";
import { describeRelay, startTrio } from "../support/sidecar.ts";

const withoutVia = (lines: readonly string[]): string[] => lines.filter((line) => !line.startsWith("via: "));

describeRelay("hop-by-hop fields (RFC 9110 §7.6.1)", (mode) => {
  test("of a request: Connection, what it names, Keep-Alive, Proxy-Connection", async () => {
    const { client, backend } = await startTrio(mode);
    client.send(
      "GET / HTTP/1.1\r\nHost: checkout\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\n" +
        "Proxy-Connection: keep-alive\r\nX-End: 2\r\nx-hop: 3\r\n\r\n",
    );
    const { request } = await backend.request();
    expect(withoutVia(request.lines)).toEqual(["Host: checkout", "X-End: 2"]);
  });

  test("of a response", async () => {
    const { client, backend } = await startTrio(mode);
    client.send("GET / HTTP/1.1\r\nHost: checkout\r\n\r\n");
    const { peer } = await backend.request();
    peer.send(
      "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nX-End: 2\r\nContent-Length: 0\r\n\r\n",
    );
    expect((await client.message()).lines).toEqual(["X-End: 2", "Content-Length: 0"]);
  });

  test("TE: trailers survives, as a statement of ours; other codings do not", async () => {
    const { client, backend } = await startTrio(mode);
    client.send("GET / HTTP/1.1\r\nHost: checkout\r\nConnection: TE\r\nTE: gzip, trailers;q=0.5, trailers\r\n\r\n");
    const { request } = await backend.request();
    expect(withoutVia(request.lines)).toEqual(["Host: checkout", "connection: TE", "te: trailers"]);
  });

  test("h2c is stripped, not refused (RFC 9113 §3.1)", async () => {
    const { client, backend } = await startTrio(mode);
    client.send(
      "GET / HTTP/1.1\r\nHost: checkout\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    );
    const { request, peer } = await backend.request();
    expect(withoutVia(request.lines)).toEqual(["Host: checkout"]);
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    expect((await client.message()).status).toBe(200);
  });

  test("any other upgrade is passed on with a Connection of ours", async () => {
    const { client, backend } = await startTrio(mode);
    client.send(
      "GET /chat HTTP/1.1\r\nHost: checkout\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nX-End: 2\r\n\r\n",
    );
    const { request } = await backend.request();
    expect(withoutVia(request.lines)).toEqual([
      "Host: checkout",
      "Upgrade: websocket",
      "X-End: 2",
      "connection: Upgrade",
    ]);
  });

  test("CONNECT is refused with an explanation", async () => {
    const { client, backend } = await startTrio(mode);
    client.send("CONNECT ledger:443 HTTP/1.1\r\nHost: ledger:443\r\n\r\n");
    const answer = await client.message();
    expect(answer.status).toBe(501);
    expect(JSON.parse(answer.body)).toMatchObject({ reason: "connect-unsupported" });
    expect(backend.connections).toEqual([]);
  });
});
