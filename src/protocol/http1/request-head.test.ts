// Requests, attack by attack and edge by edge. Rows are named as in docs/proxy-behaviour.md.
//
// Long because it is a table: one row per attack, in the order of that page.
import { describe, expect, test } from "vitest";
import { defaultLimits } from "../../base/limits.ts";
import { forwardRequest } from "./forward-as-text.ts";
import { latin1 } from "../bytes.ts";
import { FieldTable } from "../field-table.ts";
import { fieldIds, http1Fields } from "./field-ids.ts";
import { FAULTY } from "./head.ts";
import { RequestHead, parseRequestHead } from "./request-head.ts";
import { cutMaxForwards, writeRequestHead } from "./serialise.ts";

const lines = (...all: readonly string[]): string => `${all.join("\r\n")}\r\n\r\n`;
const get = (...fields: readonly string[]): string => lines("GET / HTTP/1.1", "Host: a", ...fields);
const post = (...fields: readonly string[]): string => lines("POST / HTTP/1.1", "Host: a", ...fields);
const at = (target: string, method = "GET"): string => lines(`${method} ${target} HTTP/1.1`, "Host: a");
const host = (value: string): string => lines("GET / HTTP/1.1", `Host: ${value}`);

/** name of the row, what it is about, the input, status and fault. */
type Refusal = readonly [string, string, string, string];

