import { expect, test } from "vitest";
import { problemType } from "../../src/base/reasons.ts";
import { describeRelay, startSidecar, startTrio } from "../support/sidecar.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

describeRelay("answers of our own (RFC 9457)", (mode) => {
  test("say everything there is to say", async () => {
    const { client, backend } = await startTrio({
      ...mode,
      table: { services: { checkout: {} }, sandboxes: { "pr-7": { services: { checkout: ["127.0.0.1:1"] } } } },
    });
    client.send("GET / HTTP/1.1\r\nHost: checkout\r\nbaggage: sidelane=pr-7\r\n\r\n");
    const answer = await client.message();
    expect(answer.start).toBe("HTTP/1.1 503 Service Unavailable");
    expect(answer.field("content-type")).toBe("application/problem+json");
    expect(answer.field("server")).toBe("sidelane");
    expect(answer.field("cache-control")).toBe("no-store");
    const { detail, ...rest } = JSON.parse(answer.body) as Record<string, unknown>;
    expect(rest).toEqual({
      type: problemType("sandbox-unavailable"),
      title: "sandbox unavailable",
      status: 503,
      reason: "sandbox-unavailable",
      service: "checkout",
      destination: "pr-7",
      endpoint: "127.0.0.1:1",
    });
    expect(detail).toContain("127.0.0.1:1");
    // The baseline was not asked (DESIGN §3.4 step 7).
    expect(backend.connections).toHaveLength(0);
  });

  test.each([
    ["an unknown key", "HEAD / HTTP/1.1\r\nHost: checkout\r\nbaggage: sidelane=nobody\r\n\r\n", 421],
    ["no Host", "HEAD / HTTP/1.1\r\n\r\n", 400],
    ["a malformed field", "HEAD / HTTP/1.1\r\nHost: checkout\r\nX : y\r\n\r\n", 400],
    ["a head that never ends", "HEAD / HTTP/1.1\r\nHost: checkout\r\n", 408],
  ])("to HEAD have no body: %s", async (_, request, status) => {
    const { client } = await startTrio({ ...mode, tenancy: { onUnknownKey: "reject" }, timeouts: { headMs: 100 } });
    client.send(request);
    const answer = await client.message("bodyless");
    expect(answer.status).toBe(status);
    expect(Number(answer.field("content-length"))).toBeGreaterThan(0);
    client.finish();
    await client.ended();
    expect(client.text).toBe("");
  });

  test("keep the connection when the request was complete", async () => {
    const { client, backend } = await startTrio({ ...mode, tenancy: { onUnknownKey: "reject" } });
    client.send("POST / HTTP/1.1\r\nHost: checkout\r\nbaggage: sidelane=nobody\r\nContent-Length: 2\r\n\r\nhi");
    const answer = await client.message();
    expect(answer.status).toBe(421);
    expect(answer.field("connection")).toBeUndefined();
    client.send("GET / HTTP/1.1\r\nHost: checkout\r\n\r\n");
    (await backend.request()).peer.send(OK);
    expect((await client.message()).body).toBe("ok");
  });

  test("close the connection when the rest of the body is still to come", async () => {
    const { client } = await startTrio({ ...mode, tenancy: { onUnknownKey: "reject" } });
    client.send("POST / HTTP/1.1\r\nHost: checkout\r\nbaggage: sidelane=nobody\r\nContent-Length: 9\r\n\r\nhi");
    const answer = await client.message();
    expect(answer.status).toBe(421);
    expect(answer.field("connection")).toBe("close");
    expect(await client.ended()).toBe("fin");
  });

  test("forwarded responses carry no field of ours", async () => {
    const { client, backend } = await startTrio(mode);
    client.send("GET / HTTP/1.1\r\nHost: checkout\r\n\r\n");
    (await backend.request()).peer.send(OK);
    expect((await client.message()).raw).toBe(OK);
  });

  test("x-sidelane-route tells the decision to who asks, on forwarded responses and on our own", async () => {
    const { client, backend } = await startTrio({
      ...mode,
      tenancy: { onUnknownKey: "reject" },
      table: { services: { checkout: {} }, sandboxes: { "pr-7": { services: { ledger: ["127.0.0.1:1"] } } } },
    });
    const ask = (key: string): string =>
      `GET / HTTP/1.1\r\nHost: checkout\r\nbaggage: sidelane=${key}\r\nX-Sidelane-Debug: 1\r\n\r\n`;
    client.send(ask("pr-7"));
    const { peer } = await backend.request();
    peer.send(OK);
    expect((await client.message()).field("x-sidelane-route")).toBe("checkout=baseline;reason=not-in-sandbox;table=1");
    client.send(ask("nobody"));
    expect((await client.message()).field("x-sidelane-route")).toBe("checkout=none;reason=unknown-key;table=1");
    client.send("GET / HTTP/1.1\r\nHost: checkout\r\nX-Sidelane-Debug: 0\r\n\r\n");
    await peer.message();
    peer.send(OK);
    expect((await client.message()).field("x-sidelane-route")).toBeUndefined();
  });

  test("no endpoint at all: 503 with the reason", async () => {
    const sidecar = await startSidecar({ ...mode, target: "127.0.0.1:1" });
    const client = await sidecar.connect();
    client.send("GET / HTTP/1.1\r\nHost: checkout\r\n\r\n");
    const answer = await client.message();
    expect(answer.status).toBe(503);
    expect(JSON.parse(answer.body)).toMatchObject({ reason: "upstream-unavailable", destination: "baseline" });
  });
});
