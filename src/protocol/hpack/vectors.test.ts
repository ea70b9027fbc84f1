// The public vectors of http2jp/hpack-test-case, which the npm package `hpack` carries: what many encoders made of the same lists
// of fields. Decoded here, and encoded again, each story on one connection.
//
// Three sets are of drafts before the ninth, whose static table had other numbers than the one of RFC 7541; their fields are
// only encoded.
import { Buffer } from "node:buffer";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { FieldTable } from "../field-table.ts";
import { http2Fields } from "../http2/field-ids.ts";
import { DECODED, HpackDecoder } from "./decoder.ts";
import { HpackEncoder } from "./encoder.ts";
import { FieldBlock, makeField } from "./field.ts";
import { encodeBlock, textsOf } from "./testing.ts";
import { StaticFields } from "./static-fields.ts";

const FINAL_DRAFT = 9;

interface Story {
  /** Missing where the file was made later than the drafts. */
  readonly draft?: number;
  readonly cases: readonly {
    readonly wire: string;
    readonly header_table_size?: number;
    readonly headers: readonly Record<string, string>[];
  }[];
}

const require = createRequire(import.meta.url);
const root = join(dirname(require.resolve("hpack")), "test", "hpack-test-case");
const sets = readdirSync(root).filter((name) => name !== "raw-data" && existsSync(join(root, name, "story_00.json")));
const table = new FieldTable([], http2Fields);
const statics = new StaticFields(table);
const limits = { listBytesMax: 1 << 20, countMax: 1000 };

function storiesOf(set: string): [file: string, story: Story][] {
  const files = readdirSync(join(root, set)).filter((file) => file.endsWith(".json"));
  return files.map((file) => [file, JSON.parse(readFileSync(join(root, set, file), "utf8")) as Story]);
}

describe("the public vectors", () => {
  test("are there", () => {
    expect(sets.length).toBeGreaterThanOrEqual(9);
    expect(storiesOf("nghttp2").length).toBeGreaterThanOrEqual(30);
  });

  test("of a draft with other numbers are those that are known", () => {
    const early = sets.filter((set) => storiesOf(set).some(([, { draft = FINAL_DRAFT }]) => draft < FINAL_DRAFT));
    expect(early).toEqual(["hyper-hpack", "node-http2-protocol", "twitter-hpack"]);
  });

  test.each(sets)("of %s are decoded, encoded and decoded again", (set) => {
    for (const [file, { cases, draft = FINAL_DRAFT }] of storiesOf(set)) {
      const sizes = cases.map((each) => each.header_table_size ?? 4096);
      const decoder = new HpackDecoder(statics, Math.max(...sizes));
      const encoder = new HpackEncoder(4096);
      const again = new HpackDecoder(statics, 4096);
      const block = new FieldBlock();
      for (const [index, { wire, headers }] of cases.entries()) {
        const expected = headers.flatMap((header) => Object.entries(header));
        if (draft < FINAL_DRAFT) {
          block.clear();
          for (const [name, value] of expected) block.add(makeField(name, value, table));
        } else {
          const bytes = Buffer.from(wire, "hex");
          const result = decoder.decode(bytes, 0, bytes.length, block, limits);
          expect([result, decoder.errorDetail], `${set}/${file} ${index}`).toEqual([DECODED, ""]);
          expect(textsOf(block), `${set}/${file} ${index}`).toEqual(expected);
        }

        encoder.setPeerTableBytesMax(sizes[index] ?? 4096);
        const out = Buffer.alloc(block.encodedBytesMax);
        const end = encodeBlock(encoder, block, out);
        expect(again.decode(out, 0, end, block, limits)).toBe(DECODED);
        expect(textsOf(block), `${set}/${file} ${index}, encoded again`).toEqual(expected);
      }
    }
  });
});
