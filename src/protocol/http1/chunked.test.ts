// Chunked bodies, attack by attack. Rows are named as in docs/proxy-behaviour.md.
import { describe, expect, test } from "vitest";
import { reasonInfo } from "../../base/reasons.ts";
import { latin1, textOf } from "../bytes.ts";
import { type ChunkLimits, ChunkScanner } from "./chunked.ts";
import { FAULTY } from "./head.ts";

const limits: ChunkLimits = { chunkExtensionBytesMax: 32, trailerBytesMax: 64, headerCountMax: 4 };

interface Relayed {
  readonly verdict: string;
  readonly forwarded: string;
  readonly rest: string;
}

/** Feeds the pieces one after the other; `framing` as in `reset`. */
function relay(pieces: readonly string[], framing = true): Relayed {
  const scanner = new ChunkScanner(limits);
  scanner.reset(framing);
  let forwarded = "";
  let rest = "";
  for (const piece of pieces) {
    if (scanner.done) {
      rest += piece;
      continue;
    }
    const bytes = latin1(piece);
    const after = scanner.scan(bytes, 0, bytes.length);
    if (after === FAULTY) {
      const { fault } = scanner;
      return { verdict: `${reasonInfo(fault?.request ?? "loop").status} ${fault?.name}`, forwarded, rest };
    }
    for (let s = 0; s < scanner.segments.length; s += 2) {
      forwarded += piece.slice(scanner.segments[s], scanner.segments[s + 1]);
    }
    if (scanner.done) forwarded += textOf(scanner.trailer, 0, scanner.trailer.length);
    rest += piece.slice(after);
  }
  return { verdict: scanner.done ? "done" : "incomplete", forwarded, rest };
}

const whole = (body: string, framing = true): Relayed => relay([body], framing);
const byBytes = (body: string, framing = true): Relayed => relay(body.split(""), framing);

type Refusal = readonly [string, string, string];

const refusals: readonly Refusal[] = [
  ["P7 empty size", "\r\n", "400 chunk-size"],
  ["P7 plus", "+5\r\nhello\r\n", "400 chunk-size"],
  ["P7 minus", "-5\r\nhello\r\n", "400 chunk-size"],
  ["P7 0x", "0x5\r\nhello\r\n", "400 chunk-size"],
  ["P7 space first", " 5\r\nhello\r\n", "400 chunk-size"],
  ["P7 underscore", "1_0\r\n", "400 chunk-size"],
  ["P7 no digit", "g\r\n", "400 chunk-size"],
  ["P7 comma", "5,5\r\n", "400 chunk-size"],
  ["P7 NUL", "5\0\r\n", "400 chunk-size"],
  ["P7 semicolon first", ";a\r\n", "400 chunk-size"],
  ["P7 2^53", "20000000000000\r\n", "400 chunk-size"],
  ["P7 2^64", "10000000000000000\r\n", "400 chunk-size"],
  ["P7 2^64 + 5", "10000000000000005\r\nhello\r\n", "400 chunk-size"],
  ["P7 17 digits", "00000000000000005\r\nhello\r\n", "400 chunk-size"],
  ["P7 space behind the size", "5 \r\nhello\r\n", "400 chunk-extension"],
  ["P7 tab behind the size", "5\t\r\nhello\r\n", "400 chunk-extension"],
  ["P7 no semicolon", "5 a=b\r\nhello\r\n", "400 chunk-extension"],
  ["P7 LF in an extension", "5;a\nb\r\nhello\r\n", "400 chunk-extension"],
  ["P7 LF in a quoted extension", '5;a="\n"\r\nhello\r\n', "400 chunk-extension"],
  ["P7 CR LF in a quoted extension ends the line", '5;a="\r\nb"\r\nhello\r\n', "400 chunk-line"],
  ["P7 CR in an extension", "5;a\rb\r\nhello\r\n", "400 chunk-line"],
  ["P7 NUL in an extension", "5;\0\r\nhello\r\n", "400 chunk-extension"],
  ["P7 a long extension", `5;${"a".repeat(32)}\r\nhello\r\n`, "400 chunk-extension"],
  ["P7 a flood of extensions", "1;abc\r\na\r\n".repeat(9), "400 chunk-extension"],
  ["P7 a flood of blanks", `5${" ".repeat(33)};a\r\n`, "400 chunk-extension"],
  ["P5 LF behind the size", "5\nhello\r\n", "400 chunk-size"],
  ["P5 CR behind the size", "5\rhello\r\n", "400 chunk-line"],
  ["P5 LF behind the chunk", "5\r\nhello\n0\r\n\r\n", "400 chunk-line"],
  ["P5 CR behind the chunk", "5\r\nhello\r0\r\n\r\n", "400 chunk-line"],
  ["P5 nothing behind the chunk", "5\r\nhello0\r\n\r\n", "400 chunk-line"],
  ["P5 a longer chunk than its size", "5\r\nhello!\r\n0\r\n\r\n", "400 chunk-line"],
  ["P5 LF behind the last chunk", "0\n\r\n", "400 chunk-size"],
  ["P5 LF for the empty line", "0\r\n\n", "400 trailer"],
  ["P5 LF behind a trailer", "0\r\nX: y\n\r\n", "400 trailer"],
  ["P5 CR CR LF at the end", "0\r\n\r\r\n", "400 trailer"],
  ["P4 a folded trailer", "0\r\nX: y\r\n z\r\n\r\n", "400 trailer"],
  ["P6 white space before the colon of a trailer", "0\r\nX : y\r\n\r\n", "400 trailer"],
  ["P8 a request for a trailer", "0\r\nGET / HTTP/1.1\r\n\r\n", "400 trailer"],
  ["P8 NUL in a trailer", "0\r\nX: \0\r\n\r\n", "400 trailer"],
  ["M4 trailers of more bytes", `0\r\nX: ${"y".repeat(60)}\r\n\r\n`, "431 trailer-too-large"],
  ["M4 a trailer that does not end", `0\r\nX: ${"y".repeat(80)}`, "431 trailer-too-large"],
  ["M4 trailers of more fields", `0\r\n${"A: b\r\n".repeat(5)}\r\n`, "431 trailer-too-large"],
];

