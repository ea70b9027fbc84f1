import { Buffer } from "node:buffer";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Found } from "../../protocol/context/found.ts";
import { KEY_BYTES_MAX, KeyPool, NO_KEY_ID } from "./key-pool.ts";

/** A key that stands in the middle of other bytes, as "key;properties". */
function found(text: string): Found {
  const [key = "", properties = ""] = text.split(";");
  const bytes = Buffer.from(`<${key}>(${properties})`);
  const made = new Found();
  made.set(bytes, 1, 1 + key.length);
  if (properties !== "") made.setProperties(bytes, key.length + 3, bytes.length - 1);
  return made;
}

const intern = (pool: KeyPool, text: string): number => pool.intern(found(text));

/** The key of an id, undefined when it is gone. */
function keyOf(pool: KeyPool, id: number): string | undefined {
  if (!pool.has(id)) return undefined;
  const into = new Found();
  pool.read(id, into);
  const key = Buffer.from(into.bytes.subarray(into.start, into.end)).toString();
  const properties = Buffer.from(into.propertiesBytes.subarray(into.propertiesStart, into.propertiesEnd)).toString();
  return properties === "" ? key : `${key};${properties}`;
}

describe("a pool of keys", () => {
  test("gives equal keys one id, and keeps them whatever becomes of the bytes they came in", () => {
    const pool = new KeyPool(3);
    const key = found("pr-7");
    const id = pool.intern(key);
    key.bytes.fill(0x78);
    expect(keyOf(pool, id)).toBe("pr-7");
    expect(intern(pool, "pr-7")).toBe(id);
    expect(intern(pool, "pr-77")).not.toBe(id);
    expect(intern(pool, "pr-")).not.toBe(id);
    expect(keyOf(pool, intern(pool, ""))).toBe("");
  });

  test("tells keys apart by their properties, and knows which are one key all the same", () => {
    const pool = new KeyPool(3);
    const [plain, one, two, split] = ["pr-7", "pr-7;a=1", "pr-7;a=2", "pr-7a;=1"].map((key) => intern(pool, key));
    if (plain === undefined || one === undefined || two === undefined || split === undefined) throw new Error("no ids");
    expect(new Set([plain, one, two, split]).size).toBe(4);
    expect([plain, one, two, split].map((id) => keyOf(pool, id))).toEqual(["pr-7", "pr-7;a=1", "pr-7;a=2", "pr-7a;=1"]);
    expect([plain, one].map((id) => pool.hasProperties(id))).toEqual([false, true]);
    expect([one, two, split].map((id) => pool.sameKey(plain, id))).toEqual([true, true, false]);
  });

  test("takes keys up to 256 bytes, properties included", () => {
    const pool = new KeyPool(1);
    expect(keyOf(pool, intern(pool, "k".repeat(KEY_BYTES_MAX)))).toBe("k".repeat(256));
    expect(intern(pool, "k".repeat(KEY_BYTES_MAX + 1))).toBe(NO_KEY_ID);
    expect(intern(pool, `${"k".repeat(200)};${"p".repeat(57)}`)).toBe(NO_KEY_ID);
  });

  test("holds as many as there are places, then the one used longest ago goes, for good", () => {
    const pool = new KeyPool(2);
    const ids = ["a", "b", "c", "d"].map((key) => intern(pool, key));
    intern(pool, "a");
    const fifth = intern(pool, "e");
    expect([...ids, fifth].map((id) => keyOf(pool, id))).toEqual(["a", undefined, "c", "d", "e"]);
    expect(intern(pool, "b")).not.toBe(ids[1]);
    expect(keyOf(pool, ids[1] ?? 0)).toBeUndefined();
  });

  test("keeps the keys that a list in the order of last use keeps", () => {
    const bits = fc.integer({ min: 0, max: 3 });
    const keys = fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 200 });
    fc.assert(
      fc.property(bits, keys, (placeBits, uses) => {
        const pool = new KeyPool(placeBits);
        const ids = new Map<string, number>();
        let recent: string[] = [];
        for (const key of uses.map(String)) {
          const id = intern(pool, key);
          if (recent.includes(key)) expect(id).toBe(ids.get(key));
          ids.set(key, id);
          recent = [...recent.filter((other) => other !== key), key].slice(-(1 << placeBits));
          for (const [other, its] of ids) expect(keyOf(pool, its)).toBe(recent.includes(other) ? other : undefined);
        }
      }),
    );
  });
});
