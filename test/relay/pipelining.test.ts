import { expect, test } from "vitest";
import { ok, startAnswering } from "../support/backend.ts";
import { describeRelay, startSidecar, startTrio } from "../support/sidecar.ts";

describeRelay("pipelined requests (RFC 9112 §9.3.2)", (mode) => {
  test("many in one segment are answered in order", async () => {
    const backend = await startAnswering((request) => ok(request.start));
    const sidecar = await startSidecar({ ...mode, target: backend.name });
    const client = await sidecar.connect();
    const count = 500;
    client.send(Array.from({ length: count }, (_, n) => `GET /${n} HTTP/1.1\r\nHost: checkout\r\n\r\n`).join(""));
    for (let n = 0; n < count; n++) expect((await client.message()).body).toBe(`GET /${n} HTTP/1.1`);
  });

  test("with bodies of both kinds between them", async () => {
    const backend = await startAnswering((request) => ok(`${request.start.split(" ")[1]}:${request.body}`));
    const sidecar = await startSidecar({ ...mode, target: backend.name });
    const client = await sidecar.connect();
    client.send(
      "POST /1 HTTP/1.1\r\nHost: checkout\r\nContent-Length: 3\r\n\r\nabc" +
        "POST /2 HTTP/1.1\r\nHost: checkout\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n" +
        "\r\nGET /3 HTTP/1.1\r\nHost: checkout\r\n\r\n" +
        "POST /4 HTTP/1.1\r\nHost: checkout\r\nContent-Length: 1\r\n\r\nf",
    );
    for (const body of ["/1:abc", "/2:de", "/3:", "/4:f"]) expect((await client.message()).body).toBe(body);
  });

  test("an answer of our own takes its place in the order", async () => {
    const backend = await startAnswering((request) => ok(request.start));
    const sidecar = await startSidecar({ ...mode, target: backend.name, tenancy: { onUnknownKey: "reject" } });
    const client = await sidecar.connect();
    const lost = "GET /lost HTTP/1.1\r\nHost: checkout\r\nbaggage: sidelane=nobody\r\n\r\n";
    const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: checkout\r\n\r\n`;
    client.send(get("/1") + lost + lost + get("/2") + lost);
    const statuses: number[] = [];
    for (let n = 0; n < 5; n++) statuses.push((await client.message()).status);
    expect(statuses).toEqual([200, 421, 421, 200, 421]);
  });

  test("a request that cannot be parsed is answered after the ones before it, and nothing after it is read", async () => {
    const { client, backend } = await startTrio(mode);
    client.send(
      "GET /1 HTTP/1.1\r\nHost: checkout\r\n\r\nGET /2 HTTP/1.1\r\nHost : checkout\r\n\r\nGET /3 HTTP/1.1\r\nHost: checkout\r\n\r\n",
    );
    const { peer } = await backend.request();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    expect((await client.message()).status).toBe(200);
    expect((await client.message()).status).toBe(400);
    expect(await client.ended()).toBe("fin");
    expect(client.text).toBe("");
    expect(peer.text).toBe("");
    expect(backend.connections).toHaveLength(1);
  });

  test("all are answered although the client closed its side behind them", async () => {
    const backend = await startAnswering((request) => ok(request.start));
    const sidecar = await startSidecar({ ...mode, target: backend.name });
    const client = await sidecar.connect();
    client.send(Array.from({ length: 50 }, (_, n) => `GET /${n} HTTP/1.1\r\nHost: checkout\r\n\r\n`).join(""));
    client.finish();
    for (let n = 0; n < 50; n++) expect((await client.message()).body).toBe(`GET /${n} HTTP/1.1`);
    expect(await client.ended()).toBe("fin");
  });

  test("a body behind a pipelined request waits for its connection without being read ahead", async () => {
    const { client, backend } = await startTrio(mode);
    client.send(
      "GET /1 HTTP/1.1\r\nHost: checkout\r\n\r\nPOST /2 HTTP/1.1\r\nHost: checkout\r\nContent-Length: 6\r\n\r\nabc",
    );
    const { peer } = await backend.request();
    // The connection cannot be used again, so that the second request has to wait for another one.
    peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    await client.message();
    client.send("def");
    const second = await backend.request();
    expect(second.request.body).toBe("abcdef");
    second.peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    expect((await client.message()).status).toBe(200);
  });
});
