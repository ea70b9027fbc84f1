// Attack: a request whose end two parsers see at different places, so that the rest of it becomes a request of its own
// behind the proxy (RFC 9112 §11.2). All of these are refused, nothing of them is forwarded, and nothing behind them is
// read as a request.
import { expect, test } from "vitest";
import { describeRelay, startTrio } from "../support/sidecar.ts";

const SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: checkout\r\n\r\n";
const post = (fields: string, body: string): string => `POST / HTTP/1.1\r\nHost: checkout\r\n${fields}\r\n\r\n${body}`;

describeRelay("a request with an uncertain end", (mode) => {
  test.each([
    ["CL.TE", post("Content-Length: 4\r\nTransfer-Encoding: chunked", "0\r\n\r\n")],
    ["TE.CL", post("Transfer-Encoding: chunked\r\nContent-Length: 4", "0\r\n\r\n")],
    ["TE.TE", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "0\r\n\r\n")],
    ["TE twice", post("Transfer-Encoding: chunked, chunked", "0\r\n\r\n")],
    ["TE unknown", post("Transfer-Encoding: xchunked", "0\r\n\r\n")],
    ["TE behind a tab and a control byte", post("Transfer-Encoding: \x0bchunked", "0\r\n\r\n")],
    ["TE with a space before the colon", post("Transfer-Encoding : chunked", "0\r\n\r\n")],
    ["TE in HTTP/1.0", "POST / HTTP/1.0\r\nHost: checkout\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
    ["TE folded", post("X: y\r\n Transfer-Encoding: chunked", "0\r\n\r\n")],
    ["CL twice", post("Content-Length: 0\r\nContent-Length: 43", "")],
    ["CL with a sign", post("Content-Length: +0", "")],
    ["CL in hexadecimal", post("Content-Length: 0x0", "")],
    ["CL with a space inside", post("Content-Length: 0 0", "")],
    ["CL empty", post("Content-Length:", "")],
    ["CL of 2^64", post("Content-Length: 18446744073709551616", "")],
    ["a line that ends with LF alone", "POST / HTTP/1.1\r\nHost: checkout\nContent-Length: 0\r\n\r\n"],
    ["a bare CR in a value", post("X: y\rContent-Length: 43", "")],
    ["a NUL in a value", post("X: y\0", "")],
    ["two Host fields", post("Host: ledger", "")],
    ["no Host", "POST / HTTP/1.1\r\n\r\n"],
    ["white space before the first field", "POST / HTTP/1.1\r\n X: y\r\nHost: checkout\r\n\r\n"],
    ["a space too many in the request line", "POST  / HTTP/1.1\r\nHost: checkout\r\n\r\n"],
  ])("%s", async (_, bytes) => {
    const { client, backend } = await startTrio(mode);
    client.send(bytes + SMUGGLED);
    const answer = await client.message();
    expect([400, 501]).toContain(answer.status);
    expect(answer.field("connection")).toBe("close");
    expect(await client.ended()).toBe("fin");
    expect(client.text).toBe("");
    expect(backend.connections).toHaveLength(0);
  });

  test.each([
    ["a chunk size with a sign", "+0\r\n\r\n"],
    ["a chunk size in front of a space", "0 \r\n\r\n"],
    ["a chunk size that ends with LF alone", "0\n\r\n"],
    ["a chunk size that overflows", "10000000000000000\r\nx\r\n0\r\n\r\n"],
    ["a chunk that is longer than it says", "1\r\nxx\r\n0\r\n\r\n"],
    ["a chunk extension with LF in it", "1;a\nb\r\nx\r\n0\r\n\r\n"],
    ["a trailer that is folded", "0\r\nX: y\r\n z\r\n\r\n"],
  ])("%s", async (_, chunks) => {
    const { client, sidecar, backend } = await startTrio(mode);
    client.send(post("Transfer-Encoding: chunked", chunks) + SMUGGLED);
    const answer = await client.message();
    expect(answer.status).toBe(400);
    expect(await client.ended()).toBe("fin");
    expect(client.text).toBe("");
    // At most the head was on its way; its connection is not used again.
    for (const peer of backend.connections) expect(peer.text).not.toContain("smuggled");
    expect(await sidecar.metric("sidelane_upstream_connections", { state: "idle" })).toBe(0);
    expect(await sidecar.metric("sidelane_active_requests")).toBe(0);
  });
});
