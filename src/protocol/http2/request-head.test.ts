// Request heads, rule by rule. The cases of h2spec (http2 §8.1.2 and below) are rows here, and what smugglers have tried on
// gateways that turn HTTP/2 into HTTP/1.1: we do not, but the server behind us may.
//
// Long because it is a table: one row per rule and attack.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { defaultLimits } from "../../base/limits.ts";
import { NOT_A_NUMBER, latin1, textOf } from "../bytes.ts";
import { FieldTable, watchedNumber } from "../field-table.ts";
import { type Field, FieldBlock, makeField } from "../hpack/field.ts";
import { http1Fields } from "../http1/field-ids.ts";
import { RequestHead, parseRequestHead } from "../http1/request-head.ts";
import { http2Fields } from "./field-ids.ts";
import { Http2RequestHead, readRequestHead } from "./request-head.ts";

const table = new FieldTable(["x-sandbox", "baggage"], http2Fields);
const limits = { uriBytesMax: 100 };

type Line = readonly [name: string, value: string];

function blockOf(lines: readonly Line[]): FieldBlock {
  const block = new FieldBlock();
  for (const [name, value] of lines) block.add(makeField(name, value, table));
  return block;
}

const shared = new Http2RequestHead();

function read(...lines: readonly Line[]): Http2RequestHead {
  const fine = readRequestHead(shared, blockOf(lines), limits);
  expect(fine ? "accepted" : shared.fault.name).toBe("accepted");
  return shared;
}

function faultOf(...lines: readonly Line[]): string {
  return readRequestHead(shared, blockOf(lines), limits) ? "accepted" : shared.fault.name;
}

const text = (field: Field | undefined): string | undefined =>
  field === undefined ? undefined : textOf(field.bytes, field.valueStart, field.valueEnd);

const method: Line = [":method", "GET"];
const scheme: Line = [":scheme", "http"];
const path: Line = [":path", "/"];
const authority: Line = [":authority", "a.test:80"];
const get = [method, scheme, path, authority] as const;
const with_ = (...more: readonly Line[]): readonly Line[] => [...get, ...more];
const at = (value: string, verb = "GET"): readonly Line[] => [[":method", verb], scheme, [":path", value], authority];
const on = (value: string): readonly Line[] => [method, scheme, path, [":authority", value]];
const connect: Line = [":method", "CONNECT"];
const websocket: Line = [":protocol", "websocket"];

/** section, what it is about, the fields, the fault. */
type Refusal = readonly [string, string, readonly Line[], string];

