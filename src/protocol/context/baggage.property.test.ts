// The reader against the propagator that runs inside the services: @opentelemetry/core's W3CBaggagePropagator. Where the
// two differ, the difference has a name, a reason and a narrow condition below; anywhere else they must agree.
import { Buffer } from "node:buffer";
import { defaultTextMapGetter, propagation, ROOT_CONTEXT } from "@opentelemetry/api";
import { W3CBaggagePropagator } from "@opentelemetry/core";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { findBaggageMember } from "./baggage.ts";
import { Found } from "./found.ts";

const NAME = "sidelane";
const propagator = new W3CBaggagePropagator();

/** Our answer to several fields; text stands for octets one to one (latin1), which is how Node hands fields to OpenTelemetry. */
function ours(fields: readonly string[]): Buffer | undefined {
  const found = new Found();
  let any = false;
  for (const field of fields) {
    const bytes = Buffer.from(field, "latin1");
    if (findBaggageMember(bytes, 0, bytes.length, Buffer.from(NAME), found)) any = true;
  }
  return any ? Buffer.from(found.bytes.subarray(found.start, found.end)) : undefined;
}

function theirs(fields: readonly string[]): Buffer | undefined {
  const context = propagator.extract(ROOT_CONTEXT, { baggage: [...fields] }, defaultTextMapGetter);
  const value = propagation.getBaggage(context)?.getEntry(NAME)?.value;
  return value === undefined ? undefined : Buffer.from(value);
}

/** One member taken apart as both do it: key up to the first '=', value up to the first ';', both without SP and HTAB around. */
function parts(member: string): { key: string; value: string } | undefined {
  const pair = member.split(";", 1)[0] ?? "";
  const equals = pair.indexOf("=");
  if (equals === -1) return undefined;
  return { key: trimOws(pair.slice(0, equals)), value: trimOws(pair.slice(equals + 1)) };
}

function trimOws(text: string): string {
  return text.replace(/^[ \t]+|[ \t]+$/g, "");
}

/** Members of other names. */
function others(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `m${i}=v`);
}

/** What W3C Baggage §3.3.1 asks for, in the platform's own terms: octets decoded, then what is not UTF-8 replaced. */
function w3cDecoded(value: string): Buffer {
  const octets = value.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(new TextDecoder("utf-8", { ignoreBOM: true }).decode(Buffer.from(octets, "latin1")));
}

interface Difference {
  readonly reason: string;
  applies(key: string, value: string): boolean;
  /** What the member yields for us. */
  ours(key: string, value: string): Buffer | undefined;
}

// A member is judged by the first that applies.
const DIFFERENCES: readonly Difference[] = [
  {
    reason: `OpenTelemetry percent-decodes names. W3C: a key is a token, '%' one of its letters, compared as it stands.
      Decoding would make two spellings of one name of what another hop keeps apart.`,
    applies: (key) => key.includes("%"),
    ours: () => undefined,
  },
  {
    reason: `An encoded ';' begins the properties for us, since OpenTelemetry for Python encodes the plain one. See baggage.ts.`,
    applies: (_, value) => /%3b/i.test(value),
    ours: (key, value) => {
      const cut = trimOws(value.replace(/%3b[^]*$/i, ""));
      if (key !== NAME || cut === "") return undefined;
      return cut.includes("%") ? w3cDecoded(cut) : Buffer.from(cut, "latin1");
    },
  },
  {
    reason: `OpenTelemetry trims with String.prototype.trim, which also takes VT, FF, CR, LF and NBSP. OWS is SP and HTAB
      (RFC 9110 §5.6.3); 0xA0 is the end of many a UTF-8 character.`,
    applies: (key, value) => key.trim() !== key || value.trim() !== value,
    ours: (key, value) =>
      key !== NAME || value === "" ? undefined : value.includes("%") ? w3cDecoded(value) : Buffer.from(value, "latin1"),
  },
  {
    reason: `OpenTelemetry sees octets above 0x7F as latin1, since Node decodes fields so, and its next hop sees them encoded
      twice. We see the octets that were sent.`,
    applies: (_, value) => /[\u0080-\u00ff]/.test(value),
    ours: (key, value) =>
      key !== NAME ? undefined : value.includes("%") ? w3cDecoded(value) : Buffer.from(value, "latin1"),
  },
  {
    reason: `OpenTelemetry drops a member whose value decodeURIComponent throws at. W3C: what is not UTF-8 becomes U+FFFD; of
      a '%' without digits it says nothing, and we keep it. A dropped key would be a silent visit to the baseline.`,
    applies: (_, value) => {
      try {
        decodeURIComponent(value);
        return false;
      } catch {
        return true;
      }
    },
    ours: (key, value) => (key === NAME ? w3cDecoded(value) : undefined),
  },
];

