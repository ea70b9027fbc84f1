import { expect, test } from "vitest";
import { describeRelay, startTrio } from "../support/sidecar.ts";

const INTERIMS =
  "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n" +
  "HTTP/1.1 103 Early Hints\r\nLink: </b.css>; rel=preload\r\n\r\n";
const FINAL = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

describeRelay("interim responses (RFC 9110 §15.2)", (mode) => {
  test("several go on to an HTTP/1.1 client as they come, before the final one", async () => {
    const { client, backend } = await startTrio(mode);
    client.send("GET / HTTP/1.1\r\nHost: checkout\r\n\r\n");
    const { peer } = await backend.request();
    peer.send(INTERIMS);
    await client.until(INTERIMS);
    peer.send(FINAL);
    await client.until(INTERIMS + FINAL);
    client.send("GET /2 HTTP/1.1\r\nHost: checkout\r\n\r\n");
    expect((await peer.message()).start).toBe("GET /2 HTTP/1.1");
  });

  test("all in one segment with the final response", async () => {
    const { client, backend } = await startTrio(mode);
    client.send("GET / HTTP/1.1\r\nHost: checkout\r\n\r\n");
    (await backend.request()).peer.send(INTERIMS + FINAL);
    expect(await client.until(FINAL)).toBe(INTERIMS + FINAL);
  });

  test("split at every byte", async () => {
    const { client, backend } = await startTrio(mode);
    client.send("GET / HTTP/1.1\r\nHost: checkout\r\n\r\n");
    await (await backend.request()).peer.sendParts((INTERIMS + FINAL).split(""));
    expect(await client.until(FINAL)).toBe(INTERIMS + FINAL);
  });

  test("none goes on to an HTTP/1.0 client", async () => {
    const { client, backend } = await startTrio(mode);
    client.send("GET / HTTP/1.0\r\nHost: checkout\r\n\r\n");
    (await backend.request()).peer.send(INTERIMS + FINAL);
    const answer = await client.message();
    expect(answer.status).toBe(200);
    expect(answer.body).toBe("ok");
  });

  test("Expect: 100-continue is forwarded, the 100 relayed, then the body flows", async () => {
    const { client, backend } = await startTrio(mode);
    client.send("PUT / HTTP/1.1\r\nHost: checkout\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    const peer = await backend.accept();
    expect(await peer.until("\r\n\r\n")).toContain("Expect: 100-continue");
    peer.send("HTTP/1.1 100 Continue\r\n\r\n");
    await client.until("HTTP/1.1 100 Continue\r\n\r\n");
    client.send("body");
    await peer.until("\r\n\r\nbody");
    peer.send(FINAL);
    await client.until(`HTTP/1.1 100 Continue\r\n\r\n${FINAL}`);
    client.send("GET /2 HTTP/1.1\r\nHost: checkout\r\n\r\n");
    expect(await peer.until("GET /2 HTTP/1.1")).toContain("\r\n\r\nbodyGET /2");
  });

  test("a final answer before the body: relayed, and the connection ends in order", async () => {
    const { client, backend } = await startTrio(mode);
    client.send("PUT / HTTP/1.1\r\nHost: checkout\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    const peer = await backend.accept();
    await peer.until("\r\n\r\n");
    peer.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno");
    expect((await client.message()).raw).toBe(
      "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nconnection: close\r\n\r\nno",
    );
    expect(await client.ended()).toBe("fin");
  });

  test("an unknown expectation is answered with 417", async () => {
    const { client } = await startTrio(mode);
    client.send("GET / HTTP/1.1\r\nHost: checkout\r\nExpect: tea\r\n\r\n");
    expect((await client.message()).status).toBe(417);
  });

  test("101 that nobody asked for is the endpoint's fault", async () => {
    const { client, backend } = await startTrio(mode);
    client.send("GET / HTTP/1.1\r\nHost: checkout\r\n\r\n");
    (await backend.request()).peer.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n");
    expect((await client.message()).status).toBe(502);
  });
});
