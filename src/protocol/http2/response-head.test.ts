import { describe, expect, test } from "vitest";
import { textOf } from "../bytes.ts";
import { FieldTable } from "../field-table.ts";
import { FieldBlock, makeField } from "../hpack/field.ts";
import { http2Fields } from "./field-ids.ts";
import { Http2ResponseHead, readResponseHead } from "./response-head.ts";

const table = new FieldTable(["x-sandbox"], http2Fields);
const head = new Http2ResponseHead();

type Line = readonly [name: string, value: string];

function blockOf(lines: readonly Line[]): FieldBlock {
  const block = new FieldBlock();
  for (const [name, value] of lines) block.add(makeField(name, value, table));
  return block;
}

function namesOf(block: FieldBlock): readonly string[] {
  return block.fields.slice(0, block.count).map((field) => textOf(field.bytes, field.nameStart, field.nameEnd));
}

const read = (lines: readonly Line[], endStream = false, toConnect = false): string =>
  readResponseHead(head, blockOf(lines), endStream, toConnect) ? "accepted" : head.fault.name;

const ok: Line = [":status", "200"];

describe("responses (RFC 9113 §8.3.2)", () => {
  test.each([
    ["no field at all", [], "status-missing"],
    ["no :status", [["server", "x"]], "status-missing"],
    ["two :status", [ok, ok], "pseudo-repeated"],
    [":status behind a field", [["server", "x"], ok], "pseudo-late"],
    ["a pseudo field of requests", [ok, [":path", "/"]], "pseudo-unknown"],
    ["an unknown pseudo field", [ok, [":x", "/"]], "pseudo-unknown"],
    ["four digits", [[":status", "2000"]], "status"],
    ["two digits", [[":status", "20"]], "status"],
    ["a sign", [[":status", "+20"]], "status"],
    ["below 100", [[":status", "099"]], "status"],
    ["empty", [[":status", ""]], "status"],
    ["a reason phrase", [[":status", "200 OK"]], "status"],
    ["a byte between the digits and the letters", [[":status", "2:0"]], "status"],
    ["101 (§8.6)", [[":status", "101"]], "switching"],
    ["Connection (§8.2.2)", [ok, ["connection", "close"]], "connection-specific"],
    ["Transfer-Encoding (§8.2.2)", [ok, ["transfer-encoding", "chunked"]], "connection-specific"],
    ["Upgrade (§8.2.2)", [ok, ["upgrade", "h2c"]], "connection-specific"],
    ["TE (§8.2.2)", [ok, ["te", "gzip"]], "te"],
    ["upper case (§8.2.1)", [ok, ["Server", "x"]], "field-name-case"],
    ["a line end in a value (§8.2.1)", [ok, ["x", "a\r\nb: c"]], "field-value"],
    ["Content-Length no number (§8.1.1)", [ok, ["content-length", "1,1"]], "content-length"],
    ["Content-Length twice (§8.1.1)", [ok, ["content-length", "1"], ["content-length", "1"]], "content-length"],
  ] satisfies (readonly [string, readonly Line[], string])[])("refused: %s", (_, lines, fault) => {
    expect(read(lines)).toBe(fault);
    expect(head.fault.response).toBe("upstream-protocol-error");
  });

  test("the usual answer", () => {
    expect(read([ok, ["content-type", "text/plain"], ["content-length", "5"], ["x-sandbox", "a"], ["date", "x"]])).toBe(
      "accepted",
    );
    expect(head).toMatchObject({
      status: 200,
      interim: false,
      contentLength: 5,
      isGrpc: false,
      grpcStatus: undefined,
    });
  });

  test("§8.1: interim heads are followed by others, so that they do not end the stream", () => {
    for (const status of ["100", "102", "103", "199"]) {
      expect(read([[":status", status]])).toBe("accepted");
      expect(head.interim).toBe(true);
      expect(read([[":status", status]], true)).toBe("interim-ends");
    }
    expect(read([[":status", "999"]], true)).toBe("accepted");
    expect([head.status, head.interim]).toEqual([999, false]);
  });

  test("gRPC: an answer of trailers only carries its status in the head", () => {
    expect(read([ok, ["content-type", "application/grpc"], ["grpc-status", "12"]], true)).toBe("accepted");
    expect(head.isGrpc).toBe(true);
    const { grpcStatus } = head;
    expect(grpcStatus && textOf(grpcStatus.bytes, grpcStatus.valueStart, grpcStatus.valueEnd)).toBe("12");
    expect(read([ok])).toBe("accepted");
    expect(head.grpcStatus).toBeUndefined();
  });

  test.each([
    ["103", "5", false, false],
    ["100", "0", false, false],
    ["204", "5", false, false],
    ["204", "0", false, true],
    ["304", "5", false, true],
    ["200", "5", false, true],
    ["200", "5", true, false],
    ["200", "0", true, false],
    ["404", "5", true, true],
  ])(
    "RFC 9110 §8.6, §9.3.6: status %s, Content-Length %s, to CONNECT: %s; it stays: %s",
    (status, length, to, stays) => {
      const block = blockOf([
        [":status", status],
        ["a", "1"],
        ["content-length", length],
        ["b", "2"],
      ]);
      const before = block.listBytes;
      expect(readResponseHead(head, block, false, to)).toBe(true);
      expect(namesOf(block)).toEqual(stays ? [":status", "a", "content-length", "b"] : [":status", "a", "b"]);
      expect(before - block.listBytes).toBe(stays ? 0 : "content-length".length + length.length + 32);
      expect(head.contentLength).toBe(stays ? Number(length) : -1);
    },
  );
});
