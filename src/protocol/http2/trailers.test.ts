import { describe, expect, test } from "vitest";
import { textOf } from "../bytes.ts";
import { FieldTable } from "../field-table.ts";
import { FieldBlock, makeField } from "../hpack/field.ts";
import { http2Fields } from "./field-ids.ts";
import { Http2Trailers, readTrailers } from "./trailers.ts";

const table = new FieldTable(["x-sandbox", "baggage"], http2Fields);
const trailers = new Http2Trailers();

type Line = readonly [name: string, value: string];

function blockOf(lines: readonly Line[]): FieldBlock {
  const block = new FieldBlock();
  for (const [name, value] of lines) block.add(makeField(name, value, table));
  return block;
}

const read = (lines: readonly Line[], endStream = true, ofRequest = false): string => {
  const block = blockOf(lines);
  if (!readTrailers(trailers, block, endStream, ofRequest)) return trailers.fault.name;
  const kept = block.fields.slice(0, block.count);
  expect(block.listBytes).toBe(kept.reduce((sum, field) => sum + field.size, 0));
  return kept.map((field) => textOf(field.bytes, field.nameStart, field.nameEnd)).join(" ");
};

describe("trailers (RFC 9113 §8.1)", () => {
  test.each([
    [
      "pseudo fields (h2spec 8.1.2.1)",
      [
        ["x", "y"],
        [":method", "POST"],
      ],
      "pseudo-in-trailers",
    ],
    [":status", [[":status", "200"]], "pseudo-in-trailers"],
    ["an unknown pseudo field", [[":x", "200"]], "pseudo-in-trailers"],
    ["Connection (§8.2.2)", [["connection", "x"]], "connection-specific"],
    ["Transfer-Encoding (§8.2.2)", [["transfer-encoding", "chunked"]], "connection-specific"],
    ["upper case (§8.2.1)", [["X", "y"]], "field-name-case"],
    ["a NUL in a value (§8.2.1)", [["x", "\0"]], "field-value"],
  ] satisfies (readonly [string, readonly Line[], string])[])("refused: %s", (_, lines, fault) => {
    expect(read(lines)).toBe(fault);
    expect(trailers.fault.malformed).toBe(true);
  });

  test("they end the stream (h2spec 8.1)", () => {
    expect(read([["x", "y"]], false)).toBe("trailers-go-on");
  });

  test("none, and those of gRPC with metadata", () => {
    expect(read([])).toBe("");
    expect(trailers.grpcStatus).toBeUndefined();
    expect(
      read([
        ["grpc-status", "0"],
        ["grpc-message", ""],
        ["x-echo-bin", "q80="],
        ["x-echo-bin", "AA=="],
      ]),
    ).toBe("grpc-status grpc-message x-echo-bin x-echo-bin");
    expect(trailers.grpcStatus).toBeDefined();
  });

  test("RFC 9110 §6.5.1: what must not be taken from trailers is left out", () => {
    const lines: readonly Line[] = [
      ["a", "1"],
      ["content-length", "5"],
      ["host", "b"],
      ["content-type", "text/plain"],
      ["te", "gzip"],
      ["via", "2 a"],
      ["expect", "x"],
      ["max-forwards", "1"],
      ["cookie", "a=b"],
      ["authorization", "secret"],
      ["grpc-timeout", "1S"],
      ["x-sidelane-debug", "1"],
      ["b", "2"],
    ];
    expect(read(lines)).toBe("a b");
    expect(read(lines, true, true)).toBe("a b");
  });

  test("routing keys of a request are in its head, and nowhere else", () => {
    const lines: readonly Line[] = [
      ["x-sandbox", "a"],
      ["x", "y"],
      ["baggage", "sidelane=a"],
    ];
    expect(read(lines, true, true)).toBe("x");
    expect(read(lines, true, false)).toBe("x-sandbox x baggage");
  });
});
