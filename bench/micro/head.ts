// Head parse and rewrite: what a message costs before and after its decision.
import { Buffer } from "node:buffer";
import { defaultLimits } from "../../src/base/limits.ts";
import { FieldTable } from "../../src/protocol/field-table.ts";
import { http1Fields } from "../../src/protocol/http1/field-ids.ts";
import { RequestHead, parseRequestHead } from "../../src/protocol/http1/request-head.ts";
import { ResponseHead, parseResponseHead } from "../../src/protocol/http1/response-head.ts";
import { writeRequestHead, writeResponseHead } from "../../src/protocol/http1/serialise.ts";
import { backendResponse, loadHeads } from "../load/requests.ts";
import type { Bench } from "./measure.ts";

const table = new FieldTable(["baggage"], http1Fields);
const request = new RequestHead();
const response = new ResponseHead();
const out = Buffer.alloc(64 * 1024);
const via = Buffer.from("Via: 1.1 sidelane\r\n");
const authority = Buffer.from("checkout");

/** With room behind it for the sentinel, as in a read buffer. */
function inReadBuffer(text: string): { readonly bytes: Buffer; readonly end: number } {
  const bytes = Buffer.alloc(64 * 1024);
  return { bytes, end: bytes.write(text, "latin1") };
}

function requestBench(name: string, text: string): Bench {
  const { bytes, end } = inReadBuffer(text);
  return {
    name: `head: parse request, ${name} (${end} bytes)`,
    run(iterations) {
      for (let i = 0; i < iterations; i++) {
        const after = parseRequestHead(request, bytes, 0, end, table, defaultLimits);
        if (after !== end) throw new Error(`${name}: the head ends at ${after}, not at ${end}`);
      }
    },
  };
}

function requestRewriteBench(name: string, text: string): Bench {
  const { bytes, end } = inReadBuffer(text);
  return {
    name: `head: parse and write request, ${name}`,
    run(iterations) {
      let written = 0;
      for (let i = 0; i < iterations; i++) {
        const after = parseRequestHead(request, bytes, 0, end, table, defaultLimits);
        written += writeRequestHead(request, bytes, after, out, 0, via, authority);
      }
      if (written <= iterations) throw new Error(`${name}: nothing was written`);
    },
  };
}

function responseBench(name: string, text: string): Bench {
  const { bytes, end } = inReadBuffer(text);
  const headEnd = text.indexOf("\r\n\r\n") + 4;
  return {
    name: `head: parse and write response, ${name} (${headEnd} bytes)`,
    run(iterations) {
      for (let i = 0; i < iterations; i++) {
        const after = parseResponseHead(response, bytes, 0, end, table, defaultLimits, false);
        if (after !== headEnd) throw new Error(`${name}: the head ends at ${after}, not at ${headEnd}`);
        writeResponseHead(response, bytes, after, out, 0, "none", undefined);
      }
    },
  };
}

const browser = [
  "GET /assets/app.js?v=8f3a HTTP/1.1",
  "Host: shop.example:8080",
  "Connection: keep-alive",
  "Cache-Control: no-cache",
  `Cookie: ${Array.from({ length: 20 }, (_, i) => `part${i}=${"x".repeat(60)}`).join("; ")}`,
  ...Array.from({ length: 20 }, (_, i) => `X-Custom-Header-${i}: value ${i}`),
  "baggage: sidelane=pr-7",
  "",
  "",
].join("\r\n");

export const benches: readonly Bench[] = [
  requestBench("smallest", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
  requestBench("of the load", loadHeads.sandbox),
  requestBench("25 fields and a long cookie", browser),
  requestRewriteBench("of the load, nothing to cut", loadHeads.sandbox),
  requestRewriteBench("Connection to cut", browser),
  responseBench("of the load", backendResponse("baseline")),
  responseBench(
    "Connection to cut",
    backendResponse("baseline").replace("Cache-", "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nCache-"),
  ),
];
