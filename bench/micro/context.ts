// Key extraction: what each request pays before its decision. Inputs as the OpenTelemetry SDKs send them, and irregular
// ones that a simpler reader would be slow or wrong at.
import { Buffer } from "node:buffer";
import { withoutMembers } from "../../src/protocol/context/baggage-edit.ts";
import { findBaggageMember } from "../../src/protocol/context/baggage.ts";
import { findCookie } from "../../src/protocol/context/cookie.ts";
import { Found } from "../../src/protocol/context/found.ts";
import { type HostPattern, parseHostPattern } from "../../src/protocol/context/host-pattern.ts";
import { findQueryParameter } from "../../src/protocol/context/query.ts";
import { readTraceId, TraceId, traceKinds } from "../../src/protocol/context/trace-id.ts";
import { withoutTracestateMembers } from "../../src/protocol/context/tracestate-edit.ts";
import { findTracestateMember } from "../../src/protocol/context/tracestate.ts";

type Find = (bytes: Uint8Array, start: number, end: number, name: Uint8Array, found: Found) => boolean;

const NAME = Buffer.from("sidelane");
const hostPattern = patternOf("{key}--*");

const fiveMembers = [
  "session.id=6f0c2a5e-1f1b-4b7e-9a0e-2f6f0a1c9d11",
  "user.id=48213",
  "sidelane=pr-1234",
  "synthetic_request=false",
  "app.currency=EUR",
].join(",");

/** As large as W3C asks everybody to propagate: 64 members, 8 KiB. */
function sixtyFour(wanted: string, at: number): string {
  const members = Array.from({ length: 63 }, (_, i) => `app.attribute.${i}=${"0123456789abcdef".repeat(7)}`);
  members.splice(at, 0, wanted);
  return members.join(",");
}

/** Where a head has it: in a larger buffer with other bytes around. */
function bench(name: string, find: Find, value: string, found: boolean) {
  const before = "GET /cart HTTP/1.1\r\nhost: checkout\r\nbaggage: ";
  const bytes = Buffer.from(`${before}${value}\r\naccept: */*\r\n\r\n`);
  const start = before.length;
  const end = start + Buffer.byteLength(value);
  const where = new Found();
  return {
    name: `context: ${name}`,
    run(iterations: number): void {
      let hits = 0;
      for (let i = 0; i < iterations; i++) if (find(bytes, start, end, NAME, where)) hits++;
      if (hits !== (found ? iterations : 0)) throw new Error(`${name}: ${hits} finds in ${iterations} runs`);
    },
  };
}

/** One entry per input; `run` does the work `iterations` times and throws when the answer is wrong. */
export const benches: readonly { name: string; run(iterations: number): void }[] = [
  bench("baggage, 1 member", findBaggageMember, "sidelane=pr-1234", true),
  bench("baggage, 5 members", findBaggageMember, fiveMembers, true),
  bench("baggage, 5 members, key absent", findBaggageMember, fiveMembers.replace("sidelane=", "sidelanes="), false),
  bench(
    "baggage, 5 members, white space and properties",
    findBaggageMember,
    fiveMembers.replaceAll(",", ";p=1 , "),
    true,
  ),
  bench("baggage, 64 members, key first", findBaggageMember, sixtyFour("sidelane=pr-1234", 0), true),
  bench("baggage, 64 members, key last", findBaggageMember, sixtyFour("sidelane=pr-1234", 63), true),
  bench("baggage, percent-encoded value", findBaggageMember, "user.id=1,sidelane=feature%2Fgr%C3%B6%C3%9Fe", true),
  bench("baggage, 8 KiB of names that nearly match", findBaggageMember, "sidelan=1,".repeat(819), false),
  bench("baggage, 8 KiB of white space", findBaggageMember, `sidelane=${" ".repeat(8183)}`, false),
  bench(
    "tracestate, 3 members",
    findTracestateMember,
    "rojo=00f067aa0ba902b7,sidelane=pr-1234,congo=t61rcWkgMzE",
    true,
  ),
  bench(
    "tracestate, 2 members, nothing to remove",
    lacks(withoutTracestateMembers),
    "rojo=00f067aa0ba902b7,congo=2",
    true,
  ),
  bench("baggage, 5 members, nothing to remove", lacks(withoutMembers), fiveMembers.replace("sidelane=", "a="), true),
  bench("cookie, 4 cookies", findCookie, "theme=dark; session=6f0c2a5e1f1b4b7e; sidelane=pr-1234; lang=en", true),
  bench("query, 4 parameters", findQueryParameter, "/cart/items?page=2&sort=price&sidelane=pr-1234&lang=en", true),
  bench("query, none", findQueryParameter, "/cart/items/48213/recommendations", false),
  bench("host pattern", matchHost, "pr-1234--checkout.shop.example.com", true),
  bench("host pattern, another host", matchHost, "checkout.shop.example.com", false),
  bench(
    "traceparent",
    traceOf(traceKinds.traceparent),
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    true,
  ),
  bench("b3", traceOf(traceKinds.b3), "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1", true),
  bench("x-datadog-trace-id", traceOf(traceKinds.datadog), "11803532876627986230", true),
  bench("x-request-id", traceOf(traceKinds.requestId), "6f0c2a5e-1f1b-4b7e-9a0e-2f6f0a1c9d11", true),
];

function traceOf(kind: number): Find {
  const traceId = new TraceId();
  return (bytes, start, end) => readTraceId(kind, bytes, start, end, traceId);
}

function lacks(without: typeof withoutMembers): Find {
  const names = [NAME];
  return (bytes, start, end) => without(bytes, start, end, names) === undefined;
}

function matchHost(bytes: Uint8Array, start: number, end: number, _: Uint8Array, found: Found): boolean {
  return hostPattern.match(bytes, start, end, found);
}

function patternOf(text: string): HostPattern {
  const pattern = parseHostPattern(text);
  if ("problem" in pattern) throw new Error(pattern.problem);
  return pattern;
}
