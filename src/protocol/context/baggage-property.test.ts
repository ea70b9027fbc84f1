import { Buffer } from "node:buffer";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { findProperty } from "./baggage-property.ts";
import { Found } from "./found.ts";

const NAME = Buffer.from("require");

/** The value among these properties, as text; undefined when there is none of that name. */
function read(properties: string): string | undefined {
  const found = new Found();
  const bytes = Buffer.from(`require=outside;${properties};require=outside`, "latin1");
  const start = "require=outside;".length;
  if (!findProperty(bytes, start, start + properties.length, NAME, found)) return undefined;
  return Buffer.from(found.bytes.subarray(found.start, found.end)).toString();
}

describe("findProperty", () => {
  test.each([
    ["alone", "require=checkout", "checkout"],
    ["among others", "ttl=60;require=checkout;private", "checkout"],
    ["white space around everything", " ttl = 60 ;\t require \t= checkout ; x", "checkout"],
    ["percent-encoded", "require=gr%C3%B6%c3%9fe%2Fa", "größe/a"],
    ["'+' is no space", "require=checkout+payments", "checkout+payments"],
    ["a value with '='", "require=a=b", "a=b"],
    ["no value", "require", ""],
    ["no value, among others", "a;require ;b", ""],
    ["an empty value", "require=", ""],
    ["the last duplicate", "require=a;require=b", "b"],
    ["the last duplicate that has a value", "require=a;require;require=", "a"],
    ["'=' and '+' encoded, as by Java", "x;require%3Dcheckout%2Bpayments;y", "checkout+payments"],
    ["all encoded, as by Python", "ttl%3D60%3brequire%3dcheckout+payments%3By", "checkout+payments"],
    ["encoded, no value", "a%3Brequire%3Bb", ""],
    ["empty properties", ";; ;require=a;;", "a"],
  ])("%s", (_, properties, value) => {
    expect(read(properties)).toBe(value);
  });

  test.each([
    ["nothing", ""],
    ["another case", "Require=a"],
    ["a longer name", "requires=a"],
    ["a shorter name", "requir=a"],
    ["within a value", "x=require=a"],
    ["behind something", "x require=a"],
    ["something behind it", "require x=a"],
    ["an encoded name", "r%65quire=a"],
  ])("nothing: %s", (_, properties) => {
    expect(read(properties)).toBeUndefined();
  });

  test("a find that finds nothing leaves the answer as it was", () => {
    const found = new Found();
    const bytes = Buffer.from("x=1");
    found.set(bytes, 0, 1);
    expect(findProperty(bytes, 0, bytes.length, NAME, found)).toBe(false);
    expect([found.bytes, found.start, found.end]).toEqual([bytes, 0, 1]);
  });
});

test("agrees with a reader that takes the properties apart", () => {
  const piece = fc.constantFrom("require", "require=", "=", ";", " ", "\t", "z", "%41", "%", "r", "x", "%3B", "%3d");
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join("")),
      (properties) => {
        let answer: string | undefined;
        const plain = properties.replaceAll("%3B", ";").replaceAll("%3d", "=");
        for (const property of plain.split(";")) {
          const equals = property.indexOf("=");
          const name = (equals === -1 ? property : property.slice(0, equals)).replace(/^[ \t]+|[ \t]+$/g, "");
          if (name !== "require") continue;
          const value = equals === -1 ? "" : property.slice(equals + 1).replace(/^[ \t]+|[ \t]+$/g, "");
          answer = value === "" ? (answer ?? "") : value.replaceAll("%41", "A");
        }
        expect(read(properties)).toBe(answer);
      },
    ),
    { numRuns: 3000 },
  );
});
