// What becomes of one head, as text: for tests, which say in one line what goes in and what comes out.
import { defaultLimits } from "../../base/limits.ts";
import { reasonInfo } from "../../base/reasons.ts";
import { latin1, textOf } from "../bytes.ts";
import type { Fault } from "./faults.ts";
import { FieldTable } from "../field-table.ts";
import { http1Fields } from "./field-ids.ts";
import { FAULTY, type HeadLimits, INCOMPLETE } from "./head.ts";
import { RequestHead, parseRequestHead } from "./request-head.ts";
import { ResponseHead, bodyKinds, parseResponseHead } from "./response-head.ts";
import { type ConnectionWord, cutMaxForwards, writeRequestHead, writeResponseHead } from "./serialise.ts";

/** `forwarded` is empty unless `verdict` is `forwarded`; a refusal's verdict is status and name of the fault. */
export interface Outcome {
  readonly verdict: string;
  /** The forwarded head, without the Via line of a request. */
  readonly forwarded: string;
  /** How the body is delimited, then whether the connection stays open: `length 5, keep`. */
  readonly body: string;
  /** Bytes of the input behind the head. */
  readonly rest: number;
}

/** Carriers of the tests: two fields whose names are of no other interest. */
const fields = new FieldTable(["baggage", "X-Sandbox"], http1Fields);
const responseFields = new FieldTable([], http1Fields);
const via = latin1("via: 1.1 me\r\n");
const authority = latin1("app:8080");

/** Parses and forwards the request head at the beginning of `text`, one character per byte. */
export function forwardRequest(text: string, limits: HeadLimits = defaultLimits, garbage = 0): Outcome {
  const bytes = inBuffer(text, garbage);
  const head = new RequestHead();
  const after = parseRequestHead(head, bytes, 0, text.length, fields, limits);
  if (after === INCOMPLETE || after === FAULTY) return unforwarded(after, head.fault, "request");
  if (head.maxForwards > 0 && (head.isOptions || head.isTrace)) cutMaxForwards(head);
  const to = new Uint8Array(after + 1024);
  const end = writeRequestHead(head, bytes, after, to, 0, via, authority);
  const length = head.contentLength > 0 ? `length ${head.contentLength}` : "none";
  return {
    verdict: "forwarded",
    forwarded: textOf(to, 0, end).replace(/via: 1\.[01] me\r\n\r\n$/, "\r\n"),
    body: `${head.chunked ? "chunked" : length}, ${head.keepAlive ? "keep" : "close"}`,
    rest: text.length - after,
  };
}

/** Parses and forwards the response head at the beginning of `text`. */
export function forwardResponse(
  text: string,
  toHead = false,
  word: ConnectionWord = "none",
  limits: HeadLimits = defaultLimits,
  garbage = 0,
): Outcome {
  const bytes = inBuffer(text, garbage);
  const head = new ResponseHead();
  const after = parseResponseHead(head, bytes, 0, text.length, responseFields, limits, toHead);
  if (after === INCOMPLETE || after === FAULTY) return unforwarded(after, head.fault, "response");
  const to = new Uint8Array(after + 1024);
  const end = writeResponseHead(head, bytes, after, to, 0, word, undefined);
  const kind = (Object.keys(bodyKinds) as (keyof typeof bodyKinds)[]).find((name) => bodyKinds[name] === head.body);
  return {
    verdict: "forwarded",
    forwarded: textOf(to, 0, end),
    body: `${kind === "length" ? `length ${head.contentLength}` : kind}, ${head.keepAlive ? "keep" : "close"}`,
    rest: text.length - after,
  };
}

/** The text with `garbage` behind it, as in a read buffer that held something before. */
function inBuffer(text: string, garbage: number): Uint8Array {
  const bytes = new Uint8Array(text.length + 64).fill(garbage);
  bytes.set(latin1(text));
  return bytes;
}

function unforwarded(after: number, fault: Fault, side: "request" | "response"): Outcome {
  const verdict = after === INCOMPLETE ? "incomplete" : `${reasonInfo(fault[side]).status} ${fault.name}`;
  return { verdict, forwarded: "", body: "", rest: 0 };
}
