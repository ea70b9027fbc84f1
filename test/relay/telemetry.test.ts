import { expect, test } from "vitest";
import { eventually } from "../support/quiet.ts";
import { type Trio, describeRelay, startTrio } from "../support/sidecar.ts";

const get = (path: string, ...lines: readonly string[]): string =>
  `GET ${path} HTTP/1.1\r\nHost: Checkout\r\n${lines.map((line) => `${line}\r\n`).join("")}\r\n`;

/** Two good exchanges, an unknown key, an endpoint that hangs up, and a request that is none. */
async function mix({ client, backend }: Trio): Promise<void> {
  client.send(
    "POST /1?q HTTP/1.1\r\nHost: Checkout\r\nUser-Agent: test/1\r\nbaggage: sidelane=pr-7\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
  );
  const { peer } = await backend.request();
  peer.send("HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n");
  await client.message();
  client.send(get("/2"));
  await peer.message();
  peer.send("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno");
  await client.message();
  client.send(get("/3", "baggage: sidelane=nobody"));
  await client.message();
  client.send("POST /4 HTTP/1.1\r\nHost: checkout\r\nContent-Length: 0\r\n\r\n");
  await peer.message();
  peer.finish();
  await client.message();
  client.send("GET /5\r\n\r\n");
  await client.message();
  await client.ended();
}

const options = (nativeWrites: boolean, endpoint = "127.0.0.1:1") => ({
  nativeWrites,
  accessLog: true,
  tenancy: { onUnknownKey: "reject" },
  table: { services: { checkout: {} }, sandboxes: { "pr-7": { services: { other: [endpoint] } } } },
});

describeRelay("numbers and lines", ({ nativeWrites }) => {
  test("metrics after a mix of exchanges: each counted once, none still active", async () => {
    const trio = await startTrio(options(nativeWrites));
    await mix(trio);
    const { sidecar } = trio;
    const count = (labels: Readonly<Record<string, string>>): Promise<number> =>
      sidecar.metric("sidelane_requests_total", labels);
    expect(await count({ reason: "not-in-sandbox", code: "201", service: "checkout", destination: "baseline" })).toBe(
      1,
    );
    expect(await count({ reason: "no-key", code: "404", direction: "inbound", protocol: "http1" })).toBe(1);
    expect(await count({ reason: "unknown-key", code: "421" })).toBe(1);
    expect(await count({ reason: "upstream-closed", code: "502" })).toBe(1);
    expect(await count({ reason: "malformed-request", code: "400" })).toBe(1);
    expect(await count({})).toBe(5);
    expect(await sidecar.metric("sidelane_active_requests")).toBe(0);
    expect(await sidecar.metric("sidelane_upstream_connections")).toBe(0);
    expect(await sidecar.metric("sidelane_upstream_connect_seconds_count")).toBe(1);
  });

  test("active requests and connections while one runs", async () => {
    const { client, sidecar, backend } = await startTrio(options(nativeWrites));
    client.send(get("/"));
    const { peer } = await backend.request();
    expect(await sidecar.metric("sidelane_active_requests", { service: "checkout", destination: "baseline" })).toBe(1);
    expect(await sidecar.metric("sidelane_upstream_connections", { state: "active" })).toBe(1);
    peer.send("HTTP/1.1 204 No Content\r\n\r\n");
    await client.message();
    expect(await sidecar.metric("sidelane_active_requests")).toBe(0);
    expect(await sidecar.metric("sidelane_upstream_connections", { state: "idle" })).toBe(1);
    expect(await sidecar.metric("sidelane_upstream_connections", { state: "active" })).toBe(0);
  });

  test("the access log has a line for each, with what is known of it", async () => {
    const trio = await startTrio(options(nativeWrites));
    const { localPort } = trio.client.socket;
    await mix(trio);
    const lines = await trio.sidecar.logLines();
    expect(lines.map(({ status, reason }) => `${status as number} ${reason as string}`)).toEqual([
      "201 not-in-sandbox",
      "404 no-key",
      "421 unknown-key",
      "502 upstream-closed",
      "400 malformed-request",
    ]);
    expect(lines[0]).toMatchObject({
      listener: "inbound",
      direction: "inbound",
      client: `127.0.0.1:${localPort}`,
      method: "POST",
      host: "Checkout",
      path: "/1?q",
      protocol: "HTTP/1.1",
      service: "checkout",
      key: "pr-7",
      destination: "baseline",
      endpoint: trio.backend.name,
      requestBytes: 5,
      responseBytes: 7,
      traceId: "0af7651916cd43dd8448eb211c80319c",
      userAgent: "test/1",
    });
    expect(lines[1]).toMatchObject({ key: "", responseBytes: 2, requestBytes: 0 });
    expect(lines[4]).toMatchObject({ client: `127.0.0.1:${localPort}`, method: "", endpoint: "" });
  });

  test("a response that breaks off and a client that goes away have their lines", async () => {
    const trio = await startTrio(options(nativeWrites));
    const { client, sidecar, backend } = trio;
    client.send(get("/1"));
    const first = await backend.request();
    first.peer.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
    await client.until("abc");
    first.peer.abort();
    await client.ended();
    const second = await sidecar.connect();
    second.send(get("/2"));
    await backend.request();
    second.abort();
    await eventually(async () => (await sidecar.metric("sidelane_requests_total")) === 2);
    expect(await sidecar.logLines()).toMatchObject([
      { path: "/1", status: 200, reason: "response-aborted", responseBytes: 3 },
      { path: "/2", status: 499, reason: "client-closed", responseBytes: 0 },
    ]);
  });
});