function differenceOf(member: string): Difference | undefined {
  const pair = parts(member);
  return pair && DIFFERENCES.find((difference) => difference.applies(pair.key, pair.value));
}

/** The expected answer: each member by OpenTelemetry itself, or by the one difference that applies; the last that yields wins. */
function expected(members: readonly string[]): Buffer | undefined {
  let answer: Buffer | undefined;
  for (const member of members) {
    const difference = differenceOf(member);
    const pair = parts(member);
    const value = difference && pair ? difference.ours(pair.key, pair.value) : theirs([member]);
    answer = value ?? answer;
  }
  return answer;
}

const TOKEN_LETTERS = "abcxyzSIDELANE0189!#$&'*+-.^_`|~".split("");
const VALUE_LETTERS = "abc0-_.~=:/+!#$&'()*<>?@[]^`{|}".split("");

const ows = fc.constantFrom("", "", " ", "\t", " \t ");
const token = fc.string({ unit: fc.constantFrom(...TOKEN_LETTERS), minLength: 1, maxLength: 12 });
const key = fc.oneof({ weight: 3, arbitrary: fc.constant(NAME) }, { weight: 1, arbitrary: token });
const value = fc
  .oneof(
    fc.string({ unit: fc.constantFrom(...VALUE_LETTERS), minLength: 1, maxLength: 12 }),
    fc.string({ unit: "grapheme", minLength: 1, maxLength: 6 }).map(encodeURIComponent),
    fc.string({ unit: "grapheme", minLength: 1, maxLength: 6 }).map((text) => encodeURIComponent(text).toLowerCase()),
  )
  .filter((text) => !/%3b/i.test(text));
const property = fc.oneof(
  token,
  fc.tuple(token, ows, ows, value).map(([k, a, b, v]) => `${k}${a}=${b}${v}`),
);
const properties = fc.array(fc.tuple(ows, ows, property), { maxLength: 2 });

/** A list member as the grammar has it. */
const validMember = fc
  .tuple(ows, key, ows, ows, value, properties, ows)
  .map(
    ([before, k, a, b, v, props, after]) =>
      `${before}${k}${a}=${b}${v}${props.map(([c, d, p]) => `${c};${d}${p}`).join("")}${after}`,
  );

/** Anything without a comma, made of what breaks parsers. */
const wildMember = fc
  .array(
    fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom(NAME, `${NAME}=`, "=", ";", "%", " ", "\t", "sidelan", "e") },
      { weight: 1, arbitrary: fc.constantFrom("\u00a0", "\u000b", "\u00c3\u00b6", "\u00ff", '"', "\\", "side%6Cane=") },
      {
        weight: 1,
        arbitrary: fc.integer({ min: 0, max: 255 }).map((octet) => `%${octet.toString(16).padStart(2, "0")}`),
      },
      { weight: 1, arbitrary: value },
    ),
    { maxLength: 7 },
  )
  .map((pieces) => pieces.join(""));

const members = fc.array(fc.oneof({ weight: 2, arbitrary: validMember }, { weight: 2, arbitrary: wildMember }), {
  maxLength: 12,
});

/** The list cut into fields before some of its members. */
function fieldsOf(list: readonly string[], cuts: readonly boolean[]): string[] {
  const fields: string[][] = [[]];
  list.forEach((member, i) => {
    if (i > 0 && cuts[i] === true) fields.push([]);
    fields.at(-1)?.push(member);
  });
  return fields.map((field) => field.join(","));
}

const cuts = fc.array(fc.boolean(), { minLength: 12, maxLength: 12 });

