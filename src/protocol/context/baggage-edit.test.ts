import { Buffer } from "node:buffer";
import { defaultTextMapGetter, propagation, ROOT_CONTEXT } from "@opentelemetry/api";
import { W3CBaggagePropagator } from "@opentelemetry/core";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  appendMember,
  BAGGAGE_BYTES_MAX,
  BAGGAGE_MEMBERS_MAX,
  BaggageSize,
  measureBaggage,
  memberBytes,
  withoutMembers,
} from "./baggage-edit.ts";
import { findBaggageMember } from "./baggage.ts";
import { Found } from "./found.ts";

const NAME = Buffer.from("sidelane");
const propagator = new W3CBaggagePropagator();

/** What OpenTelemetry makes of one field as Node hands it over (latin1). */
function theirs(field: string, name = "sidelane"): string | undefined {
  const context = propagator.extract(ROOT_CONTEXT, { baggage: field }, defaultTextMapGetter);
  return propagation.getBaggage(context)?.getEntry(name)?.value;
}

/** The field without the members; undefined when nothing is to be removed. Around the field stand other bytes. */
function without(field: string, ...names: string[]): string | undefined {
  const bytes = Buffer.from(`sidelane=1,${field},sidelane=2`, "latin1");
  const start = "sidelane=1,".length;
  const kept = withoutMembers(
    bytes,
    start,
    start + field.length,
    names.map((name) => Buffer.from(name)),
  );
  return kept && Buffer.from(kept).toString("latin1");
}

function member(key: string): string {
  const bytes = Buffer.from(`<${key}>`);
  return Buffer.from(memberBytes(NAME, bytes, 1, bytes.length - 1)).toString("latin1");
}

function append(field: string, added: string): string {
  const bytes = Buffer.from(`x${field}x`, "latin1");
  return Buffer.from(appendMember(bytes, 1, bytes.length - 1, Buffer.from(added, "latin1"))).toString("latin1");
}

describe("withoutMembers", () => {
  test.each([
    ["the only one", "sidelane=pr-7", ""],
    ["the first", "sidelane=pr-7,user=1", "user=1"],
    ["the last", "user=1,sidelane=pr-7", "user=1"],
    ["one in the middle", "a=1,sidelane=pr-7,b=2", "a=1,b=2"],
    ["each duplicate", "sidelane=a,x=1,sidelane=b,sidelane=c", "x=1"],
    ["with its properties", "a=1;p=2,sidelane=pr-7;require=checkout,b=2;q", "a=1;p=2,b=2;q"],
    ["others byte for byte", 'a = "x y" ;p\t,sidelane=pr-7, b=%41ö', 'a = "x y" ;p\t, b=%41ö'],
    ["no white space at the ends", " sidelane=pr-7 , b=2 ,sidelane=x", "b=2"],
    ["empty members go with it", ",,a=1,,sidelane=pr-7,,b=2,", "a=1,b=2"],
    ["nothing but empty members is left", " ,sidelane=pr-7, ,", ""],
    ["without a value", "sidelane=,a=1", "a=1"],
    ["without '='", "sidelane,a=1", "a=1"],
    ["without '=', with properties", "sidelane ;p=1,a=1", "a=1"],
    ["white space before '='", "sidelane \t=pr-7,a=1", "a=1"],
    ["an encoded name", "side%6cane=pr-7,a=1", "a=1"],
    ["an encoded space around the name", "%20sidelane%09=pr-7,a=1", "a=1"],
    ["a plus around the name", "+sidelane+=pr-7,a=1", "a=1"],
    ["U+00A0 around the name", "\u00a0sidelane\u00a0=pr-7,a=1", "a=1"],
    ["U+2009 around the name", "%E2%80%89sidelane=pr-7,a=1", "a=1"],
  ])("%s", (_, field, kept) => {
    expect(without(field, "sidelane")).toBe(kept);
  });

  test.each([
    ["nothing", ""],
    ["white space", " "],
    ["others", "a=1, b=2"],
    ["another case", "Sidelane=pr-7"],
    ["a longer name", "sidelanes=pr-7,xsidelane=1"],
    ["a shorter name", "sidelan=pr-7"],
    ["within a value", "x=sidelane=pr-7"],
    ["a property", "x=1;sidelane=pr-7"],
    ["behind something", "x sidelane=pr-7"],
    ["twice in a row", "sidelanesidelane=1"],
    ["in parts", "side lane=1,side+lane=1"],
  ])("undefined: %s", (_, field) => {
    expect(without(field, "sidelane")).toBeUndefined();
  });

  test("several names at once, also one with '%' or '+' in it", () => {
    expect(without("a=1,sidelane=1,b=2,sd-routing-key=3,c=4", "sidelane", "sd-routing-key")).toBe("a=1,b=2,c=4");
    expect(without("a%20b=1,c=2", "a%20b")).toBe("c=2");
    expect(without("+a=1,c=2", "+a")).toBe("c=2");
  });
});

const wildMember = fc
  .array(
    fc.constantFrom("sidelane", "sidelane=", "=", ";", "%", "%6c", "side%6Cane", " ", "\t", "+", "%20", "\u00a0", "a"),
    { maxLength: 6 },
  )
  .map((pieces) => pieces.join(""));
const wildField = fc.array(wildMember, { maxLength: 8 }).map((members) => members.join(","));

