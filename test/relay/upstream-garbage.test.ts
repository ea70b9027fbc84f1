// Attack: an endpoint that does not speak HTTP/1.1, or speaks it ambiguously (RFC 9112 §6.3). Nothing of it may reach the
// client as a response.
import { expect, test } from "vitest";
import { describeRelay, startTrio } from "../support/sidecar.ts";

describeRelay("an endpoint that breaks the protocol", (mode) => {
  test.each([
    "220 mail.example ESMTP\r\n",
    "HTTP/2 200\r\n\r\n",
    "HTTP/1.1 20x OK\r\n\r\n",
    "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n",
    "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
    "HTTP/1.1 200 OK\r\nX: a\r\n folded\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 099 Low\r\n\r\n",
    // A frame of HTTP/2 that no server begins with; test/http2/mixture.test.ts has the one that it does begin with.
    "\0\0\x08\x06\0\0\0\0\0\0\x03\0\0\0\x80\0\0",
  ])("is answered with 502 and an explanation: %j", async (garbage) => {
    const { client, sidecar, backend } = await startTrio(mode);
    client.send("GET / HTTP/1.1\r\nHost: checkout\r\n\r\n");
    const { peer } = await backend.request();
    peer.send(garbage);
    const answer = await client.message();
    expect(answer.status).toBe(502);
    expect(answer.field("server")).toBe("sidelane");
    expect(JSON.parse(answer.body)).toMatchObject({ reason: "upstream-protocol-error", endpoint: backend.name });
    expect(await peer.ended()).toMatch(/fin|reset/);
    expect(await sidecar.metric("sidelane_requests_total", { reason: "upstream-protocol-error", code: "502" })).toBe(1);
  });

  test.each(["x\r\n", "5\r\nhelloX", "-1\r\n", "5 \r\nhello\r\n", "FFFFFFFFFFFFFFFFFF\r\n"])(
    "within a chunked body resets the client's connection: %j",
    async (chunk) => {
      const { client, backend } = await startTrio(mode);
      client.send("GET / HTTP/1.1\r\nHost: checkout\r\n\r\n");
      const { peer } = await backend.request();
      peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n");
      await client.until("ok");
      peer.send(chunk);
      expect(await client.ended()).toBe("reset");
      expect(client.text).not.toContain("0\r\n\r\n");
    },
  );

  test("a head larger than limits.headBytesMax, and one with more fields than limits.headerCountMax", async () => {
    const { client, backend } = await startTrio({ ...mode, limits: { headBytesMax: 2048, headerCountMax: 10 } });
    for (const fields of [`X: ${"y".repeat(3000)}\r\n`, "X: y\r\n".repeat(11), "y".repeat(3000)]) {
      client.send("GET / HTTP/1.1\r\nHost: checkout\r\n\r\n");
      const { peer } = await backend.request();
      peer.send(`HTTP/1.1 200 OK\r\n${fields}`);
      peer.send("\r\n");
      const answer = await client.message();
      expect(answer.status).toBe(502);
      expect(JSON.parse(answer.body)).toMatchObject({ reason: "upstream-head-too-large" });
    }
  });
});
