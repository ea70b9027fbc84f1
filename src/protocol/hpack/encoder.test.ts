import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, expect, test } from "vitest";
import { FieldTable } from "../field-table.ts";
import { http2Fields } from "../http2/field-ids.ts";
import { HpackEncoder } from "./encoder.ts";
import { EncoderTable, NOT_FOUND } from "./encoder-table.ts";
import { type Field, type FieldOptions, makeField } from "./field.ts";
import { ReferenceDecoder } from "./reference.ts";
import { textsOfField } from "./testing.ts";

const table = new FieldTable(["baggage"], http2Fields);
const field = (name: string, value: string, options?: FieldOptions): Field => makeField(name, value, table, options);

/** An encoder, and a decoder that has to understand what it writes. */
class Connection {
  readonly encoder: HpackEncoder;
  readonly decoder = new ReferenceDecoder(65536);

  constructor(tableBytes = 4096) {
    this.encoder = new HpackEncoder(tableBytes);
  }

  /** The block as hexadecimal digits. */
  encode(...fields: Field[]): string {
    const out = Buffer.alloc(fields.reduce((sum, { size }) => sum + size, 12));
    let at = this.encoder.begin(out, 0);
    for (const each of fields) {
      const end = this.encoder.write(each, out, at);
      assert.ok(end - at <= each.size);
      at = end;
    }
    const block = out.subarray(0, at);
    assert.deepEqual(this.decoder.decode(block), fields.map(textsOfField));
    return block.toString("hex");
  }
}

function hex(text: string): string {
  return Buffer.from(text, "latin1").toString("hex");
}

describe("what is sent how", () => {
  test("entries of the static table as their index", () => {
    expect(new Connection().encode(field(":method", "GET"), field(":path", "/"), field(":status", "200"))).toBe(
      "828488",
    );
  });

  test("what recurs: inserted once, then an index, whoever's field it is", () => {
    const connection = new Connection();
    const agent = field("user-agent", "x");
    expect(connection.encode(agent)).toBe(`7a01${hex("x")}`);
    expect(connection.encode(agent)).toBe("be");
    expect(connection.encode(field("user-agent", "x"))).toBe("be");
    expect(connection.encode(field("user-agent", "y"))).toBe(`7a01${hex("y")}`);
    expect(connection.encode(agent)).toBe("bf");
  });

  test("a name of our own: once as text, coded because that is shorter, then as an index", () => {
    const connection = new Connection();
    expect(connection.encode(field("a-name", "1"))).toBe(`40851ad50e92ff01${hex("1")}`);
    expect(connection.encode(field("a-name", "2"))).toBe(`7e01${hex("2")}`);
  });

  test("what came as never indexed, even when it is in a table", () => {
    const connection = new Connection();
    connection.encode(field("secret", "1"), field(":method", "GET"));
    expect(connection.encode(field("secret", "1", { neverIndexed: true }))).toBe(`1f2f01${hex("1")}`);
    expect(connection.encode(field(":method", "GET", { neverIndexed: true }))).toBe(`1203${hex("GET")}`);
    expect(connection.encode(field("other", "1", { neverIndexed: true }))).toBe(`1005${hex("other")}01${hex("1")}`);
  });

  test("what its sender did not index, each time as text", () => {
    const connection = new Connection();
    for (let i = 0; i < 2; i++) {
      expect(connection.encode(field("a", "1", { mayIndex: false }))).toBe(`0001${hex("a")}01${hex("1")}`);
    }
  });

  test.each([
    ["authorization", "Bearer abc", "0f08"],
    ["proxy-authorization", "Basic abc", "0f22"],
    ["cookie", "short=1", "0f11"],
    ["content-length", "12", "0f0d"],
    [":path", "/?q=1", "04"],
    ["date", "now", "0f12"],
  ])("%s: %s without an entry", (name, value, start) => {
    const connection = new Connection();
    for (let i = 0; i < 2; i++) {
      expect(connection.encode(field(name, value))).toBe(
        `${start}${value.length.toString(16).padStart(2, "0")}${hex(value)}`,
      );
    }
  });

  test.each(["traceparent", "grpc-timeout", "x-request-id"])(
    "%s: its name gets an entry, its values do not",
    (name) => {
      const connection = new Connection();
      expect(connection.encode(field(name, "1"))).toMatch(/^40/);
      expect(connection.encode(field(name, "2"))).toBe(`0f2f01${hex("2")}`);
      expect(connection.encode(field(name, "3"))).toBe(`0f2f01${hex("3")}`);
    },
  );

  test("a long cookie and a path without query as what recurs", () => {
    const connection = new Connection();
    const fields = (): Field[] => [field("cookie", `session=${"x".repeat(20)}`), field(":path", "/a.B/C")];
    connection.encode(...fields());
    expect(connection.encode(...fields())).toBe("bfbe");
  });

  test("an entry larger than a quarter of the table as text", () => {
    const connection = new Connection();
    const fitting = (): Field => field("a", "x".repeat(1024 - 33));
    const large = (): Field => field("b", "x".repeat(1025 - 33));
    connection.encode(fitting(), large());
    expect(connection.encode(fitting())).toBe("be");
    expect(connection.encode(large())).toMatch(/^0001/);
  });

  test("a field whose values never come back stops pushing others out", () => {
    const connection = new Connection();
    connection.encode(field("recurs", "1"));
    let inserted = 0;
    for (let i = 0; i < 1000; i++) {
      const block = connection.encode(field("recurs", "1"), field("fresh", `${i}`));
      if (/^..[4-7]/.test(block)) inserted++;
    }
    expect(inserted).toBeLessThan(100);
    // It is looked for all the same: as soon as values recur, entries are made again.
    for (let i = 0; i < 40; i++) connection.encode(field("fresh", "now the same"));
    expect(connection.encode(field("fresh", "now the same")).length).toBe(2);
  });
});

