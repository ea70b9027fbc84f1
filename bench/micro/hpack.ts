// Header blocks: what a request or response costs on its way through the codec. The blocks are those of one connection that is
// warmed up: what recurs is indexed, what differs from call to call is a literal.
import { Buffer } from "node:buffer";
import { FieldTable } from "../../src/protocol/field-table.ts";
import { DECODED, HpackDecoder } from "../../src/protocol/hpack/decoder.ts";
import { HpackEncoder } from "../../src/protocol/hpack/encoder.ts";
import { type Field, FieldBlock, makeField } from "../../src/protocol/hpack/field.ts";
import { StaticFields } from "../../src/protocol/hpack/static-fields.ts";
import { http2Fields } from "../../src/protocol/http2/field-ids.ts";
import type { Bench } from "./measure.ts";

const table = new FieldTable(["baggage"], http2Fields);
const statics = new StaticFields(table);
const limits = { listBytesMax: 64 * 1024, countMax: 128 };
const out = Buffer.alloc(64 * 1024);

const request: readonly (readonly [name: string, value: string])[] = [
  [":method", "POST"],
  [":scheme", "http"],
  [":path", "/shop.Checkout/PlaceOrder"],
  [":authority", "checkout:8080"],
  ["content-type", "application/grpc"],
  ["te", "trailers"],
  ["user-agent", "grpc-go/1.71.0"],
  ["grpc-accept-encoding", "gzip"],
  ["baggage", "sidelane=pr-7"],
];
const response: readonly (readonly [name: string, value: string])[] = [
  [":status", "200"],
  ["content-type", "application/grpc"],
  ["grpc-status", "0"],
];
const traceparents = Array.from(
  { length: 64 },
  (_, i) =>
    `00-${(0x9e37_79b9_7f4a_7c15n * BigInt(i + 1)).toString(16).padStart(32, "7").slice(-32)}-00f067aa0ba9${(0x1000 + i * 613).toString(16)}-01`,
);

/** The blocks of one connection whose peer indexes what recurs; the last 64 differ in `traceparent` as `how` says. */
function blocksOf(
  fields: readonly (readonly [name: string, value: string])[],
  how: "none" | "plain" | "huffman",
): { readonly first: Buffer; readonly later: readonly Buffer[] } {
  const encoder = new HpackEncoder(4096);
  const write = (last: Field | undefined): Buffer => {
    let at = encoder.begin(out, 0);
    for (const [name, value] of fields) at = encoder.write(makeField(name, value, table), out, at);
    if (last !== undefined) at = encoder.write(last, out, at);
    return Buffer.from(out.subarray(0, at));
  };
  const traces = how === "none" ? [] : traceparents.map((value) => makeField("traceparent", value, table));
  const first = write(traces[0]);
  if (how === "none") return { first, later: [write(undefined)] };
  // The first one is in the table now.
  const later = traces.slice(1).map(write);
  return { first, later: how === "plain" ? later : later.map(withHexCoded) };
}

/** The last string of the block, 55 characters of lower case hexadecimal digits and `-`, as Huffman code (RFC 7541 Appendix B). */
function withHexCoded(block: Buffer): Buffer {
  const codes = new Map<string, string>();
  const five = ["0", "1", "2", "a", "c", "e"];
  const fiveBits = [0, 1, 2, 3, 4, 5];
  five.forEach((symbol, i) => codes.set(symbol, (fiveBits[i] as number).toString(2).padStart(5, "0")));
  codes.set("-", (0x16).toString(2).padStart(6, "0"));
  for (let digit = 3; digit <= 9; digit++) codes.set(String(digit), (0x19 + digit - 3).toString(2).padStart(6, "0"));
  codes.set("b", (0x23).toString(2)).set("d", (0x24).toString(2)).set("f", (0x25).toString(2));
  const text = block.toString("latin1", block.length - 55);
  const bits = Array.from(text, (symbol) => codes.get(symbol)).join("");
  const padded = bits.padEnd(Math.ceil(bits.length / 8) * 8, "1");
  const bytes = Buffer.from((padded.match(/.{8}/g) ?? []).map((octet) => Number.parseInt(octet, 2)));
  return Buffer.concat([block.subarray(0, block.length - 56), Buffer.from([0x80 | bytes.length]), bytes]);
}

function decodeBench(name: string, { first, later }: ReturnType<typeof blocksOf>, count: number): Bench {
  const decoder = new HpackDecoder(statics, 4096);
  const block = new FieldBlock();
  decoder.decode(first, 0, first.length, block, limits);
  return {
    name: `hpack: decode ${name} (${count} fields, ${later[0]?.length} bytes)`,
    run(iterations) {
      for (let i = 0; i < iterations; i++) {
        const bytes = later[i % later.length] as Buffer;
        const result = decoder.decode(bytes, 0, bytes.length, block, limits);
        if (result !== DECODED || block.count !== count) throw new Error(`${name}: ${result} ${decoder.errorDetail}`);
      }
    },
  };
}

/** Decoded on one connection, encoded on another; on `encoders` others in turn. */
function relayBench(
  name: string,
  { first, later }: ReturnType<typeof blocksOf>,
  count: number,
  connections: number,
): Bench {
  const decoder = new HpackDecoder(statics, 4096);
  const encoders = Array.from({ length: connections }, () => new HpackEncoder(4096));
  const block = new FieldBlock();
  decoder.decode(first, 0, first.length, block, limits);
  return {
    name: `hpack: decode and encode ${name}`,
    run(iterations) {
      let written = 0;
      for (let i = 0; i < iterations; i++) {
        const bytes = later[i % later.length] as Buffer;
        decoder.decode(bytes, 0, bytes.length, block, limits);
        const encoder = encoders[i % connections] as HpackEncoder;
        let at = encoder.begin(out, 0);
        for (let f = 0; f < block.count; f++) at = encoder.write(block.fields[f] as Field, out, at);
        written += at;
      }
      if (written < iterations * count) throw new Error(`${name}: nothing was written`);
    },
  };
}

const plain = blocksOf(request, "none");
const traced = blocksOf(request, "plain");
const tracedCoded = blocksOf(request, "huffman");
const answer = blocksOf(response, "none");

export const benches: readonly Bench[] = [
  decodeBench("request, all indexed", plain, 9),
  decodeBench("gRPC request, fresh traceparent", traced, 10),
  decodeBench("gRPC request, fresh traceparent in Huffman code", tracedCoded, 10),
  relayBench("request, all indexed", plain, 9, 1),
  relayBench("gRPC request, fresh traceparent in Huffman code", tracedCoded, 10, 1),
  relayBench("response, all indexed", answer, 3, 1),
  relayBench("response, all indexed, to 64 connections in turn", answer, 3, 64),
];