describe("against OpenTelemetry's propagator", () => {
  test("valid headers: the same answer, no difference needed", () => {
    fc.assert(
      fc.property(fc.array(validMember, { maxLength: 12 }), cuts, (list, where) => {
        const fields = fieldsOf(list, where);
        expect(list.map(differenceOf).filter(Boolean)).toEqual([]);
        expect(ours(fields)).toEqual(theirs(fields));
      }),
      { numRuns: 1500 },
    );
  });

  test("half-valid headers: the same answer, or one of the named differences", () => {
    fc.assert(
      fc.property(members, cuts, (list, where) => {
        const fields = fieldsOf(list, where);
        expect(ours(fields)).toEqual(expected(list));
        // Without a difference OpenTelemetry's answer to the whole must be it too: how members combine is also the same.
        expect(ours(fields)).toEqual(list.some(differenceOf) ? expected(list) : theirs(fields));
      }),
      { numRuns: 4000 },
    );
  });

  test("any split of one list into fields gives the same answer", () => {
    fc.assert(
      fc.property(members, cuts, (list, where) => {
        expect(ours(fieldsOf(list, where))).toEqual(ours([list.join(",")]));
      }),
      { numRuns: 1500 },
    );
  });

  // One example per difference with both answers, so that a new release that changes one is noticed here.
  test.each([
    ["side%6Cane=pr-7", undefined, "pr-7"],
    ["sidelane=pr-7\u00a0", "pr-7\u00a0", "pr-7"],
    ["sidelane\u00a0=pr-7", undefined, "pr-7"],
    ["sidelane=gr\u00c3\u00b6n", "gr\u00c3\u00b6n", "gr\u00c3\u0083\u00c2\u00b6n"],
    ["sidelane=a%FF", "a\u00ef\u00bf\u00bd", undefined],
    ["sidelane=old,sidelane=a%", "a%", "old"],
  ])("%j differs", (member, us, them) => {
    expect(ours([member])?.toString("latin1")).toBe(us);
    expect(theirs([member])?.toString("latin1")).toBe(them);
    expect(member.split(",").some(differenceOf)).toBe(true);
  });
});

// OpenTelemetry's limits have no counterpart here: how much a head may hold is `limits.headBytesMax`, and a member behind
// the 180th is forwarded like any other, so it is also read. W3C asks to propagate *at least* 64 members and 8192 bytes.
describe("limits of OpenTelemetry that we do not have", () => {
  const member = `${NAME}=pr-7`;

  test("180 members", () => {
    const inside = [...others(179), member].join(",");
    const outside = [...others(180), member].join(",");
    expect([ours([inside])?.toString(), theirs([inside])?.toString()]).toEqual(["pr-7", "pr-7"]);
    expect([ours([outside])?.toString(), theirs([outside])]).toEqual(["pr-7", undefined]);
  });

  test("4096 bytes per member", () => {
    const inside = `${member};p=${"x".repeat(4096 - member.length - 3)}`;
    expect([ours([inside])?.toString(), theirs([inside])?.toString()]).toEqual(["pr-7", "pr-7"]);
    expect([ours([`${inside}x`])?.toString(), theirs([`${inside}x`])]).toEqual(["pr-7", undefined]);
  });

  test("8192 bytes of members", () => {
    const half = `a=${"x".repeat(4094)}`;
    const rest = `b=${"x".repeat(8192 - half.length - 1 - 2 - 1 - member.length)}`;
    const inside = [half, rest, member].join(",");
    const outside = [half, `${rest}x`, member].join(",");
    expect(inside.length).toBe(8192);
    expect([ours([inside])?.toString(), theirs([inside])?.toString()]).toEqual(["pr-7", "pr-7"]);
    expect([ours([outside])?.toString(), theirs([outside])]).toEqual(["pr-7", undefined]);
  });
});

test("each byte is looked at a bounded number of times, whatever the header holds", () => {
  // Counted by a range that reports every read. A reader that goes back over members would need many times as many.
  const hostile = [
    "sidelan,".repeat(1000),
    "sidelane ".repeat(1000),
    `sidelane=${" ".repeat(8000)},`,
    "sidelane=x,".repeat(700),
    "=".repeat(8000),
    ",".repeat(8000),
    `sidelane=${"%".repeat(8000)}`,
    `sidelane${" ".repeat(8000)}x=1`,
  ];
  for (const text of hostile) {
    const bytes = Buffer.from(text);
    let reads = 0;
    const counted = new Proxy(bytes, {
      get(target, property) {
        if (typeof property === "string" && /^\d+$/.test(property)) reads++;
        return Reflect.get(target, property) as unknown;
      },
    });
    findBaggageMember(counted, 0, bytes.length, Buffer.from(NAME), new Found());
    expect(reads).toBeLessThan(bytes.length * 6);
  }
});
