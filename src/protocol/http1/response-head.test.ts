// Responses of endpoints, case by case. Rows are named as in docs/proxy-behaviour.md.
import { describe, expect, test } from "vitest";
import { defaultLimits } from "../../base/limits.ts";
import { latin1 } from "../bytes.ts";
import { FieldTable } from "../field-table.ts";
import { http1Fields } from "./field-ids.ts";
import { forwardResponse } from "./forward-as-text.ts";
import { ResponseHead, parseResponseHead } from "./response-head.ts";
import { cutTransferEncoding, writeResponseHead } from "./serialise.ts";

const lines = (...all: readonly string[]): string => `${all.join("\r\n")}\r\n\r\n`;
const ok = (...fields: readonly string[]): string => lines("HTTP/1.1 200 OK", ...fields);
const answer = (status: string, ...fields: readonly string[]): string => lines(`HTTP/1.1 ${status}`, ...fields);

type Refusal = readonly [string, string, string, string];

const refusals: readonly Refusal[] = [
  ["P1", "CL and TE", ok("Content-Length: 5", "Transfer-Encoding: chunked"), "502 both-lengths"],
  ["P1", "TE and CL in a 304", answer("304 NM", "Transfer-Encoding: chunked", "Content-Length: 5"), "502 both-lengths"],
  ["P2", "chunked twice", ok("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), "502 coding-list"],
  ["P2", "gzip", ok("Transfer-Encoding: gzip"), "502 coding-unknown"],
  ["P2", "gzip, chunked", ok("Transfer-Encoding: gzip, chunked"), "502 coding-unknown"],
  ["P2", "identity", ok("Transfer-Encoding: identity"), "502 coding-unknown"],
  ["P2", "empty", ok("Transfer-Encoding: "), "502 coding-list"],
  ["P2", "in HTTP/1.0", lines("HTTP/1.0 200 OK", "Transfer-Encoding: chunked"), "502 coding-in-http10"],
  ["P3", "two lengths", ok("Content-Length: 5", "Content-Length: 6"), "502 content-length-conflict"],
  ["P3", "signed length", ok("Content-Length: +5"), "502 content-length"],
  ["P3", "no length", ok("Content-Length:"), "502 content-length"],
  ["P4", "a folded line", ok("X: a", " b"), "502 folded-line"],
  ["P5", "LF behind the status line", "HTTP/1.1 200 OK\nX: y\r\n\r\n", "502 bare-line-feed"],
  ["P5", "LF behind a field", "HTTP/1.1 200 OK\r\nX: y\n\r\n", "502 bare-line-feed"],
  ["P5", "LF at the end", "HTTP/1.1 200 OK\r\nX: y\r\n\n", "502 bare-line-feed"],
  ["P5", "CR in the reason", "HTTP/1.1 200 O\rK\r\n\r\n", "502 bare-carriage-return"],
  ["P5", "CR in a value", ok("X: a\rb"), "502 bare-carriage-return"],
  ["P5", "an empty line first", `\r\n${ok()}`, "502 status-line"],
  ["P6", "white space before a colon, and no colon", ok("X  y: z"), "502 field-name"],
  ["P8", "NUL in the reason", "HTTP/1.1 200 O\0K\r\n\r\n", "502 status-line"],
  ["P8", "NUL in a value", ok("X: a\0b"), "502 field-value"],
  ["P8", "empty name", ok(": a"), "502 field-name"],
  ["P8", "no token", ok("X[]: a"), "502 field-name"],
  ["P12", "204 with TE", answer("204 No Content", "Transfer-Encoding: chunked"), "502 coding-without-body"],
  ["P12", "103 with TE", answer("103 Early Hints", "Transfer-Encoding: chunked"), "502 coding-without-body"],
  ["M7", "HTTP/1.2", lines("HTTP/1.2 200 OK"), "502 version"],
  ["M7", "HTTP/2", lines("HTTP/2 200 OK"), "502 status-line"],
  ["M7", "lower case", lines("http/1.1 200 OK"), "502 status-line"],
  ["M7", "two digits", lines("HTTP/1.1 20 OK"), "502 status-line"],
  ["M7", "four digits", lines("HTTP/1.1 2000 OK"), "502 status-line"],
  ["M7", "status below 100", lines("HTTP/1.1 099 X"), "502 status-line"],
  ["M7", "two spaces", lines("HTTP/1.1  200 OK"), "502 status-line"],
  ["M7", "tab behind the status", lines("HTTP/1.1 200\tOK"), "502 status-line"],
  ["M7", "a request", lines("GET / HTTP/1.1", "Host: a"), "502 status-line"],
  ["M7", "a banner of SSH", "SSH-2.0-OpenSSH_9.6\r\n", "502 status-line"],
];

type Forwarding = readonly [string, string, string, string, string];
const same = (row: string, name: string, input: string, body: string): Forwarding => [row, name, input, input, body];

const forwardings: readonly Forwarding[] = [
  same("M1", "length", ok("Content-Length: 5"), "length 5, keep"),
  same("M1", "length 0", ok("Content-Length: 0"), "length 0, keep"),
  same("M1", "chunked", ok("Transfer-Encoding: chunked"), "chunked, keep"),
  same("M1", "204", answer("204 No Content"), "none, keep"),
  same("M1", "204 with a length of 0", answer("204 No Content", "Content-Length: 0"), "none, keep"),
  [
    "M1",
    "204 with a length loses it",
    answer("204 No Content", "X: 1", "Content-Length: 5", "Y: 2"),
    answer("204 No Content", "X: 1", "Y: 2"),
    "none, keep",
  ],
  [
    "M1",
    "103 with a list of lengths loses it",
    answer("103 Early Hints", "Content-Length: 5, 5", "Link: x"),
    answer("103 Early Hints", "Link: x"),
    "none, keep",
  ],
  same("M1", "304 keeps its length", answer("304 Not Modified", "Content-Length: 5"), "none, keep"),
  same("M1", "304 keeps its coding", answer("304 Not Modified", "Transfer-Encoding: chunked"), "none, keep"),
  same("M1", "205 is framed as any other", answer("205 Reset Content", "Content-Length: 0"), "length 0, keep"),
  same("M2", "until the connection closes", ok("X: y"), "close, close"),
  [
    "M2",
    "HTTP/1.0 until the connection closes",
    lines("HTTP/1.0 200 OK", "Connection: keep-alive"),
    ok(),
    "close, close",
  ],
  [
    "M2",
    "HTTP/1.0 with length and keep-alive",
    lines("HTTP/1.0 200 OK", "Connection: Keep-Alive", "Content-Length: 5"),
    ok("Content-Length: 5"),
    "length 5, keep",
  ],
  [
    "M2",
    "HTTP/1.0 with length",
    lines("HTTP/1.0 200 OK", "Content-Length: 5"),
    ok("Content-Length: 5"),
    "length 5, close",
  ],
  same("M3", "100", answer("100 Continue"), "none, keep"),
  same("M3", "103 with fields", answer("103 Early Hints", "Link: </a>; rel=preload"), "none, keep"),
  same("M7", "no reason", lines("HTTP/1.1 200 "), "close, close"),
  same("M7", "no reason and no space", lines("HTTP/1.1 200"), "close, close"),
  same("M7", "a reason with obs-text and tabs", lines("HTTP/1.1 200 \xe4\t!"), "close, close"),
  same("M7", "an unknown status", answer("799 Odd", "Content-Length: 0"), "length 0, keep"),
  ["P3", "equal lengths become one", ok("Content-Length: 5, 5"), ok("content-length: 5"), "length 5, keep"],
  [
    "P3",
    "equal lines become one",
    ok("Content-Length: 5", "content-length: 5"),
    ok("Content-Length: 5"),
    "length 5, keep",
  ],
  ["P6", "white space before the colon goes", ok("X-A \t: b", "Y : c"), ok("X-A: b", "Y: c"), "close, close"],
  [
    "P6",
    "before the colon of the length",
    ok("Content-Length : 5", "X: y"),
    ok("Content-Length: 5", "X: y"),
    "length 5, keep",
  ],
  [
    "P6",
    "before the colon of the coding",
    ok("Transfer-Encoding\t:\tchunked"),
    ok("transfer-encoding: chunked"),
    "chunked, keep",
  ],
  [
    "P6",
    "before the colon of fields that are cut as a whole",
    ok("X: 1", "Connection : close", "Keep-Alive : x", "Content-Length: 5", "Content-Length : 5", "TE : x", "Y: 2"),
    ok("X: 1", "Content-Length: 5", "Y: 2"),
    "length 5, close",
  ],
  [
    "P6",
    "before the colon of a field that Connection names",
    ok("X-A : 1", "X-B : 2", "Connection: x-a", "Content-Length: 0"),
    ok("X-B: 2", "Content-Length: 0"),
    "length 0, keep",
  ],
  [
    "H1",
    "hop-by-hop fields",
    ok("Connection: close, X-A", "Keep-Alive: x", "X-A: 1", "Proxy-Connection: x", "Upgrade: h2c", "Content-Length: 0"),
    ok("Content-Length: 0"),
    "length 0, close",
  ],
  [
    "P15",
    "Upgrade of a 101",
    lines("HTTP/1.1 101 Switching Protocols", "Connection: upgrade", "Upgrade: websocket", "X: y"),
    lines("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "X: y", "connection: Upgrade"),
    "none, keep",
  ],
  [
    "P15",
    "Upgrade of a 426, without what is not relayed",
    lines("HTTP/1.1 426 Upgrade Required", "Connection: upgrade", "Upgrade: h2c, websocket", "Content-Length: 0"),
    lines("HTTP/1.1 426 Upgrade Required", "Content-Length: 0", "connection: Upgrade", "upgrade: websocket"),
    "length 0, keep",
  ],
  ["P15", "Upgrade that advertises", ok("Connection: upgrade", "Upgrade: h2,h2c"), ok(), "close, close"],
  ["P15", "Upgrade that advertises nonsense", ok("Connection: upgrade", "Upgrade: ?;x"), ok(), "close, close"],
  [
    "H3",
    "Set-Cookie cannot be named away",
    ok("Connection: set-cookie", "Set-Cookie: a"),
    ok("Set-Cookie: a"),
    "close, close",
  ],
  same(
    "H7",
    "case, order, duplicates",
    ok("set-cookie: a", "X: 1", "Set-Cookie: b", "Content-Length: 0"),
    "length 0, keep",
  ),
  same(
    "H8",
    "Date, Server and Alt-Svc stay",
    ok("Date: x", "Server: y", "Alt-Svc: z", "Content-Length: 0"),
    "length 0, keep",
  ),
  same(
    "H6",
    "request fields mean nothing",
    ok("Max-Forwards: x", "Expect: y", "Host: a", "Host: b", "Content-Length: 0"),
    "length 0, keep",
  ),
];

describe("refused", () => {
  test.each(refusals)("%s %s", (_row, _name, input, verdict) => {
    expect(forwardResponse(input).verdict).toBe(verdict);
  });

  test("P10 limits", () => {
    const limits = { ...defaultLimits, headBytesMax: 1024, headerCountMax: 2 };
    expect(forwardResponse(ok("A: 1", "B: 2", "C: 3"), false, "none", limits).verdict).toBe("502 too-many-fields");
    expect(forwardResponse(ok(`A: ${"a".repeat(1024)}`), false, "none", limits).verdict).toBe("502 head-too-large");
    expect(forwardResponse(ok("Connection: a, b, c"), false, "none", limits).verdict).toBe("502 too-many-nominations");
    expect(forwardResponse(`HTTP/1.1 200 ${"a".repeat(1024)}`, false, "none", limits).verdict).toBe(
      "502 head-too-large",
    );
  });
});

describe("forwarded", () => {
  test.each(forwardings)("%s %s", (_row, _name, input, forwarded, body) => {
    expect(forwardResponse(input)).toEqual({ verdict: "forwarded", forwarded, body, rest: 0 });
  });

  test("M1 the answer to HEAD keeps its fields and has no body", () => {
    for (const fields of [["Content-Length: 5"], ["Transfer-Encoding: chunked"], []]) {
      const outcome = forwardResponse(ok(...fields), true);
      expect(outcome).toEqual({ verdict: "forwarded", forwarded: ok(...fields), body: "none, keep", rest: 0 });
    }
  });

  test("P11 what happens to the client's connection is said", () => {
    const input = ok("Connection: keep-alive", "Content-Length: 0");
    expect(forwardResponse(input, false, "close").forwarded).toBe(ok("Content-Length: 0", "connection: close"));
    expect(forwardResponse(input, false, "keep-alive").forwarded).toBe(
      ok("Content-Length: 0", "connection: keep-alive"),
    );
  });

  test.each([
    ["Transfer-Encoding: chunked", "X: y"],
    ["X: y", "Transfer-Encoding:\tchunked"],
  ])("M2 an HTTP/1.0 client gets no Transfer-Encoding: %s, %s", (...fields) => {
    const text = ok("Connection: x-a", ...fields, "X-A: 1");
    const bytes = new Uint8Array(text.length + 1);
    bytes.set(latin1(text));
    const head = new ResponseHead();
    const after = parseResponseHead(head, bytes, 0, text.length, new FieldTable([], http1Fields), defaultLimits, false);
    cutTransferEncoding(head);
    const to = new Uint8Array(1024);
    const end = writeResponseHead(head, bytes, after, to, 0, "close", latin1("x-sidelane-route: a\r\n"));
    expect(new TextDecoder().decode(to.subarray(0, end))).toBe(ok("X: y", "connection: close", "x-sidelane-route: a"));
  });
});