const refusals: readonly Refusal[] = [
  ["P1", "CL then TE", post("Content-Length: 5", "Transfer-Encoding: chunked"), "400 both-lengths"],
  ["P1", "TE then CL", post("Transfer-Encoding: chunked", "Content-Length: 5"), "400 both-lengths"],
  ["P1", "TE and CL 0", post("Transfer-Encoding: chunked", "Content-Length: 0"), "400 both-lengths"],
  ["P1", "CL 0 in GET", get("Content-Length: 0", "transfer-encoding: CHUNKED"), "400 both-lengths"],

  ["P2", "chunked, chunked", post("Transfer-Encoding: chunked, chunked"), "400 coding-list"],
  ["P2", "two lines", post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), "400 coding-list"],
  ["P2", "identity line behind", post("Transfer-Encoding: chunked", "Transfer-Encoding: identity"), "400 coding-list"],
  ["P2", "identity", post("Transfer-Encoding: identity"), "501 coding-unknown"],
  ["P2", "xchunked", post("Transfer-Encoding: xchunked"), "501 coding-unknown"],
  ["P2", "chunkedx", post("Transfer-Encoding: chunked-false"), "501 coding-unknown"],
  ["P2", "parameter", post("Transfer-Encoding: chunked;q=1"), "501 coding-unknown"],
  ["P2", "quoted", post('Transfer-Encoding: "chunked"'), "501 coding-unknown"],
  ["P2", "gzip, chunked", post("Transfer-Encoding: gzip, chunked"), "501 coding-unknown"],
  ["P2", "gzip", post("Transfer-Encoding: gzip"), "501 coding-unknown"],
  ["P2", "chunked, gzip", post("Transfer-Encoding: chunked, gzip"), "400 coding-list"],
  ["P2", "chunked, identity", post("Transfer-Encoding: chunked, identity"), "400 coding-list"],
  ["P2", "chunked, gzip, chunked", post("Transfer-Encoding: chunked, gzip, chunked"), "400 coding-list"],
  ["P2", ",chunked", post("Transfer-Encoding: ,chunked"), "400 coding-list"],
  ["P2", "chunked,", post("Transfer-Encoding: chunked,"), "400 coding-list"],
  ["P2", "empty", post("Transfer-Encoding:"), "400 coding-list"],
  ["P2", "commas", post("Transfer-Encoding: ,,"), "400 coding-list"],
  ["P2", "folded", post("Transfer-Encoding:", " chunked"), "400 coding-list"],
  ["P2", "folded behind", post("Transfer-Encoding: x", "\tchunked"), "501 coding-unknown"],
  ["P2", "vertical tab", post("Transfer-Encoding: \x0bchunked"), "400 field-value"],
  ["P2", "form feed", post("Transfer-Encoding: chunked\x0c"), "400 field-value"],
  ["P2", "no-break space", post("Transfer-Encoding: \xa0chunked"), "501 coding-unknown"],
  ["P2", "space before colon", post("Transfer-Encoding : chunked"), "400 space-before-colon"],
  ["P2", "HTTP/1.0", lines("POST / HTTP/1.0", "Transfer-Encoding: chunked"), "400 coding-in-http10"],
  [
    "P2",
    "HTTP/1.0 with CL",
    lines("POST / HTTP/1.0", "Transfer-Encoding: chunked", "Content-Length: 3"),
    "400 coding-in-http10",
  ],

  ...[
    "+5",
    "-5",
    "-0",
    "+0",
    "0x10",
    "5 5",
    "5\t5",
    "",
    " ",
    "1e3",
    "1_000",
    "5.0",
    "5;",
    '"5"',
    "٥",
    "five",
    "5a",
  ].map((value): Refusal => ["P3", JSON.stringify(value), post(`Content-Length: ${value}`), "400 content-length"]),
  ["P3", "2^53", post("Content-Length: 9007199254740992"), "400 content-length"],
  ["P3", "2^64", post("Content-Length: 18446744073709551616"), "400 content-length"],
  ["P3", "17 digits of zeros", post("Content-Length: 00000000000000005"), "400 content-length"],
  ["P3", "list with an end", post("Content-Length: 5,"), "400 content-length"],
  ["P3", "list with a hole", post("Content-Length: 5, , 5"), "400 content-length"],
  ["P3", "list of nothing", post("Content-Length: ,"), "400 content-length"],
  ["P3", "5, 6", post("Content-Length: 5, 6"), "400 content-length-conflict"],
  ["P3", "two lines", post("Content-Length: 5", "Content-Length: 6"), "400 content-length-conflict"],
  ["P3", "three lines", post("Content-Length: 5", "X: y", "content-length: 5, 6"), "400 content-length-conflict"],
  ["P3", "valid, then not", post("Content-Length: 5", "Content-Length: +5"), "400 content-length"],

  ["P4", "a folded line", get("X-A: 1", " 2"), "400 folded-line"],
  ["P4", "a folded line by tab", get("X-A: 1", "\t2"), "400 folded-line"],
  ["P4", "a line of blanks", get("X-A: 1", "  "), "400 folded-line"],
  ["P4", "white space before the first field", lines("GET / HTTP/1.1", " Host: a"), "400 folded-line"],

  ["P5", "LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", "400 bare-line-feed"],
  ["P5", "LF after a field", "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", "400 bare-line-feed"],
  ["P5", "LF at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", "400 bare-line-feed"],
  ["P5", "LF first", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "400 request-line"],
  ["P5", "LF in the method", "GE\nT / HTTP/1.1\r\nHost: a\r\n\r\n", "400 request-line"],
  ["P5", "LF in the target", "GET /\n HTTP/1.1\r\nHost: a\r\n\r\n", "400 request-line"],
  ["P5", "LF in a name", get("X\nY: z"), "400 field-name"],
  ["P5", "CR after the request line", "GET / HTTP/1.1\rHost: a\r\n\r\n", "400 bare-carriage-return"],
  ["P5", "CR after a field", "GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", "400 bare-carriage-return"],
  ["P5", "CR within a value", get("X: a\rb"), "400 bare-carriage-return"],
  ["P5", "CR CR LF", get("X: a\r"), "400 bare-carriage-return"],
  ["P5", "CR LF CR X", "GET / HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n", "400 bare-carriage-return"],
  ["P5", "CR in a name", get("X\rY: z"), "400 field-name"],
  ["P5", "CR in the target", "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", "400 request-line"],
  ["P5", "three empty lines first", `\r\n\r\n\r\n${get()}`, "400 request-line"],

  ["P6", "space before colon", get("X-A : b"), "400 space-before-colon"],
  ["P6", "tab before colon", get("X-A\t: b"), "400 space-before-colon"],
  ["P6", "space before the colon of Host", lines("GET / HTTP/1.1", "Host : a"), "400 space-before-colon"],
  ["P6", "space before the colon of CL", post("Content-Length : 5"), "400 space-before-colon"],

  ["P8", "empty name", get(": x"), "400 field-name"],
  ["P8", "no colon", get("X-A"), "400 field-name"],
  ["P8", "delimiters in a name", get("X(A): b"), "400 field-name"],
  ["P8", "obs-text in a name", get("X\xe4: b"), "400 field-name"],
  ["P8", "space in a name", get("X A: b"), "400 space-before-colon"],
  ["P8", "NUL first in a line", get("\0X: b"), "400 field-name"],

  ["P9", "no Host", lines("GET / HTTP/1.1"), "400 host-missing"],
  ["P9", "no Host with absolute-form", lines("GET http://a/ HTTP/1.1"), "400 host-missing"],
  ["P9", "twice", get("Host: a"), "400 host-repeated"],
  ["P9", "twice in HTTP/1.0", lines("GET / HTTP/1.0", "Host: a", "host: b"), "400 host-repeated"],
  ["P9", "twice with absolute-form", lines("GET http://a/ HTTP/1.1", "Host: a", "Host: b"), "400 host-repeated"],
  ...[
    "user@a",
    "user:pw@a",
    "a, b",
    "a,b",
    "a b",
    "a/b",
    "a?b",
    "a#b",
    "a\\b",
    '"a"',
    "<a>",
    "a:b",
    "a:80:80",
    "a:-1",
    "a:+80",
    "a:65536",
    "a:000080",
    ":80",
    ":",
    "[::1",
    "::1",
    "[::1]x",
    "[::1]80",
    "[::1]]",
    "[[::1]]",
    "x[::1]",
    "a]",
    "[]g",
    "[g::1]",
    "[fe80::1%25eth0]",
    "h\xf6st",
  ].map((value): Refusal => ["P9", `Host: ${value}`, host(value), "400 host-invalid"]),
  ["P9", "absolute-form with userinfo", at("http://u@a/"), "400 host-invalid"],
  ["P9", "absolute-form without authority", at("http:///x"), "400 host-invalid"],
  ["P9", "absolute-form with a port alone", at("http://:80/"), "400 host-invalid"],
  ["P9", "absolute-form with an empty authority and query", at("http://?x"), "400 host-invalid"],

  ...["foo/", "/1", "foo/1/2", "foo bar", "foo;q=1", '"foo"', "a,".repeat(17)].map((value): Refusal => [
    "P15",
    `Upgrade: ${value}`,
    get("Connection: Upgrade", `Upgrade: ${value}`),
    "400 upgrade",
  ]),
  [
    "P15",
    "an upgrade with a body",
    post("Connection: Upgrade", "Upgrade: websocket", "Content-Length: 1"),
    "400 upgrade-with-body",
  ],
  [
    "P15",
    "an upgrade with a chunked body",
    post("Connection: Upgrade", "Upgrade: websocket", "Transfer-Encoding: chunked"),
    "400 upgrade-with-body",
  ],
  ["P15", "the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 http2-preface"],

  ["M3", "unknown expectation", post("Expect: 200-ok"), "417 expectation"],
  ["M3", "list of expectations", post("Expect: 100-continue, 100-continue"), "417 expectation"],
  ["M3", "empty expectation", post("Expect:"), "417 expectation"],

  ["M6", "CONNECT", lines("CONNECT a:443 HTTP/1.1", "Host: a:443"), "501 connect"],
  ["M6", "CONNECT with a path", at("/", "CONNECT"), "501 connect"],

  ["M7", "asterisk of GET", at("*"), "400 target"],
  ["M7", "asterisk and more", at("*/x", "OPTIONS"), "400 target"],
  ["M7", "authority-form of GET", at("a:80"), "400 target"],
  ["M7", "a name alone", at("index.html"), "400 target"],
  ["M7", "https", at("https://a/"), "400 target"],
  ["M7", "scheme without slashes", at("http:/a"), "400 target"],
  ["M7", "scheme alone", at("http://"), "400 target"],
  ["M7", "fragment", at("/a#b"), "400 target"],
  ["M7", "fragment behind the authority", at("http://a#b"), "400 target"],
  ["M7", "fragment behind the query", at("http://a/?b#"), "400 target"],
  ["M7", "space in the target", at("/a b"), "400 request-line"],
  ["M7", "tab for space", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", "400 request-line"],
  ["M7", "two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "400 request-line"],
  ["M7", "two spaces before the version", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", "400 request-line"],
  ["M7", "no target", "GET HTTP/1.1\r\nHost: a\r\n\r\n", "400 request-line"],
  ["M7", "NUL in the target", at("/\0"), "400 request-line"],
  ["M7", "DEL in the target", at("/\x7f"), "400 request-line"],
  ["M7", "white space behind the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "400 request-line"],
  ["M7", "HTTP/1.2", lines("GET / HTTP/1.2", "Host: a"), "505 version"],
  ["M7", "HTTP/2.0", lines("GET / HTTP/2.0", "Host: a"), "505 version"],
  ["M7", "HTTP/0.9", lines("GET / HTTP/0.9", "Host: a"), "505 version"],
  ["M7", "HTTP/1.10", lines("GET / HTTP/1.10", "Host: a"), "505 version"],
  ["M7", "HTTP/01.1", lines("GET / HTTP/01.1", "Host: a"), "505 version"],
  ["M7", "a long version", lines("GET / HTTP/1.11111111111111", "Host: a"), "400 request-line"],
  ["M7", "lower case version", lines("GET / http/1.1", "Host: a"), "400 request-line"],
  ["M7", "another protocol", lines("GET / RTSP/1.1", "Host: a"), "400 request-line"],
  ["M7", "HTTP/0.9 without version", "GET /\r\n", "400 request-line"],
  ["M7", "empty method", " / HTTP/1.1\r\nHost: a\r\n\r\n", "400 request-line"],
  ["M7", "method that is no token", at("/", "G(T"), "400 request-line"],
  ["M7", "TLS", "\x16\x03\x01\x02\x00\x01\x00", "400 request-line"],

  ["H6", "Max-Forwards of OPTIONS", lines("OPTIONS * HTTP/1.1", "Host: a", "Max-Forwards: x"), "400 max-forwards"],
  ["H6", "two", lines("TRACE / HTTP/1.1", "Host: a", "Max-Forwards: 1", "Max-Forwards: 1"), "400 max-forwards"],
];

describe("refused", () => {
  test.each(refusals)("%s %s", (_row, _name, input, verdict) => {
    expect(forwardRequest(input).verdict).toBe(verdict);
  });

  const controls = Array.from({ length: 256 }, (_, byte) => byte).filter(
    (byte) => (byte < 0x20 && byte !== 0x09) || byte === 0x7f,
  );
  test.each(controls)("P8 byte %i in a value", (byte) => {
    const character = String.fromCharCode(byte);
    const verdict =
      byte === 0x0a ? "400 bare-line-feed" : byte === 0x0d ? "400 bare-carriage-return" : "400 field-value";
    for (const value of [`${character}a`, `a${character}`, `a${character}b`, character]) {
      // A CR before the CR LF of the line is one too many; an LF ends the line where it stands.
      expect(forwardRequest(get(`X-A: ${value}`, "X-B: c")).verdict).toBe(verdict);
    }
  });

  test("P8 every byte that is no token character, in a name", () => {
    for (let byte = 0; byte < 256; byte++) {
      const character = String.fromCharCode(byte);
      if (/[!#$%&'*+\-.^_`|~0-9A-Za-z:]/.test(character)) continue;
      expect(forwardRequest(get(`X${character}A: b`)).verdict).toMatch(/^400 /);
      expect(forwardRequest(get(`${character}A: b`)).verdict).toMatch(/^400 /);
    }
  });

  test("M7 every control byte and white space, in the target", () => {
    for (const byte of [...controls, 0x20, 0x09]) {
      expect(forwardRequest(at(`/a${String.fromCharCode(byte)}b`)).verdict).toMatch(/^400 /);
    }
  });
});

describe("P10 limits", () => {
  const limits = { headBytesMax: 1024, headerCountMax: 4, uriBytesMax: 256 };

  test("a head of exactly headBytesMax is forwarded, one byte more is not", () => {
    const room = limits.headBytesMax - get("X-A: ").length;
    expect(forwardRequest(get(`X-A: ${"a".repeat(room)}`), limits).verdict).toBe("forwarded");
    expect(forwardRequest(`${get(`X-A: ${"a".repeat(room)}`)}body`, limits).verdict).toBe("forwarded");
    expect(forwardRequest(get(`X-A: ${"a".repeat(room + 1)}`), limits).verdict).toBe("431 head-too-large");
  });

  test("an incomplete head of headBytesMax is refused without waiting for more", () => {
    expect(forwardRequest("GET / HTTP/1.1\r\nX: ".padEnd(limits.headBytesMax - 1, "a"), limits).verdict).toBe(
      "incomplete",
    );
    expect(forwardRequest("GET / HTTP/1.1\r\nX: ".padEnd(limits.headBytesMax, "a"), limits).verdict).toBe(
      "431 head-too-large",
    );
  });

  test("headerCountMax", () => {
    expect(forwardRequest(get("A: 1", "B: 2", "C: 3"), limits).verdict).toBe("forwarded");
    expect(forwardRequest(get("A: 1", "B: 2", "C: 3", "D: 4"), limits).verdict).toBe("431 too-many-fields");
  });

  test("uriBytesMax, told before the head is complete", () => {
    expect(forwardRequest(at(`/${"a".repeat(limits.uriBytesMax - 1)}`), limits).verdict).toBe("forwarded");
    expect(forwardRequest(at(`/${"a".repeat(limits.uriBytesMax)}`), limits).verdict).toBe("414 target-too-long");
    expect(forwardRequest(`GET /${"a".repeat(limits.uriBytesMax)}`, limits).verdict).toBe("414 target-too-long");
  });

  test("names in Connection: no more than fields, as each is compared with each", () => {
    expect(forwardRequest(get("Connection: b, c, d, e"), limits).verdict).toBe("forwarded");
    expect(forwardRequest(get("Connection: b, c, d, e, f"), limits).verdict).toBe("431 too-many-nominations");
  });
});

/** name of the row, what it is about, the input, the forwarded head, body and connection. */
type Forwarding = readonly [string, string, string, string, string];
const same = (row: string, name: string, input: string, body = "none, keep"): Forwarding => [
  row,
  name,
  input,
  input,
  body,
];

const forwardings: readonly Forwarding[] = [
  same("P2", "chunked", post("Transfer-Encoding: chunked"), "chunked, keep"),
  same("P2", "chunked in other case, no space", post("transfer-encoding:ChunKed"), "chunked, keep"),
  ...["\tchunked", "  chunked", " chunked ", " chunked\t"].map((value): Forwarding => [
    "P2",
    `${JSON.stringify(value)} goes on in plain form`,
    post(`Transfer-Encoding:${value}`, "X: y"),
    post("X: y", "transfer-encoding: chunked"),
    "chunked, keep",
  ]),
  same("P3", "one length", post("Content-Length: 5"), "length 5, keep"),
  same("P3", "leading zeros", post("Content-Length: 007"), "length 7, keep"),
  same("P3", "2^53 - 1", post("Content-Length: 9007199254740991"), "length 9007199254740991, keep"),
  ["P3", "5, 5", post("Content-Length: 5, 5"), post("content-length: 5"), "length 5, keep"],
  ["P3", "05,5", post("Content-Length: 05,5", "X: y"), post("X: y", "content-length: 5"), "length 5, keep"],
  [
    "P3",
    "two equal lines",
    post("Content-Length: 5", "X: y", "Content-Length: 5"),
    post("Content-Length: 5", "X: y"),
    "length 5, keep",
  ],
  [
    "P3",
    "list, then line",
    post("Content-Length: 5, 5", "Content-Length: 5", "X: y"),
    post("X: y", "content-length: 5"),
    "length 5, keep",
  ],
  ["P3", "by tab", post("Content-Length:\t5"), post("content-length: 5"), "length 5, keep"],
  ["P3", "trailing blanks", post("Content-Length: 5 \t"), post("content-length: 5"), "length 5, keep"],
  ["P5", "one empty line first", `\r\n${get()}`, get(), "none, keep"],
  ["P5", "two empty lines first", `\r\n\r\n${get()}`, get(), "none, keep"],
  same("P8", "obs-text, tabs and quotes in values", get("X: \xe4\t\xff \"'\\"), "none, keep"),
  same("P8", "every token character in a name", get("!#$%&'*+-.^_`|~09azAZ: b")),
  same("P8", "empty values", get("X:", "Y: ", "Z:\t")),
  same("P9", "port", host("a:8080")),
  same("P9", "empty port", host("a:")),
  same("P9", "IPv6", host("[2001:db8::1]:80")),
  same("P9", "IPv4 in IPv6", host("[::ffff:1.2.3.4]")),
  same("P9", "empty Host", host("")),
  same("P9", "sub-delimiters and escapes", host("a_b~c!%20;=(x)")),
  [
    "P9",
    "absolute-form overrides Host",
    lines("GET http://b:81/x?y HTTP/1.1", "X: 1", "Host: a", "Y: 2"),
    lines("GET /x?y HTTP/1.1", "host: b:81", "X: 1", "Y: 2"),
    "none, keep",
  ],
  [
    "P9",
    "absolute-form without Host in HTTP/1.0",
    lines("GET HTTP://b/x HTTP/1.0"),
    lines("GET /x HTTP/1.1", "host: b"),
    "none, close",
  ],
  ["M7", "absolute-form without path", at("http://b"), lines("GET / HTTP/1.1", "host: b"), "none, keep"],
  ["M7", "absolute-form, query at once", at("http://b?x=/"), lines("GET /?x=/ HTTP/1.1", "host: b"), "none, keep"],
  ["M7", "OPTIONS of a server", at("http://b", "OPTIONS"), lines("OPTIONS * HTTP/1.1", "host: b"), "none, keep"],
  ["M7", "OPTIONS, absolute, path", at("http://b/", "OPTIONS"), lines("OPTIONS / HTTP/1.1", "host: b"), "none, keep"],
  same("M7", "OPTIONS *", at("*", "OPTIONS")),
  same("M7", "two slashes", at("//evil.example/x")),
  same("M7", "characters that RFC 3986 does not know", at('/a|b"<>{}^`\\\xe4?%zz')),
  same("M7", "unknown method", at("/", "M-SEARCH")),
  same("M7", "methods are case-sensitive", at("/", "get")),
  same("M7", "connect in lower case is another method", at("/", "connect")),
  [
    "M7",
    "HTTP/1.0 without Host gets one",
    lines("GET / HTTP/1.0"),
    lines("GET / HTTP/1.1", "host: app:8080"),
    "none, close",
  ],
  [
    "M7",
    "HTTP/1.0 with Host and keep-alive",
    lines("GET / HTTP/1.0", "Host: a", "Connection: Keep-Alive"),
    lines("GET / HTTP/1.1", "Host: a"),
    "none, keep",
  ],
  same("M1", "no length is added to a bodyless request", post()),
  same("M1", "Content-Length: 0 stays", post("Content-Length: 0")),
  same("M3", "Expect", post("Expect: 100-Continue", "Content-Length: 1"), "length 1, keep"),
  [
    "M3",
    "Expect of HTTP/1.0 means nothing",
    lines("POST / HTTP/1.0", "Host: a", "expect: 100-continue", "Content-Length: 1"),
    lines("POST / HTTP/1.1", "Host: a", "Content-Length: 1"),
    "length 1, close",
  ],
  [
    "P15",
    "h2c is stripped",
    get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAM", "X: y"),
    get("X: y"),
    "none, keep",
  ],
  ["P15", "empty Upgrade is stripped", get("Upgrade:"), get(), "none, keep"],
  [
    "P15",
    "an upgrade goes on as it came",
    get("Connection: keep-alive, Upgrade", "UPGRADE:  WebSocket, foo/2", "X: y"),
    get("UPGRADE:  WebSocket, foo/2", "X: y", "connection: Upgrade"),
    "none, keep",
  ],
  [
    "P15",
    "an upgrade with an empty body",
    post("Connection: Upgrade", "Upgrade: foo", "Content-Length: 0"),
    post("Upgrade: foo", "Content-Length: 0", "connection: Upgrade"),
    "none, keep",
  ],
  [
    "P15",
    "protocols that would conceal further requests are not offered on",
    get("Connection: Upgrade", "Upgrade: h2c, websocket, TLS/1.0", "X: y", "Upgrade: HTTP/2.0, foo/2"),
    get("X: y", "connection: Upgrade", "upgrade: websocket, foo/2"),
    "none, keep",
  ],
  ["P15", "TLS alone is stripped", get("Connection: Upgrade", "Upgrade: TLS/1.0", "X: y"), get("X: y"), "none, keep"],
  ["P15", "without the connection option it is stripped", get("Upgrade: websocket"), get(), "none, keep"],
  ["P15", "the connection option alone asks for nothing", get("Connection: Upgrade"), get(), "none, keep"],
  [
    "P15",
    "the connection option does not take Upgrade away where it names another field",
    get("Connection: Upgrade, X-A", "X-A: 1", "Upgrade: websocket"),
    get("Upgrade: websocket", "connection: Upgrade"),
    "none, keep",
  ],
  [
    "P15",
    "a body beside an upgrade that is stripped is a body",
    post("Connection: Upgrade", "Upgrade: h2c", "Content-Length: 1"),
    post("Content-Length: 1"),
    "length 1, keep",
  ],
  [
    "P15",
    "Upgrade of HTTP/1.0 means nothing",
    lines("GET / HTTP/1.0", "Host: a", "Upgrade: websocket", "Connection: upgrade"),
    lines("GET / HTTP/1.1", "Host: a"),
    "none, close",
  ],
  ["H1", "close", get("Connection: close"), get(), "none, close"],
  ["H1", "close wins over keep-alive", get("Connection: keep-alive, Close"), get(), "none, close"],
  ["H1", "several Connection lines", get("Connection: keep-alive", "connection: close"), get(), "none, close"],
  ["H1", "empty options", get("Connection: ,, ,"), get(), "none, keep"],
  [
    "H1",
    "Keep-Alive and Proxy-Connection",
    get("Keep-Alive: timeout=5", "Proxy-Connection: close", "X: y"),
    get("X: y"),
    "none, keep",
  ],
  [
    "H1",
    "named fields, each line of them, in any case and order",
    get("X-A: 1", "X-B: 2", "Connection: x-a,X-C", "x-c: 3", "X-A: 4"),
    get("X-B: 2"),
    "none, keep",
  ],
  [
    "H1",
    "parts of names are not names",
    get("Connection: x, a b, x-ab:, \xe4", "X-AB: 1", "XX: 2"),
    get("X-AB: 1", "XX: 2"),
    "none, keep",
  ],
  ["H2", "TE: trailers stays, as an option", get("TE: trailers"), get("connection: TE", "te: trailers"), "none, keep"],
  [
    "H2",
    "other codings of TE go",
    get("Connection: TE", "TE: gzip;q=0.5, Trailers"),
    get("connection: TE", "te: trailers"),
    "none, keep",
  ],
  ["H2", "TE without trailers goes", get("TE: gzip", "te:"), get(), "none, keep"],
  ...[
    "Host",
    "baggage",
    "tracestate",
    "traceparent",
    "X-Sandbox",
    "x-forwarded-for",
    "X-Forwarded-Client-Cert",
    "Forwarded",
    "X-Real-IP",
    "X-Request-ID",
    "Authorization",
    "Cookie",
    "Via",
  ].map((name): Forwarding => [
    "H3",
    `${name} cannot be named away`,
    get(`Connection: close, ${name}`, ...(name === "Host" ? [] : [`${name}: v`])),
    get(...(name === "Host" ? [] : [`${name}: v`])),
    "none, close",
  ]),
  [
    "H3",
    "Content-Length cannot be named away",
    post("Connection: content-length", "Content-Length: 5"),
    post("Content-Length: 5"),
    "length 5, keep",
  ],
  [
    "H3",
    "Transfer-Encoding cannot be named away",
    post("Connection: transfer-encoding", "Transfer-Encoding: chunked"),
    post("Transfer-Encoding: chunked"),
    "chunked, keep",
  ],
  [
    "H1",
    "more than 16 cuts, named and others mixed",
    get(
      `Connection: ${Array.from({ length: 40 }, (_, i) => `h${i}`).join(", ")}`,
      ...Array.from({ length: 40 }, (_, i) => [`H${39 - i}: x`, `E${i}: y`, `Keep-Alive: ${i}`]).flat(),
    ),
    get(...Array.from({ length: 40 }, (_, i) => `E${i}: y`)),
    "none, keep",
  ],
  same(
    "H7",
    "case, order, duplicates and __proto__ stay",
    get("X-b: 1", "x-B:2", "X-A:  3 ", "__proto__: 4", "x-b: 5"),
  ),
  same("P13", "underscores are passed on and mean nothing", post("Content_Length: 5", "Transfer_Encoding: chunked")),
  same("H6", "Max-Forwards of other methods is not looked at", get("Max-Forwards: x", "Max-Forwards: y")),
  same("H5", "Forwarded and X-Forwarded-* pass", get("Forwarded: for=1.2.3.4", "X-Forwarded-Proto: https")),
];

describe("forwarded", () => {
  test.each(forwardings)("%s %s", (_row, _name, input, forwarded, body) => {
    const outcome = forwardRequest(input, { ...defaultLimits, headerCountMax: 200 });
    expect(outcome).toEqual({ verdict: "forwarded", forwarded, body, rest: 0 });
  });

  test("P11 bytes behind the head are left alone", () => {
    expect(forwardRequest(`${get()}GET /next`).rest).toBe("GET /next".length);
  });
});

describe("Via and Max-Forwards", () => {
  const table = new FieldTable([], http1Fields);
  const forward = (text: string): string => {
    const bytes = new Uint8Array(text.length + 1);
    bytes.set(latin1(text));
    const head = new RequestHead();
    const after = parseRequestHead(head, bytes, 0, text.length, table, defaultLimits);
    cutMaxForwards(head);
    const to = new Uint8Array(1024);
    const end = writeRequestHead(head, bytes, after, to, 0, latin1("via: 1.1 me\r\n"), latin1(""));
    return new TextDecoder("latin1").decode(to.subarray(0, end));
  };

  test("H4 Via is added behind all others, with the version that was received", () => {
    expect(forward(lines("OPTIONS * HTTP/1.1", "Host: a", "Via: 1.1 b", "Max-Forwards: 5"))).toBe(
      lines("OPTIONS * HTTP/1.1", "Host: a", "Via: 1.1 b", "max-forwards: 4", "via: 1.1 me"),
    );
    expect(forward(lines("TRACE /x HTTP/1.0", "Host: a", "Max-Forwards: 1", "Connection: close"))).toBe(
      lines("TRACE /x HTTP/1.1", "Host: a", "max-forwards: 0", "via: 1.0 me"),
    );
  });

  test("H6 Max-Forwards counts for OPTIONS and TRACE", () => {
    expect(forward(lines("TRACE / HTTP/1.1", "Max-Forwards:  007", "Host: a"))).toBe(
      lines("TRACE / HTTP/1.1", "Host: a", "max-forwards: 6", "via: 1.1 me"),
    );
  });
});

describe("what the relay is told", () => {
  const table = new FieldTable(["baggage"], http1Fields);
  const head = new RequestHead();
  const parse = (text: string): { readonly bytes: Uint8Array; readonly after: number } => {
    const bytes = new Uint8Array(text.length + 1);
    bytes.set(latin1(text));
    return { bytes, after: parseRequestHead(head, bytes, 0, text.length, table, defaultLimits) };
  };
  const hostOf = (text: string): string => {
    const { bytes } = parse(text);
    return `${new TextDecoder("latin1").decode(bytes.subarray(head.hostNameStart, head.hostNameEnd))} ${head.hostPort}`;
  };

  test.each([
    [host("checkout"), "checkout -1"],
    [host("  checkout:8080\t"), "checkout 8080"],
    [host("checkout:"), "checkout -1"],
    [host("a:65535"), "a 65535"],
    [host("[::1]"), "[::1] -1"],
    [host("[::1]:9"), "[::1] 9"],
    [host(""), " -1"],
    [at("http://b:81/x"), "b 81"],
    [lines("GET / HTTP/1.0"), " -1"],
  ])("P9 host and port of %j are %j", (text, expected) => {
    expect(hostOf(text)).toBe(expected);
  });

  test("M8 which methods may be sent again (RFC 9110 §9.2.2)", () => {
    for (const method of ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]) {
      parse(at("/", method));
      expect([method, head.idempotent]).toEqual([method, true]);
    }
    for (const method of ["POST", "PATCH", "get", "GETX", "GE", "PROPFIND"]) {
      parse(at("/", method));
      expect([method, head.idempotent]).toEqual([method, false]);
    }
  });

  test("watched fields and Via are reported in order, trimmed", () => {
    const { bytes } = parse(get("Baggage:  a=1 \t", "VIA: 1.1 x", "x: y", "baggage:"));
    const values = Array.from({ length: head.watchedCount }, (_, w) => [
      head.watched[w * 3],
      new TextDecoder().decode(bytes.subarray(head.watched[w * 3 + 1], head.watched[w * 3 + 2])),
    ]);
    expect(values).toEqual([
      [fieldIds.watched, "a=1"],
      [9, "1.1 x"],
      [fieldIds.watched, ""],
    ]);
  });

  test("more than 16 watched fields", () => {
    parse(get(...Array.from({ length: 50 }, (_, i) => `baggage: a=${i}`)));
    expect(head.watchedCount).toBe(50);
    expect(head.watched[49 * 3]).toBe(fieldIds.watched);
  });

  test("one object serves all heads: nothing of the last one is left", () => {
    parse(lines("POST http://b:1/ HTTP/1.0", "Host: a", "Content-Length: 5, 5", "Connection: keep-alive, x", "X: y"));
    parse(post("TE: trailers", "Expect: 100-continue", "Max-Forwards: 1", "Transfer-Encoding:\tchunked", "Via: 1.1 x"));
    const { after } = parse("GET /x");
    expect(after).toBe(0);
    parse(at("/"));
    const fresh = new RequestHead();
    const bytes = new Uint8Array(at("/").length + 1);
    bytes.set(latin1(at("/")));
    parseRequestHead(fresh, bytes, 0, bytes.length - 1, table, defaultLimits);
    const told = (from: RequestHead): unknown => {
      const { cuts: _cuts, watched: _watched, fault: _fault, ...rest } = from;
      const { hostLineStart: _a, hostLineEnd: _b, codingLineStart: _c, codingLineEnd: _d, ...facts } = rest;
      const { maxForwardsLineStart: _e, maxForwardsLineEnd: _f, ...all } = facts;
      return all;
    };
    expect(told(head)).toEqual(told(fresh));
  });

  test("no room for the sentinel is a bug of the caller", () => {
    const bytes = latin1("GET / HTTP/1.1\r\n");
    expect(() => parseRequestHead(head, bytes, 0, bytes.length, table, defaultLimits)).toThrow("no room");
  });

  test("the byte behind a bounded head is as it was", () => {
    const text = `${"GET / HTTP/1.1\r\nHost: a\r\nX: ".padEnd(1024, "a")}bcd`;
    const bytes = new Uint8Array(text.length + 1);
    bytes.set(latin1(text));
    const limits = { ...defaultLimits, headBytesMax: 1024 };
    expect(parseRequestHead(head, bytes, 0, text.length, table, limits)).toBe(FAULTY);
    expect(new TextDecoder().decode(bytes.subarray(0, text.length))).toBe(text);
  });
});