describe("refused, in one piece and byte by byte", () => {
  test.each(refusals)("%s", (_name, body, verdict) => {
    expect(whole(body).verdict).toBe(verdict);
    expect(byBytes(body).verdict).toBe(verdict);
    expect(byBytes(body, false).verdict).toBe(verdict);
  });

  test("what was forwarded before never looks complete", () => {
    for (const [, body] of refusals) expect(byBytes(body).forwarded).not.toMatch(/(?:^|\r\n)0+\r\n(?:.*\r\n)?\r\n/);
  });

  test("a scanner that has failed stays so", () => {
    const scanner = new ChunkScanner(limits);
    scanner.reset(true);
    expect(scanner.scan(latin1("x"), 0, 1)).toBe(FAULTY);
    expect(scanner.scan(latin1("0\r\n\r\n"), 0, 5)).toBe(FAULTY);
    expect(scanner.segments).toEqual([]);
    scanner.reset(true);
    expect(scanner.scan(latin1("0\r\n\r\n"), 0, 5)).toBe(5);
    expect(scanner.done).toBe(true);
  });
});

type Forwarding = readonly [string, string, string, string];

const forwardings: readonly Forwarding[] = [
  ["M1 an empty body", "0\r\n\r\n", "0\r\n\r\n", ""],
  [
    "M1 chunks",
    "5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n",
    "5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n",
    "hello0123456789",
  ],
  ["P7 leading zeros", "005\r\nhello\r\n000\r\n\r\n", "005\r\nhello\r\n000\r\n\r\n", "hello"],
  ["P7 extensions are dropped", "5;a=b;c\r\nhello\r\n0;d\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", "hello"],
  ["P7 a quoted extension", '5;a="b;c\t\xe4"\r\nhello\r\n0\r\n\r\n', "5\r\nhello\r\n0\r\n\r\n", "hello"],
  ["P7 blanks before an extension", "5 \t;a\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", "hello"],
  [
    "P7 payload that looks like framing",
    "7\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n",
    "7\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n",
    "0\r\n\r\n\r\n",
  ],
  ["M4 trailers", "0\r\nX: y\r\nx: z\r\n\r\n", "0\r\nX: y\r\nx: z\r\n\r\n", ""],
  ["M4 trailers of exactly the limit", `0\r\nX: ${"y".repeat(59)}\r\n\r\n`, `0\r\nX: ${"y".repeat(59)}\r\n\r\n`, ""],
  [
    "M4 gRPC's trailers",
    "0\r\ngrpc-status: 0\r\ngrpc-message:\r\n\r\n",
    "0\r\ngrpc-status: 0\r\ngrpc-message:\r\n\r\n",
    "",
  ],
  [
    "M4 forbidden trailers are dropped",
    "0\r\nHost: b\r\nX: y\r\nContent-length:1\r\nBAGGAGE: a\r\n\r\n",
    "0\r\nX: y\r\n\r\n",
    "",
  ],
  ["M4 nothing but forbidden trailers", "0\r\nTransfer-Encoding: x\r\n\r\n", "0\r\n\r\n", ""],
];

describe("forwarded, in one piece and byte by byte", () => {
  test.each(forwardings)("%s", (_name, body, framed, payload) => {
    for (const feed of [whole, byBytes]) {
      expect(feed(body)).toEqual({ verdict: "done", forwarded: framed, rest: "" });
      expect(feed(body, false)).toEqual({ verdict: "done", forwarded: payload, rest: "" });
      expect(feed(`${body}GET /`)).toEqual({ verdict: "done", forwarded: framed, rest: "GET /" });
    }
  });

  test("M4 the end is not forwarded before the trailers are known to be good", () => {
    expect(relay(["0\r\n", "X: y\r\n", "\r"])).toEqual({ verdict: "incomplete", forwarded: "0\r\n", rest: "" });
  });

  test("payload bytes are counted, not held", () => {
    const scanner = new ChunkScanner(limits);
    scanner.reset(true);
    scanner.scan(latin1("5;x\r\nhel"), 0, 8);
    expect(scanner.payloadBytes).toBe(3);
    scanner.scan(latin1("lo\r\n3\r\nabc"), 0, 10);
    expect(scanner.payloadBytes).toBe(8);
  });

  test("the largest size", () => {
    expect(whole("1fffffffffffff\r\nabc")).toEqual({
      verdict: "incomplete",
      forwarded: "1fffffffffffff\r\nabc",
      rest: "",
    });
  });
});
