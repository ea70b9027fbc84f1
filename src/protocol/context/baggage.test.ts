import { Buffer } from "node:buffer";
import { describe, expect, test } from "vitest";
import { findBaggageMember } from "./baggage.ts";
import { Found } from "./found.ts";

const NAME = Buffer.from("sidelane");

/** The value that several `baggage` fields give together, as text; undefined when none does. */
function read(...fields: string[]): string | undefined {
  const found = new Found();
  let any = false;
  for (const field of fields) {
    // Surrounded by other bytes: a find must not look outside its range.
    const bytes = Buffer.from(`sidelane=outside,${field},sidelane=outside`);
    const start = "sidelane=outside,".length;
    if (findBaggageMember(bytes, start, bytes.length - start, NAME, found)) any = true;
  }
  return any ? Buffer.from(found.bytes.subarray(found.start, found.end)).toString() : undefined;
}

describe("findBaggageMember", () => {
  test.each([
    ["alone", "sidelane=pr-7", "pr-7"],
    ["first", "sidelane=pr-7,user=1", "pr-7"],
    ["last", "user=1,sidelane=pr-7", "pr-7"],
    ["white space around everything", " \tuser = 1 , \t sidelane \t=\t pr-7 \t, x=y ", "pr-7"],
    ["with properties", "sidelane=pr-7;ttl=60;private", "pr-7"],
    ["white space before a property", "sidelane=pr-7 ; ttl=60", "pr-7"],
    ["a value with '='", "sidelane=a=b==", "a=b=="],
    ["the last duplicate", "sidelane=a,x=1,sidelane=b", "b"],
    ["the last duplicate that has a value", "sidelane=a,sidelane=,sidelane", "a"],
    ["empty members", ",, ,sidelane=pr-7,,", "pr-7"],
    ["a forbidden octet within the value", 'sidelane=my "key\\', 'my "key\\'],
    ["UTF-8 as it is", "sidelane=größe", "größe"],
    ["percent-encoded UTF-8", "sidelane=gr%C3%B6%c3%9fe", "größe"],
    ["percent-encoded separators", "sidelane=a%2Cb%3Dc%20", "a,b=c "],
    ["an encoded ';', which begins the properties", "sidelane=pr-7%3Brequire%3Dcheckout", "pr-7"],
    ["an encoded ';' behind an encoded value", "sidelane=gr%C3%B6%c3%9fe%3bp,x=1", "größe"],
    ["an encoded '%3B', which is none", "sidelane=a%253Bb", "a%3Bb"],
    ["octets that are not UTF-8", "sidelane=a%FFb%C3", "a\u{fffd}b\u{fffd}"],
    ["'%' that stands for itself", "sidelane=100%,x=%", "100%"],
    ["'%' without two hexadecimal digits", "sidelane=%4%zz%%41", "%4%zz%A"],
    ["a plus sign, which is no space", "sidelane=a+b", "a+b"],
  ])("%s", (_, field, value) => {
    expect(read(field)).toBe(value);
  });

  test.each([
    ["nothing", ""],
    ["white space", " \t"],
    ["another case", "Sidelane=pr-7"],
    ["a longer name", "sidelanes=pr-7"],
    ["a longer name in front", "xsidelane=pr-7"],
    ["a shorter name", "sidelan=pr-7"],
    ["a name within a value", "x=sidelane=pr-7"],
    ["a name within properties", "x=1;sidelane=pr-7; sidelane=pr-8"],
    ["a name in front of which something stands", "x sidelane=pr-7"],
    ["no '='", "sidelane"],
    ["a property of a member without '='", "sidelane;x=pr-7"],
    ["no value", "sidelane="],
    ["white space for a value", "sidelane= \t "],
    ["properties for a value", "sidelane= ;x=1"],
    ["encoded properties for a value", "sidelane=%3Bx%3D1"],
    ["an encoded name", "side%6Cane=pr-7"],
  ])("nothing: %s", (_, field) => {
    expect(read(field)).toBeUndefined();
  });

  test("the values of `pr-12` and `pr-123` stay apart", () => {
    expect(read("sidelane=pr-123")).toBe("pr-123");
    expect(read("sidelane=pr-12,x=3")).toBe("pr-12");
  });

  test("several fields are one list: the last member wins, whatever comes after it", () => {
    expect(read("sidelane=a", "sidelane=b%20", "x=1", "")).toBe("b ");
    expect(read("x=1", "sidelane=a", "sidelane=")).toBe("a");
  });

  test.each([
    ["none", "sidelane=pr-7,x=1;p=2", ""],
    ["up to the comma", "sidelane=pr-7;require=checkout;ttl=60,x=1;p=2", "require=checkout;ttl=60"],
    ["up to the end", "x=1;p=2,sidelane=pr-7 ; require=a%2Cb", " require=a%2Cb"],
    ["those of the winning member", "sidelane=a;p=1,sidelane=b;p=2;q,x=1", "p=2;q"],
    ["none when the winning member has none", "sidelane=a;p=1,sidelane=b", ""],
    ["not those of a duplicate without a value", "sidelane=a;p=1,sidelane=;p=2", "p=1"],
    ["of an encoded value: as they stand", "sidelane=%41;p=%42", "p=%42"],
    ["encoded ones: as they stand", "sidelane=pr-7%3Brequire%3Da%2Bb%3bq,x=1", "require%3Da%2Bb%3bq"],
    ["a ';' with nothing behind it", "sidelane=a;,x=1", ""],
  ])("properties: %s", (_, field, properties) => {
    const found = new Found();
    const bytes = Buffer.from(`,${field},sidelane=outside;p=outside`);
    expect(findBaggageMember(bytes, 1, 1 + field.length, NAME, found)).toBe(true);
    const { propertiesBytes, propertiesStart, propertiesEnd } = found;
    expect(Buffer.from(propertiesBytes).toString("utf8", propertiesStart, propertiesEnd)).toBe(properties);
    found.set(bytes, 0, 1);
    expect(found.propertiesEnd - found.propertiesStart).toBe(0);
  });

  test("64 members and 8192 bytes are read to the last one", () => {
    const filler = Array.from({ length: 63 }, (_, i) => `member-${i}=${"v".repeat(100)}`).join(",");
    const member = "sidelane=pr-7;padding=";
    const field = `${filler},${member}${"p".repeat(8192 - filler.length - 1 - member.length)}`;
    expect(field.length).toBe(8192);
    expect(read(field)).toBe("pr-7");
  });

  test("a value longer than the scratch is decoded too", () => {
    expect(read(`sidelane=${"%C3%B6".repeat(5000)}`)).toBe("ö".repeat(5000));
  });

  test("a value without '%' is found in place", () => {
    const bytes = Buffer.from("sidelane=pr-7");
    const found = new Found();
    expect(findBaggageMember(bytes, 0, bytes.length, NAME, found)).toBe(true);
    expect(found.bytes).toBe(bytes);
  });

  test("a find that finds nothing leaves an earlier, decoded answer as it was", () => {
    const found = new Found();
    const encoded = Buffer.from("sidelane=a%20b");
    const without = Buffer.from("x=%41%42%43,sidelane=");
    findBaggageMember(encoded, 0, encoded.length, NAME, found);
    expect(findBaggageMember(without, 0, without.length, NAME, found)).toBe(false);
    expect(Buffer.from(found.bytes.subarray(found.start, found.end)).toString()).toBe("a b");
  });
});