const refusals: readonly Refusal[] = [
  ["8.2.1", "upper case in a name (h2spec 8.1.2)", with_(["X-Test", "ok"]), "field-name-case"],
  ["8.2.1", "upper case in a pseudo name", [[":Method", "GET"], scheme, path, authority], "field-name-case"],
  ["8.2.1", "an empty name", with_(["", "x"]), "field-name-empty"],
  ["8.2.1", "a colon alone", with_([":", "x"]), "field-name-empty"],
  ["8.2.1", "a space in a name", with_(["x y", "x"]), "field-name"],
  ["8.2.1", "a colon inside a name", with_(["transfer-encoding: chunked\r\nx", "x"]), "field-name"],
  ["8.2.1", "a line end in a name", with_(["x\r\ny", "x"]), "field-name"],
  ["8.2.1", "a NUL in a name", with_(["x\0", "x"]), "field-name"],
  ["8.2.1", "obs-text in a name", with_(["x\xe4", "x"]), "field-name"],
  ["8.2.1", "CR LF in a value", with_(["x", "1\r\ntransfer-encoding: chunked"]), "field-value"],
  ["8.2.1", "LF in a value", with_(["x", "1\nx: y"]), "field-value"],
  ["8.2.1", "NUL in a value", with_(["x", "1\0"]), "field-value"],
  ["8.2.1", "a line end in :path", at("/ HTTP/1.1\r\nhost: b\r\n\r\n"), "field-value"],
  ["8.2.1", "a line end in :method", at("/", "GET / HTTP/1.1\r\nhost: b"), "field-value"],
  ["8.2.1", "a line end in :authority", on("a\r\nx: y"), "field-value"],
  ["8.2.1", "a space before a value", with_(["x", " y"]), "field-blank"],
  ["8.2.1", "a tab behind a value", with_(["x", "y\t"]), "field-blank"],

  ["8.2.2", "Connection (h2spec 8.1.2.2)", with_(["connection", "keep-alive"]), "connection-specific"],
  ["8.2.2", "Connection that names a field", with_(["connection", "baggage"]), "connection-specific"],
  ["8.2.2", "Transfer-Encoding", with_(["transfer-encoding", "chunked"]), "connection-specific"],
  ["8.2.2", "Transfer-Encoding: identity", with_(["transfer-encoding", "identity"]), "connection-specific"],
  ["8.2.2", "Upgrade", with_(["upgrade", "h2c"]), "connection-specific"],
  ["8.2.2", "Keep-Alive", with_(["keep-alive", "timeout=5"]), "connection-specific"],
  ["8.2.2", "Proxy-Connection", with_(["proxy-connection", "close"]), "connection-specific"],
  ["8.2.2", "TE beyond trailers (h2spec 8.1.2.2)", with_(["te", "trailers, deflate"]), "te"],
  ["8.2.2", "TE empty", with_(["te", ""]), "te"],
  ["8.2.2", "TE with a weight", with_(["te", "trailers;q=1"]), "te"],

  ["8.3", "an unknown pseudo field (h2spec 8.1.2.1)", with_([":test", "ok"]), "pseudo-unknown"],
  ["8.3", "an unknown pseudo field first", [[":test", "ok"], ...get], "pseudo-unknown"],
  ["8.3", ":status in a request (h2spec 8.1.2.1)", with_([":status", "200"]), "pseudo-unknown"],
  ["8.3", ":path behind a field (h2spec 8.1.2.1)", [method, scheme, authority, ["x", "y"], path], "pseudo-late"],
  ["8.3", ":authority behind a known field", [method, scheme, path, ["te", "trailers"], authority], "pseudo-late"],
  ["8.3", ":method behind a volatile field", [["traceparent", "0"], ...get], "pseudo-late"],
  ["8.3", ":scheme behind a carrier", [method, ["x-sandbox", "b"], scheme, path, authority], "pseudo-late"],
  ["8.3", "two :method (h2spec 8.1.2.3)", [method, ...get], "pseudo-repeated"],
  ["8.3", "two :scheme (h2spec 8.1.2.3)", [scheme, ...get], "pseudo-repeated"],
  ["8.3", "two :path (h2spec 8.1.2.3)", [path, ...get], "pseudo-repeated"],
  ["8.3", "two :authority, equal", [authority, ...get], "pseudo-repeated"],
  ["8.3", "two :protocol", [connect, websocket, websocket, scheme, path, authority], "pseudo-repeated"],

  ["8.3.1", "no field at all", [], "method-missing"],
  ["8.3.1", "no :method (h2spec 8.1.2.3)", [scheme, path, authority], "method-missing"],
  ["8.3.1", "no :scheme (h2spec 8.1.2.3)", [method, path, authority], "scheme-missing"],
  ["8.3.1", "no :path (h2spec 8.1.2.3)", [method, scheme, authority], "path-missing"],
  ["8.3.1", "neither :authority nor Host", [method, scheme, path], "authority-missing"],
  ["8.3.1", "empty :method", at("/", ""), "method"],
  ["8.3.1", "a space in :method", at("/", "GET /x"), "method"],
  ["8.3.1", "a method of the length of GET", at("/", "G T"), "method"],
  ["8.3.1", "empty :scheme", [method, [":scheme", ""], path, authority], "scheme"],
  ["8.3.1", "a URL as :scheme", [method, [":scheme", "http://b/?"], path, authority], "scheme"],
  ["8.3.1", "a digit first in :scheme", [method, [":scheme", "1http"], path, authority], "scheme"],
  ["8.3.1", "a space in :scheme", [method, [":scheme", "ht p"], path, authority], "scheme"],
  ["8.3.1", "empty :path (h2spec 8.1.2.3)", at(""), "path"],
  ["8.3.1", "empty :path with OPTIONS", at("", "OPTIONS"), "path"],
  ["8.3.1", "a relative :path", at("x"), "path"],
  ["8.3.1", "an absolute URL as :path", at("http://b.test/"), "path"],
  ["8.3.1", "a query alone", at("?x"), "path"],
  ["8.3.1", "`*` with GET", at("*"), "path"],
  ["8.3.1", "`*x` with OPTIONS", at("*x", "OPTIONS"), "path"],
  ["8.3.1", "a space in :path", at("/ HTTP/1.1"), "path"],
  ["8.3.1", "a fragment in :path", at("/x#y"), "path"],
  ["8.3.1", "a tab in :path", at("/x\ty"), "path"],
  ["9110 §4.1", "a :path above the limit", at(`/${"x".repeat(100)}`), "target-too-long"],
  ["8.3.1", "empty :authority", on(""), "authority"],
  ["8.3.1", "userinfo in :authority", on("user@a.test"), "authority"],
  ["8.3.1", "userinfo that looks like a port", on("a.test:80@b.test"), "authority"],
  ["8.3.1", "a path in :authority", on("a.test/x"), "authority"],
  ["8.3.1", "a list as :authority", on("a.test,b.test"), "authority"],
  ["8.3.1", "a port above 65535", on("a.test:65536"), "authority"],
  ["8.3.1", "a port that is no number", on("a.test:8x"), "authority"],
  ["8.3.1", "a port alone", on(":80"), "authority"],
  ["8.3.1", "two ports", on("a:1:2"), "authority"],
  ["8.3.1", "a space in :authority", on("a b"), "authority"],
  ["8.3.1", "an open bracket", on("[::1"), "authority"],
  ["8.3.1", "an IPv6 zone", on("[fe80::1%25eth0]"), "authority"],
  ["8.3.1", "something behind the bracket", on("[::1]x"), "authority"],
  ["8.3.1", "Host that differs", with_(["host", "b.test:80"]), "authority-conflict"],
  ["8.3.1", "Host with another port", with_(["host", "a.test"]), "authority-conflict"],
  ["8.3.1", "Host that differs by a byte that case folding would hide", with_(["host", "a\x0etest:80"]), "field-value"],
  ["8.3.1", "two Hosts, equal", with_(["host", "a.test:80"], ["host", "a.test:80"]), "host-repeated"],
  ["8.3.1", "empty Host alone", [method, scheme, path, ["host", ""]], "authority"],
  ["8.3.1", "a bad Host alone", [method, scheme, path, ["host", "a@b"]], "authority"],

  ["8.5", "CONNECT with :scheme", [connect, scheme, authority], "connect-target"],
  ["8.5", "CONNECT with :path", [connect, path, authority], "connect-target"],
  ["8.5", "CONNECT without :authority", [connect], "connect-target"],
  ["8.5", "CONNECT with Host alone", [connect, ["host", "a:80"]], "connect-target"],
  ["8.5", "CONNECT with a bad authority", [connect, [":authority", "a@b"]], "authority"],
  ["8.5", "CONNECT", [connect, authority], "connect"],
  ["8441 §4", ":protocol with GET", [...get, websocket], "protocol-without-connect"],
  ["8441 §4", "empty :protocol", [connect, [":protocol", ""], scheme, path, authority], "protocol-without-connect"],
  ["8441 §4", ":protocol without :scheme", [connect, websocket, path, authority], "scheme-missing"],
  ["8441 §4", ":protocol without :path", [connect, websocket, scheme, authority], "path-missing"],
  ["8441 §4", ":protocol without :authority", [connect, websocket, scheme, path], "authority-missing"],

  [
    "9110 §8.6",
    "Content-Length twice, equal",
    with_(["content-length", "5"], ["content-length", "5"]),
    "content-length",
  ],
  ["9110 §8.6", "Content-Length twice", with_(["content-length", "5"], ["content-length", "6"]), "content-length"],
  ...["", "+5", "-5", "0x5", "5,5", "5, 5", "5_0", "5 5", "1e3", "99999999999999999999", "9007199254740993"].map(
    (value): Refusal => ["9110 §8.6", `Content-Length: ${value}`, with_(["content-length", value]), "content-length"],
  ),
  ["9110 §10.1.1", "an unknown expectation", with_(["expect", "200-ok"]), "expectation"],
  ["9110 §7.6.2", "Max-Forwards no number", [...at("/", "TRACE"), ["max-forwards", "x"]], "max-forwards"],
  [
    "9110 §7.6.2",
    "Max-Forwards twice",
    [...at("*", "OPTIONS"), ["max-forwards", "1"], ["max-forwards", "1"]],
    "max-forwards",
  ],
];

