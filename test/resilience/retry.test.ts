// A kept-alive connection that the endpoint closes just as a request goes out (RFC 9112 §9.3.1): what is sent again, once,
// and what never is (RFC 9110 §9.2.2).
import { describe, expect, test } from "vitest";
import { type Backend, ok } from "../support/backend.ts";
import type { Peer } from "../support/peer.ts";
import { get, request } from "../support/requests.ts";
import { type SidecarOptions, startTrio, type Trio } from "../support/sidecar.ts";

/** A trio whose upstream connection has served one request already. */
async function startReused(options: SidecarOptions = {}): Promise<Trio & { readonly peer: Peer }> {
  const trio = await startTrio(options);
  trio.client.send(get("/first"));
  const { peer } = await trio.backend.request();
  peer.send(ok("first"));
  await trio.client.message();
  return { ...trio, peer };
}

/** Every request line that reached the backend and has not been taken. */
function untaken(backend: Backend): string[] {
  return backend.connections.map((peer) => peer.text).filter((text) => text !== "");
}

const bodies: Readonly<Record<string, string | undefined>> = { PUT: "the body" };

describe("sent again once on a fresh connection", () => {
  test.each(["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])("%s", async (method) => {
    const { client, backend, peer, sidecar } = await startReused();
    client.send(request(method, "/second", bodies[method]));
    const sent = await peer.message();
    peer.finish();
    const again = await backend.request();
    expect(again.request.raw).toBe(sent.raw);
    again.peer.send(method === "HEAD" ? ok("") : ok("second"));
    expect((await client.message(method === "HEAD" ? "bodyless" : "message")).status).toBe(200);
    expect(await sidecar.metric("sidelane_retries_total")).toBe(1);
    expect(backend.connections).toHaveLength(2);
  });

  test("a reset counts as much as an orderly end", async () => {
    const { client, backend, peer } = await startReused();
    client.send(get("/second"));
    await peer.message();
    peer.abort();
    (await backend.request()).peer.send(ok("second"));
    expect((await client.message()).body).toBe("second");
  });

  test("a body of which no more than the first read has come: what was sent is all still there", async () => {
    const { client, backend, peer } = await startReused();
    client.send("PUT /second HTTP/1.1\r\nhost: checkout\r\ncontent-length: 10\r\n\r\n12345");
    await peer.until("12345");
    peer.finish();
    const again = await backend.accept();
    await again.until("12345");
    client.send("67890");
    expect((await again.message()).body).toBe("1234567890");
    again.send(ok("second"));
    expect((await client.message()).body).toBe("second");
  });

  test("a body of exactly replayBytesMax with its head", async () => {
    const probe = await startReused();
    probe.client.send(request("PUT", "/second", "x".repeat(3000)));
    const size = (await probe.peer.message()).raw.length;
    const { client, backend, peer } = await startReused({ limits: { replayBytesMax: size } });
    client.send(request("PUT", "/second", "x".repeat(3000)));
    await peer.message();
    peer.finish();
    const again = await backend.request();
    expect(again.request.body).toBe("x".repeat(3000));
    again.peer.send(ok("second"));
    expect((await client.message()).body).toBe("second");
  });
});

describe("never sent again", () => {
  async function expectClosed(client: Peer, backend: Backend, connections: number): Promise<void> {
    const answer = await client.message();
    expect(answer.status).toBe(502);
    expect(JSON.parse(answer.body)).toMatchObject({ reason: "upstream-closed" });
    expect(backend.connections).toHaveLength(connections);
    expect(untaken(backend)).toEqual([]);
  }

  test.each(["POST", "PATCH", "FROBNICATE"])("%s", async (method) => {
    const { client, backend, peer, sidecar } = await startReused();
    client.send(request(method, "/second", "body"));
    await peer.message();
    peer.finish();
    await expectClosed(client, backend, 1);
    expect(await sidecar.metric("sidelane_retries_total")).toBe(0);
  });

  test("twice", async () => {
    const { client, backend, peer, sidecar } = await startReused();
    client.send(get("/second"));
    await peer.message();
    peer.finish();
    (await backend.request()).peer.finish();
    await expectClosed(client, backend, 2);
    expect(await sidecar.metric("sidelane_retries_total")).toBe(1);
  });

  test("what was lost on a fresh connection", async () => {
    const { client, backend } = await startTrio();
    client.send(get("/first"));
    (await backend.request()).peer.finish();
    await expectClosed(client, backend, 1);
  });

  test.each(["H", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 103 Early Hints\r\n\r\n"])(
    "after a byte of a response (%j)",
    async (begun) => {
      const { client, backend, peer } = await startReused();
      client.send(get("/second"));
      await peer.message();
      peer.send(begun);
      peer.finish();
      const answer = begun.includes("103") ? (await client.message(), await client.message()) : await client.message();
      expect(answer.status).toBe(502);
      expect(backend.connections).toHaveLength(1);
    },
  );

  test("a body above replayBytesMax", async () => {
    const { client, backend, peer } = await startReused({ limits: { replayBytesMax: 1000 } });
    client.send(request("PUT", "/second", "x".repeat(1000)));
    await peer.message();
    peer.finish();
    await expectClosed(client, backend, 1);
  });

  test("a body of which more than the first read has been sent on", async () => {
    const { client, backend, peer } = await startReused();
    client.send("PUT /second HTTP/1.1\r\nhost: checkout\r\ncontent-length: 10\r\n\r\n12345");
    await peer.until("12345");
    client.send("67890");
    expect((await peer.message()).body).toBe("1234567890");
    peer.finish();
    await expectClosed(client, backend, 1);
  });
});

describe("a connection that is spoilt in the very turn in which it is handed on to the next request", () => {
  // One read of the sidecar's takes exactly the response; the next one, in the same turn, what comes behind it.
  const head = "HTTP/1.1 200 OK\r\ncontent-length: 65494\r\n\r\n";
  const response = head + "x".repeat(65_536 - head.length);

  test.each<[string, (peer: Peer) => void]>([
    ["with bytes", (peer) => peer.send(`${response}junk`)],
    ["with an end", (peer) => (peer.send(response), peer.finish())],
    ["with a reset", (peer) => (peer.send(response), peer.socket.resetAndDestroy())],
  ])("%s: even POST goes out once, on another connection", async (_, spoil) => {
    const { client, backend } = await startTrio();
    client.send(get("/first") + request("POST", "/second", "body"));
    const { peer } = await backend.request();
    spoil(peer);
    const second = await backend.request();
    second.peer.send(ok("second"));
    expect((await client.message()).body).toHaveLength(response.length - head.length);
    expect((await client.message()).body).toBe("second");
    await peer.ended();
    expect(peer.text).toBe("");
  });
});
