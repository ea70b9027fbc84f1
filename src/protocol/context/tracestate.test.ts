import { Buffer } from "node:buffer";
import { TraceState } from "@opentelemetry/core";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Found } from "./found.ts";
import { findTracestateMember } from "./tracestate.ts";

const NAME = Buffer.from("sidelane");

/** The value of the list that several fields make, read as the contract says: in order, up to the first that has it. */
function read(...fields: string[]): string | undefined {
  const found = new Found();
  for (const field of fields) {
    const bytes = Buffer.from(`sidelane=outside,${field},sidelane=outside`, "latin1");
    const start = "sidelane=outside,".length;
    if (findTracestateMember(bytes, start, bytes.length - start, NAME, found)) {
      return Buffer.from(found.bytes.subarray(found.start, found.end)).toString("latin1");
    }
  }
  return undefined;
}

describe("findTracestateMember", () => {
  test.each([
    ["alone", "sidelane=pr-7", "pr-7"],
    ["among others", "rojo=00f067aa0ba902b7,sidelane=pr-7,congo=t61rcWkgMzE", "pr-7"],
    ["white space around members", " rojo=1 ,\t sidelane=pr-7 \t, congo=2", "pr-7"],
    ["the left-most duplicate, which is the newest", "sidelane=new,sidelane=old", "new"],
    ["empty members", ",, ,sidelane=pr-7,", "pr-7"],
    ["nothing is decoded", "sidelane=a%2Cb;c", "a%2Cb;c"],
    ["white space within the value and in front of it", "sidelane= a b ", " a b"],
    ["256 bytes", `sidelane=${"x".repeat(256)}`, "x".repeat(256)],
    ["a valid one behind one that is not", "sidelane=a=b,sidelane=pr-7", "pr-7"],
  ])("%s", (_, field, value) => {
    expect(read(field)).toBe(value);
  });

  test.each([
    ["nothing", ""],
    ["a longer name", "sidelanes=pr-7"],
    ["a shorter name", "sidelan=pr-7"],
    ["another vendor of the name", "sidelane@x=pr-7"],
    ["a name within a value", "x=sidelane=pr-7"],
    ["white space before '='", "sidelane =pr-7"],
    ["no '='", "sidelane"],
    ["no value", "sidelane="],
    ["white space for a value", "sidelane=  "],
    ["'=' in the value", "sidelane=a=b"],
    ["a tab in the value", "sidelane=a\tb"],
    ["an octet above 0x7E in the value", "sidelane=\u00ff"],
    ["257 bytes", `sidelane=${"x".repeat(257)}`],
  ])("nothing: %s", (_, field) => {
    expect(read(field)).toBeUndefined();
  });

  test("several fields are one list: the first has precedence", () => {
    expect(read("x=1", "sidelane=a", "sidelane=b")).toBe("a");
  });
});

const piece = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom("sidelane", "sidelane=", "=", " ", "\t", "pr-7", "s", "%41", ";") },
  { weight: 1, arbitrary: fc.constantFrom("\u0000", "\u007f", "~", "!", "@", "\u00ff") },
);
const member = fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join(""));

/** OpenTelemetry's reader trims members with String.prototype.trim; OWS is SP and HTAB. None of the pieces above shows it. */
const theirs = (list: string): string | undefined => new TraceState(list).get("sidelane");

test("agrees with OpenTelemetry's TraceState on every single member", () => {
  fc.assert(
    fc.property(member, (text) => {
      expect(read(text)).toBe(theirs(text));
    }),
    { numRuns: 3000 },
  );
});

test("on a list the left-most valid member wins, where OpenTelemetry takes the right-most", () => {
  // §3.3.1.3 forbids duplicates and puts the newest on the left, so the left one is right. Beyond 32 members or 512 bytes
  // OpenTelemetry stops, which the lists here do not reach.
  fc.assert(
    fc.property(fc.array(member, { maxLength: 10 }), (list) => {
      const answers = list.map(theirs).filter((answer) => answer !== undefined);
      expect(read(list.join(","))).toBe(answers[0]);
      expect(theirs(list.join(","))).toBe(answers.at(-1));
    }),
    { numRuns: 1500 },
  );
});