describe("refused requests", () => {
  test.each(refusals)("RFC 9113 §%s: %s", (_, __, lines, fault) => {
    expect(faultOf(...lines)).toBe(fault);
  });

  test("RFC 9113 §8.1.1: malformed ones reset their stream, others are only answered", () => {
    const verdicts = new Map(
      refusals.map(([, , lines, name]) => {
        readRequestHead(shared, blockOf(lines), limits);
        return [name, shared.fault.malformed];
      }),
    );
    expect([...verdicts].filter(([, malformed]) => !malformed).map(([name]) => name)).toEqual([
      "target-too-long",
      "connect",
      "expectation",
    ]);
  });

  test("the first broken rule is told, and whether the caller speaks gRPC and asked with HEAD", () => {
    const grpc: Line = ["content-type", "application/grpc"];
    expect(faultOf([":method", "HEAD"], ["x", "y"], scheme, ["connection", "x"], grpc)).toBe("pseudo-late");
    expect([shared.isGrpc, shared.isHead]).toEqual([true, true]);
  });
});

describe("accepted requests", () => {
  test("RFC 9113 §8.3.1: the usual GET", () => {
    const head = read(...get);
    expect([text(head.method), text(head.scheme), text(head.path), text(head.authority)]).toEqual([
      "GET",
      "http",
      "/",
      "a.test:80",
    ]);
    expect(textOf(head.hostBytes, head.hostNameStart, head.hostNameEnd)).toBe("a.test");
    expect(head).toMatchObject({
      hostPort: 80,
      schemeIsHttps: false,
      isHead: false,
      isConnect: false,
      isExtendedConnect: false,
      isOptions: false,
      isTrace: false,
      idempotent: true,
      contentLength: -1,
      expectContinue: false,
      isGrpc: false,
      grpcTimeout: undefined,
      maxForwards: -1,
      debug: false,
      protocol: undefined,
      host: undefined,
      watchedCount: 0,
      viaCount: 0,
    });
  });

  test("RFC 9113 §8.3: pseudo fields in any order", () => {
    expect(faultOf(authority, path, scheme, method)).toBe("accepted");
  });

  test.each([
    ["a.test", "a.test", -1],
    ["a.test:", "a.test", -1],
    ["a.test:0", "a.test", 0],
    ["A.Test:65535", "A.Test", 65_535],
    ["10.0.0.1:8080", "10.0.0.1", 8080],
    ["[::1]", "[::1]", -1],
    ["[::ffff:10.0.0.1]:8080", "[::ffff:10.0.0.1]", 8080],
    ["a_b-c.~!$&'()*+;=%41", "a_b-c.~!$&'()*+;=%41", -1],
  ])("RFC 3986 §3.2: authority %s", (value, name, port) => {
    const head = read(...on(value));
    expect([textOf(head.hostBytes, head.hostNameStart, head.hostNameEnd), head.hostPort]).toEqual([name, port]);
  });

  test("RFC 9113 §8.3.1: Host serves when there is no :authority, and may repeat it", () => {
    const head = read(method, scheme, path, ["host", "b.test:1"]);
    expect([textOf(head.hostBytes, head.hostNameStart, head.hostNameEnd), head.hostPort]).toEqual(["b.test", 1]);
    expect(head.authority).toBeUndefined();
    expect(text(head.host)).toBe("b.test:1");
    expect(faultOf(...with_(["host", "A.TEST:80"]))).toBe("accepted");
  });

  test("one name leads to one service in HTTP/1.1 and HTTP/2", () => {
    const http1 = new FieldTable([], http1Fields);
    const part = fc.constantFrom(
      "a",
      "B",
      "0",
      "9",
      ".",
      ":",
      "[",
      "]",
      "@",
      ",",
      "/",
      "%",
      "-",
      "::1",
      "[::1]",
      "65535",
    );
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 6 }), (parts) => {
        const value = parts.join("");
        const request = latin1(`GET / HTTP/1.1\r\nHost: ${value}\r\n\r\n.`);
        const head1 = new RequestHead();
        const fine1 = parseRequestHead(head1, request, 0, request.length - 1, http1, defaultLimits) > 0;
        const fine2 = readRequestHead(shared, blockOf(on(value)), limits);
        expect(fine2).toBe(fine1);
        if (!fine1) return;
        expect(shared.hostPort).toBe(head1.hostPort);
        expect(textOf(shared.hostBytes, shared.hostNameStart, shared.hostNameEnd)).toBe(
          textOf(request, head1.hostNameStart, head1.hostNameEnd),
        );
      }),
      { numRuns: 1000 },
    );
  });

  test.each([
    ["GET", { idempotent: true }],
    ["PUT", { idempotent: true }],
    ["DELETE", { idempotent: true }],
    ["HEAD", { idempotent: true, isHead: true }],
    ["OPTIONS", { idempotent: true, isOptions: true }],
    ["TRACE", { idempotent: true, isTrace: true }],
    ["POST", { idempotent: false }],
    ["PATCH", { idempotent: false, isTrace: false }],
    ["get", { idempotent: false }],
    ["Head", { idempotent: false, isHead: false }],
    ["OPTIONX", { idempotent: false, isOptions: false, isConnect: false }],
    ["VERSION-CONTROL", { idempotent: false }],
    ["!#$%&'*+-.^_`|~", { idempotent: false }],
  ])("RFC 9110 §9.1: %s, case-sensitive", (verb, expected) => {
    expect(read(...at("/", verb))).toMatchObject(expected);
  });

  test("RFC 9113 §8.3.1: paths, and `*` of OPTIONS", () => {
    for (const value of ["/", "//", "/a?b=c&d", "/%2e%2e/", "/a/../b", '/"|ü', `/${"x".repeat(99)}`]) {
      expect(faultOf(...at(value))).toBe("accepted");
    }
    expect(faultOf(...at("*", "OPTIONS"))).toBe("accepted");
    expect(faultOf(...at("/x", "OPTIONS"))).toBe("accepted");
  });

  test("RFC 3986 §3.1: schemes", () => {
    for (const value of ["http", "HTTP", "a", "coap+tcp", "x-1.2"]) {
      expect(read(method, [":scheme", value], path, authority).schemeIsHttps).toBe(false);
    }
    for (const value of ["https", "HTTPS"]) {
      expect(read(method, [":scheme", value], path, authority).schemeIsHttps).toBe(true);
    }
  });

  test("RFC 8441 §4: extended CONNECT", () => {
    const head = read(connect, websocket, [":scheme", "https"], [":path", "/chat"], authority);
    expect(head).toMatchObject({ isConnect: false, isExtendedConnect: true, idempotent: false, schemeIsHttps: true });
    expect([text(head.protocol), text(head.path), head.hostPort]).toEqual(["websocket", "/chat", 80]);
  });

  test("RFC 9113 §8.2.2: TE: trailers", () => {
    expect(faultOf(...with_(["te", "trailers"]))).toBe("accepted");
    expect(faultOf(...with_(["te", "Trailers"]))).toBe("accepted");
  });

  test("RFC 9110 §8.6: Content-Length", () => {
    expect(read(...with_(["content-length", "0"])).contentLength).toBe(0);
    expect(read(...with_(["content-length", "9007199254740991"])).contentLength).toBe(Number.MAX_SAFE_INTEGER);
  });

  test("RFC 9110 §10.1.1: Expect", () => {
    expect(read(...with_(["expect", "100-Continue"])).expectContinue).toBe(true);
  });

  test("RFC 9110 §7.6.2: Max-Forwards matters to OPTIONS and TRACE only", () => {
    expect(read(...at("*", "OPTIONS"), ["max-forwards", "0"]).maxForwards).toBe(0);
    expect(read(...with_(["max-forwards", "x"])).maxForwards).toBe(NOT_A_NUMBER);
  });

  test.each([
    ["application/grpc", true],
    ["application/grpc+proto", true],
    ["application/grpc;charset=x", true],
    ["application/grpc ; charset=x", true],
    ["application/grpc-web", false],
    ["application/grp", false],
    ["application/json", false],
    ["", false],
  ])("gRPC is told by Content-Type: %s", (value, expected) => {
    expect(read(...with_(["content-type", value])).isGrpc).toBe(expected);
  });

  test("grpc-timeout, debug, carriers and Via, in order", () => {
    const head = read(
      ...get,
      ["x-sandbox", "one"],
      ["via", "2 a"],
      ["baggage", "sidelane=two"],
      ["grpc-timeout", "1S"],
      ["x-sandbox", ""],
      ["x-sidelane-debug", "1"],
      ["via", "2 b"],
      ["cookie", "a=b"],
      ["cookie", "c=d"],
      ["authorization", "secret"],
    );
    const watched = head.watched.slice(0, head.watchedCount);
    expect(watched.map((field) => [watchedNumber(field.kind), text(field)])).toEqual([
      [0, "one"],
      [1, "sidelane=two"],
      [0, ""],
    ]);
    expect(head.via.slice(0, head.viaCount).map(text)).toEqual(["2 a", "2 b"]);
    expect(text(head.grpcTimeout)).toBe("1S");
    expect(head.debug).toBe(true);
    expect(read(...with_(["x-sidelane-debug", "10"])).debug).toBe(false);
  });

  test("nothing of one head is left in the next", () => {
    read(
      [":method", "HEAD"],
      [":scheme", "https"],
      path,
      ["host", "b.test"],
      ["content-length", "5"],
      ["expect", "100-continue"],
      ["content-type", "application/grpc"],
      ["grpc-timeout", "1S"],
      ["max-forwards", "3"],
      ["x-sidelane-debug", "1"],
      ["x-sandbox", "one"],
      ["via", "2 a"],
    );
    read(...get);
    const fresh = new Http2RequestHead();
    readRequestHead(fresh, blockOf(get), limits);
    // Entries behind the counts, and the fault of an accepted head, are nobody's business.
    const rest = new Set(["watched", "via", "fault"]);
    const said = (head: Http2RequestHead): unknown => Object.entries(head).filter(([name]) => !rest.has(name));
    expect(said(shared)).toEqual(said(fresh));
  });
});
