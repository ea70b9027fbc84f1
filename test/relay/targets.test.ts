import { expect, test } from "vitest";
import { describeRelay, startTrio } from "../support/sidecar.ts";

describeRelay("request targets (RFC 9112 §3.2)", (mode) => {
  test.each([
    ["GET http://ledger:9000/a?b=c HTTP/1.1", "GET /a?b=c HTTP/1.1", "host: ledger:9000"],
    ["GET http://ledger HTTP/1.1", "GET / HTTP/1.1", "host: ledger"],
    ["GET http://ledger?x=1 HTTP/1.1", "GET /?x=1 HTTP/1.1", "host: ledger"],
    ["OPTIONS http://ledger HTTP/1.1", "OPTIONS * HTTP/1.1", "host: ledger"],
    ["GET HTTP://ledger/ HTTP/1.1", "GET / HTTP/1.1", "host: ledger"],
  ])("absolute-form replaces Host: %s", async (line, forwarded, host) => {
    const { client, backend } = await startTrio(mode);
    client.send(`${line}\r\nHost: other\r\nX: y\r\n\r\n`);
    const { request } = await backend.request();
    expect(request.start).toBe(forwarded);
    expect(request.lines.filter((field) => /^host:/i.test(field))).toEqual([host]);
    expect(request.lines).toContain("X: y");
  });

  test("asterisk-form", async () => {
    const { client, backend } = await startTrio(mode);
    client.send("OPTIONS * HTTP/1.1\r\nHost: checkout\r\n\r\n");
    expect((await backend.request()).request.start).toBe("OPTIONS * HTTP/1.1");
  });

  test("Max-Forwards counts down for OPTIONS, and at 0 the sidecar answers (RFC 9110 §7.6.2)", async () => {
    const { client, backend } = await startTrio(mode);
    client.send("OPTIONS / HTTP/1.1\r\nHost: checkout\r\nMax-Forwards: 2\r\n\r\n");
    const { request, peer } = await backend.request();
    expect(request.field("max-forwards")).toBe("1");
    peer.send("HTTP/1.1 204 No Content\r\n\r\n");
    await client.message();
    client.send("OPTIONS / HTTP/1.1\r\nHost: checkout\r\nMax-Forwards: 0\r\n\r\n");
    const answer = await client.message();
    expect(answer.status).toBe(200);
    expect(answer.field("server")).toBe("sidelane");
  });

  test("the preface of HTTP/2 is answered with 505 in HTTP/1.1 where that alone is spoken", async () => {
    const listeners = [{ direction: "inbound", address: "127.0.0.1:0", target: "127.0.0.1:1", protocol: "http1" }];
    const { client } = await startTrio({ ...mode, listeners });
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    const answer = await client.message();
    expect(answer.status).toBe(505);
    expect(JSON.parse(answer.body)).toMatchObject({ reason: "version-unsupported" });
    expect(await client.ended()).toBe("fin");
  });
});
