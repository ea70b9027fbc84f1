// Attack, or accident: an endpoint's response ends before its end. Whoever takes the part for the whole (a cache, a JSON
// parser, a payment) is wrong without knowing it; so it must surface as an error and never as an orderly end.
import { expect, test } from "vitest";
import { describeRelay, startTrio } from "../support/sidecar.ts";

const GET = "GET / HTTP/1.1\r\nHost: checkout\r\n\r\n";
const cutShort: readonly (readonly [string, string])[] = [
  ["Content-Length", "Content-Length: 10\r\n\r\nabc"],
  ["a chunk", "Transfer-Encoding: chunked\r\n\r\na\r\nabc"],
  ["the last chunk", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"],
  ["the trailers", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n"],
];

describeRelay("a response that breaks off", (mode) => {
  test.each(cutShort)("before the end of %s: the client's connection is reset", async (_, rest) => {
    const { client, sidecar, backend } = await startTrio(mode);
    client.send(GET);
    const { peer } = await backend.request();
    peer.send(`HTTP/1.1 200 OK\r\n${rest}`);
    await client.until("abc");
    peer.finish();
    expect(await client.ended()).toBe("reset");
    expect(client.text).not.toMatch(/\r\n0\r\n\r\n$/);
    expect(await sidecar.metric("sidelane_requests_total", { reason: "response-aborted", code: "200" })).toBe(1);
  });

  test.each([...cutShort, ["the connection", "X: y\r\n\r\nabc"] as const])(
    "by a reset before the end of %s: the client's connection is reset",
    async (_, rest) => {
      const { client, backend } = await startTrio(mode);
      client.send(GET);
      const { peer } = await backend.request();
      peer.send(`HTTP/1.1 200 OK\r\n${rest}`);
      await client.until("abc");
      peer.abort();
      expect(await client.ended()).toBe("reset");
    },
  );

  test.each(["finish", "abort"] as const)(
    "within the head (%s): 502 and the client's connection is kept",
    async (how) => {
      const { client, backend } = await startTrio(mode);
      client.send(GET);
      const { peer } = await backend.request();
      peer.send("HTTP/1.1 200 OK\r\nContent-");
      await peer.sendParts([""]);
      peer[how]();
      const answer = await client.message();
      expect(answer.status).toBe(502);
      expect(JSON.parse(answer.body)).toMatchObject({ reason: "upstream-closed" });
      client.send(GET);
      const next = await backend.request();
      next.peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
      expect((await client.message()).status).toBe(200);
    },
  );

  test.each(["finish", "abort"] as const)(
    "before it began (%s): 502, not tried again on a fresh connection",
    async (how) => {
      const { client, backend } = await startTrio(mode);
      client.send(GET);
      const { peer } = await backend.request();
      peer[how]();
      expect((await client.message()).status).toBe(502);
      expect(backend.connections).toHaveLength(1);
    },
  );

  test("after interim responses: 502", async () => {
    const { client, backend } = await startTrio(mode);
    client.send(GET);
    const { peer } = await backend.request();
    peer.send("HTTP/1.1 103 Early Hints\r\n\r\n");
    await client.message();
    peer.finish();
    expect((await client.message()).status).toBe(502);
  });
});