describe("the table's size (RFC 7541 §4.2)", () => {
  test("of the default is not announced", () => {
    const connection = new Connection();
    connection.encoder.setPeerTableBytesMax(4096);
    connection.encoder.setPeerTableBytesMax(65536);
    expect(connection.encode()).toBe("");
  });

  test("is what the peer allows and we want", () => {
    const connection = new Connection(8192);
    connection.encoder.setPeerTableBytesMax(65536);
    expect(connection.encode()).toBe("3fe13f");
    expect(connection.encode()).toBe("");
    expect(new Connection(100).encode()).toBe("3f45");
  });

  test("is announced twice when it was lower in between", () => {
    const connection = new Connection();
    connection.encode(field("a", "1"));
    connection.encoder.setPeerTableBytesMax(10);
    connection.encoder.setPeerTableBytesMax(0);
    connection.encoder.setPeerTableBytesMax(100);
    expect(connection.encode()).toBe("203f45");
    expect(connection.decoder.table).toEqual([]);
    expect(connection.encode(field("a", "1"))).toMatch(/^00/);
  });

  test("of 0 means no table at all", () => {
    const connection = new Connection();
    connection.encode(field("a", "1"));
    connection.encoder.setPeerTableBytesMax(0);
    for (let i = 0; i < 2; i++) connection.encode(field("a", "1"), field("traceparent", "1"), field(":method", "GET"));
    expect(connection.decoder.table).toEqual([]);
  });
});

describe("the encoder's table", () => {
  test("finds nothing of before a restart", () => {
    const entries = new EncoderTable(4096, 4096);
    const one = field("a", "1");
    const token = entries.token;
    expect(entries.insert(one)).toBe(0);
    expect(entries.find(field("a", "1"))).toBe(0);
    entries.restart();
    expect(entries.token).not.toBe(token);
    expect([entries.find(one), entries.findName(one), entries.worn]).toEqual([NOT_FOUND, NOT_FOUND, false]);
    expect(entries.insert(one)).toBe(0);
    expect(entries.indexOf(0)).toBe(62);
  });

  test("compares bytes when hashes are equal", () => {
    const entries = new EncoderTable(4096, 4096);
    const one = field("a", "1");
    entries.insert(one);
    const other = field("a", "2");
    other.hash = one.hash;
    expect(entries.find(other)).toBe(NOT_FOUND);
  });
});
