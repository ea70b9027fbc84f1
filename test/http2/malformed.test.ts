// Requests that break the rules of RFC 9113 §8: refused, never repaired
// (docs/decisions/0008-refused-rather-than-repaired.md).
import { describe, expect, test } from "vitest";
import { codes } from "../support/http2-frames.ts";
import type { SentField } from "../support/http2-hpack.ts";
import { exchange, fieldsOf, get, startHttp2Trio } from "../support/http2-sidecar.ts";

const line: SentField[] = [
  [":method", "GET"],
  [":scheme", "http"],
  [":authority", "checkout"],
  [":path", "/"],
];
const without = (name: string): SentField[] => line.filter(([each]) => each !== name);

const malformed: [string, SentField[]][] = [
  ["no :method", without(":method")],
  ["no :scheme", without(":scheme")],
  ["no :path", without(":path")],
  ["an empty :path", [...without(":path"), [":path", ""]]],
  ["a :path that is no path", [...without(":path"), [":path", "x"]]],
  ["* without OPTIONS", [...without(":path"), [":path", "*"]]],
  ["a fragment in :path", [...without(":path"), [":path", "/a#b"]]],
  ["a blank in :path", [...without(":path"), [":path", "/a b"]]],
  ["a repeated pseudo field", [...line, [":path", "/"]]],
  ["an unknown pseudo field", [...line, [":unknown", "x"]]],
  ["a pseudo field of responses", [...line, [":status", "200"]]],
  ["a pseudo field behind a field", [["x-a", "b"], ...line]],
  ["an upper case name", [...line, ["X-Upper", "1"]]],
  ["an empty name", [...line, ["", "1"]]],
  ["a blank in a name", [...line, ["x a", "1"]]],
  ["a colon in a name", [...line, ["x:a", "1"]]],
  ["a line break in a value", [...line, ["x-a", "1\r\nx-b: 2"]]],
  ["a lone line feed in a value", [...line, ["x-a", "1\n2"]]],
  ["a NUL in a value", [...line, ["x-a", "1\0"]]],
  ["a blank before a value", [...line, ["x-a", " 1"]]],
  ["a tab behind a value", [...line, ["x-a", "1\t"]]],
  ["a line break in :authority", [...without(":authority"), [":authority", "a\r\nhost: b"]]],
  ["a blank in :method", [...without(":method"), [":method", "GET /admin HTTP/1.1"]]],
  ["connection", [...line, ["connection", "keep-alive"]]],
  ["keep-alive", [...line, ["keep-alive", "timeout=5"]]],
  ["proxy-connection", [...line, ["proxy-connection", "keep-alive"]]],
  ["transfer-encoding", [...line, ["transfer-encoding", "chunked"]]],
  ["upgrade", [...line, ["upgrade", "h2c"]]],
  ["te other than trailers", [...line, ["te", "gzip"]]],
  ["a content-length that is none", [...line, ["content-length", "1x"]]],
  ["two content-lengths", [...line, ["content-length", "1"], ["content-length", "2"]]],
  ["a content-length without a body", [...line, ["content-length", "1"]]],
  [":authority and Host that differ", [...line, ["host", "ledger"]]],
  ["userinfo in :authority", [...without(":authority"), [":authority", "user@checkout"]]],
];

describe("malformed requests", () => {
  test.each(malformed)("%s", async (_, fields) => {
    const trio = await startHttp2Trio();
    const asked = await trio.client.request(fields, { endStream: true }).over();
    // A stream error, or the answer that RFC 9113 §8.1.1 allows before it.
    if (asked.heads.length > 0) {
      expect(asked.heads[0]?.status).toBe(400);
      expect(asked.heads[0]?.get("server")).toBe("sidelane");
    } else expect(asked.resetCode).toBe(codes.protocolError);
    const next = await exchange(trio);
    expect(next.got.id).toBe(1);
    next.got.respond(204);
    await next.asked.complete();
    expect(trio.client.goaways).toEqual([]);
  });

  test("a trailer section of a request with a pseudo field", async () => {
    const trio = await startHttp2Trio();
    const { asked, got } = await exchange(trio, fieldsOf("POST"), { endStream: false });
    asked.data("x").head([[":path", "/"]], { endStream: true });
    expect(await asked.wasReset()).toBe(codes.protocolError);
    await got.wasReset();
    expect(got.ended).toBe(false);
  });

  test("CONNECT is not for a sidecar; an extended CONNECT of an unknown protocol neither", async () => {
    const trio = await startHttp2Trio();
    const plain = await trio.client
      .request(
        [
          [":method", "CONNECT"],
          [":authority", "checkout:80"],
        ],
        {},
      )
      .over();
    expect(plain.resetCode !== undefined || (plain.heads[0]?.status ?? 0) >= 400).toBe(true);
    expect(trio.backend.requests).toBe(0);
  });
});

test("what is odd but right passes", async () => {
  const trio = await startHttp2Trio();
  const odd: SentField[][] = [
    [...line, ["host", "checkout"]],
    [...without(":authority"), ["host", "checkout"]],
    [...line, ["content-length", "0"]],
    [...line, ["te", "trailers"]],
    [
      [":path", "/a%00b//..;?q=%zz"],
      [":authority", "CheckOut:80"],
      [":scheme", "https"],
      [":method", "M-SEARCH"],
    ],
    get("/", ["x-a", ""], ["x-b", "\x80\xff"]),
    fieldsOf("OPTIONS", "*"),
  ];
  for (const fields of odd) {
    const { asked, got } = await exchange(trio, fields);
    const forwarded = got.heads[0]?.fields.filter(([name]) => name !== "via");
    expect(forwarded).toEqual(fields.map(([name, value]) => [name, value]));
    got.respond(204);
    await asked.complete();
  }
});