test("what is left holds no key, neither for us nor for OpenTelemetry, and all other members", () => {
  fc.assert(
    fc.property(wildField, (field) => {
      const left = without(field, "sidelane") ?? field;
      const bytes = Buffer.from(left, "latin1");
      expect(findBaggageMember(bytes, 0, bytes.length, NAME, new Found())).toBe(false);
      expect(theirs(left)).toBeUndefined();
      expect(without(left, "sidelane")).toBeUndefined();
      const trimmed = (list: string): string[] =>
        list
          .split(",")
          .map((one) => one.replace(/^[ \t]+|[ \t]+$/g, ""))
          .filter((one) => one !== "");
      const removed = trimmed(field).filter((one) => !trimmed(left).includes(one));
      expect(trimmed(left)).toEqual(trimmed(field).filter((one) => !removed.includes(one)));
      for (const one of removed) expect(one).toMatch(/^[^=;]*side(l|%6c)ane[^=;]*/i);
    }),
    { numRuns: 4000 },
  );
});

describe("memberBytes", () => {
  test.each([
    ["pr-7", "sidelane=pr-7"],
    ["a,b;c=d e%", "sidelane=a%2Cb%3Bc=d%20e%25"],
    ["größe", "sidelane=gr%C3%B6%C3%9Fe"],
    ["", "sidelane="],
  ])("%j", (key, expected) => {
    expect(member(key)).toBe(expected);
  });
});

describe("appendMember", () => {
  test.each([
    ["nothing", "", "k=v"],
    ["white space", " \t", "k=v"],
    ["commas alone", " , ,", "k=v"],
    ["a member", "a=1;p", "a=1;p,k=v"],
    ["white space around", "\t a=1 , b=2 ", "a=1 , b=2,k=v"],
    ["an empty tail", "a=1, ,", "a=1,k=v"],
    ["an empty head", ", a=1", "a=1,k=v"],
  ])("%s", (_, field, expected) => {
    expect(append(field, "k=v")).toBe(expected);
  });
});

const printableKey = fc
  .string({ unit: "grapheme", minLength: 1, maxLength: 12 })
  .filter((key) => key.trim() === key && key.isWellFormed());

describe("against OpenTelemetry's propagator", () => {
  test("it reads what we append, and all others as before", () => {
    const others = fc.array(
      fc.tuple(fc.constantFrom("user.id", "session", "flag"), fc.stringMatching(/^[a-z0-9%20;=]{0,8}$/u)),
      { maxLength: 5 },
    );
    fc.assert(
      fc.property(others, printableKey, (list, key) => {
        const before = list.map(([name, value]) => `${name}=${value}`).join(", ");
        const after = append(before, member(key));
        expect(theirs(after)).toBe(key);
        for (const name of ["user.id", "session", "flag"]) expect(theirs(after, name)).toBe(theirs(before, name));
      }),
      { numRuns: 1500 },
    );
  });

  test("it injects nothing that we could not find again", () => {
    fc.assert(
      fc.property(printableKey, (key) => {
        const baggage = propagation.createBaggage({ sidelane: { value: key }, other: { value: key } });
        const carrier: Record<string, string> = {};
        propagator.inject(propagation.setBaggage(ROOT_CONTEXT, baggage), carrier, {
          set: (into: Record<string, string>, name, value) => {
            into[name] = value;
          },
        });
        const bytes = Buffer.from(carrier["baggage"] ?? "");
        const found = new Found();
        expect(findBaggageMember(bytes, 0, bytes.length, NAME, found)).toBe(true);
        expect(Buffer.from(found.bytes.subarray(found.start, found.end)).toString()).toBe(key);
      }),
    );
  });
});

describe("measureBaggage", () => {
  function measure(...fields: string[]): [number, number] {
    const size = new BaggageSize();
    for (const field of fields) measureBaggage(Buffer.from(`a=1,${field},b`), 4, 4 + field.length, size);
    return [size.members, size.bytes];
  }

  test.each([
    ["nothing", [""], [0, 0]],
    ["white space", [" \t"], [0, 0]],
    ["one", ["a=1;p=2"], [1, 7]],
    ["white space at the ends does not count", [" a=1 , b=2\t"], [2, 9]],
    ["empty members", ["a=1,, ,b=2,"], [2, 11]],
    ["several fields: one list", ["a=1,b=2", "", "c=3"], [3, 11]],
  ] as const)("%s", (_, fields, expected) => {
    expect(measure(...fields)).toEqual(expected);
  });

  test("the bytes are those of the joined list", () => {
    fc.assert(
      fc.property(fc.array(fc.stringMatching(/^[a=, ]{0,8}$/u), { maxLength: 4 }), (fields) => {
        const contents = fields.map((field) => field.trim()).filter((field) => field !== "");
        expect(measure(...fields)).toEqual([
          contents
            .join(",")
            .split(",")
            .filter((one) => one.trim() !== "").length,
          contents.join(",").length,
        ]);
      }),
    );
  });

  test("room for one more up to the limits of W3C, and not beyond", () => {
    const size = new BaggageSize();
    expect([size.hasRoom(BAGGAGE_BYTES_MAX), size.hasRoom(BAGGAGE_BYTES_MAX + 1)]).toEqual([true, false]);
    size.members = 1;
    size.bytes = 100;
    expect([size.hasRoom(BAGGAGE_BYTES_MAX - 101), size.hasRoom(BAGGAGE_BYTES_MAX - 100)]).toEqual([true, false]);
    size.members = BAGGAGE_MEMBERS_MAX - 1;
    expect(size.hasRoom(1)).toBe(true);
    size.members = BAGGAGE_MEMBERS_MAX;
    expect(size.hasRoom(1)).toBe(false);
    size.clear();
    expect([size.members, size.bytes]).toEqual([0, 0]);
  });
});
