// What looks into requests reads each byte a bounded number of times, whatever a peer has written there. Reads are counted, not
// timed: a reader that goes back over what it has read needs many times as many.
import { Buffer } from "node:buffer";
import { expect, test } from "vitest";
import { withoutMembers } from "./baggage-edit.ts";
import { findProperty } from "./baggage-property.ts";
import { findCookie, withoutCookies } from "./cookie.ts";
import { Found } from "./found.ts";
import { parseHostPattern } from "./host-pattern.ts";
import { findQueryParameter, withoutParameters } from "./query.ts";
import { readTraceId, TraceId, traceKinds } from "./trace-id.ts";
import { withoutTracestateMembers } from "./tracestate-edit.ts";

type Look = (bytes: Uint8Array, start: number, end: number) => unknown;

const NAME = Buffer.from("sidelane");
const NAMES = [NAME];

function host(text: string): Look {
  const pattern = parseHostPattern(text);
  if ("problem" in pattern) throw new Error(pattern.problem);
  return (bytes, start, end) => pattern.match(bytes, start, end, new Found());
}

const looks: readonly [string, Look][] = [
  ["findProperty", (bytes, start, end) => findProperty(bytes, start, end, NAME, new Found())],
  ["findCookie", (bytes, start, end) => findCookie(bytes, start, end, NAME, new Found())],
  ["findQueryParameter", (bytes, start, end) => findQueryParameter(bytes, start, end, NAME, new Found())],
  ["withoutMembers", (bytes, start, end) => withoutMembers(bytes, start, end, NAMES)],
  ["withoutCookies", (bytes, start, end) => withoutCookies(bytes, start, end, NAMES)],
  ["withoutParameters", (bytes, start, end) => withoutParameters(bytes, start, end, NAMES)],
  ["withoutTracestateMembers", (bytes, start, end) => withoutTracestateMembers(bytes, start, end, NAMES)],
  ["a host pattern with the key first", host("{key}--*")],
  ["a host pattern with the key last", host("*--{key}")],
  ...Object.values(traceKinds).map((kind): [string, Look] => [
    `readTraceId ${kind}`,
    (bytes, start, end) => readTraceId(kind, bytes, start, end, new TraceId()),
  ]),
];

const separators = [",", ";", "&", "=", " ", "%20", "+", "-", "--", "."];
const hostile = [
  ...separators.map((separator) => separator.repeat(2000)),
  ...separators.map((separator) => `?sidelan${separator}`.repeat(250)),
  ...separators.map((separator) => `sidelanes${separator}`.repeat(250)),
  ...separators.map((separator) => `?x${separator.repeat(2000)}sidelanes`),
  "%73".repeat(700),
  "f".repeat(2000),
];

test.each(looks)("%s", (_, look) => {
  for (const text of hostile) {
    const bytes = Buffer.from(text);
    let reads = 0;
    const counted = new Proxy(bytes, {
      get(target, property) {
        if (typeof property === "string" && /^\d+$/.test(property)) reads++;
        return Reflect.get(target, property) as unknown;
      },
    });
    look(counted, 0, bytes.length);
    expect(reads).toBeLessThan(bytes.length * 12);
  }
});
