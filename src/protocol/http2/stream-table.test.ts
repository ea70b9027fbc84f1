import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { StreamTable } from "./stream-table.ts";

describe("StreamTable", () => {
  test("equals a Map, whatever ids come and go", () => {
    const command = fc.record({
      kind: fc.constantFrom("set", "set", "delete", "get"),
      // Few slots apart, many slots apart, and the last ids there are.
      id: fc.oneof(
        fc.nat(40).map((n) => n * 2 + 1),
        fc.nat(40).map((n) => n * 32 + 1),
        fc.nat(40).map((n) => n * 8192 + 1),
        fc.nat(40).map((n) => 0x7fffffff - n * 2),
      ),
    });
    fc.assert(
      fc.property(fc.array(command, { maxLength: 300 }), (commands) => {
        const table = new StreamTable<{ n: number }>();
        const model = new Map<number, { n: number }>();
        let n = 0;
        for (const { kind, id } of commands) {
          if (kind === "set") {
            const value = { n: n++ };
            table.set(id, value);
            model.set(id, value);
          } else if (kind === "delete") expect(table.delete(id)).toBe(model.delete(id));
          expect(table.get(id)).toBe(model.get(id));
          expect(table.size).toBe(model.size);
        }
        const seen = new Map<number, { n: number }>();
        table.forEach((value, id) => seen.set(id, value));
        expect([...seen].toSorted(([a], [b]) => a - b)).toEqual([...model].toSorted(([a], [b]) => a - b));
      }),
    );
  });

  test("many streams at once", () => {
    const table = new StreamTable<number>();
    for (let id = 1; id < 20_001; id += 2) table.set(id, id);
    expect(table.size).toBe(10_000);
    for (let id = 1; id < 20_001; id += 2) expect(table.get(id)).toBe(id);
    expect(table.get(20_001)).toBeUndefined();
  });

  test("one stream stays for ever while thousands pass", () => {
    const table = new StreamTable<number>();
    table.set(1, 1);
    for (let id = 3; id < 40_001; id += 2) {
      table.set(id, id);
      expect(table.get(1)).toBe(1);
      expect(table.get(id)).toBe(id);
      expect(table.delete(id)).toBe(true);
    }
    expect(table.size).toBe(1);
  });

  test("forEach: the visitor may delete the current one and others", () => {
    const table = new StreamTable<number>();
    for (let n = 0; n < 100; n++) table.set(n * 128 + 1, n);
    const seen = new Set<number>();
    table.forEach((value, id) => {
      seen.add(value);
      table.delete(id);
      table.delete(id + 128);
    });
    expect(table.size).toBe(0);
    expect(seen.size).toBeLessThan(100);
    expect(table.delete(1)).toBe(false);
  });

  test("the table forgets what is deleted, for the garbage collector", () => {
    const table = new StreamTable<object>();
    const slots = (): unknown[] => {
      const seen: unknown[] = [];
      table.forEach((value) => seen.push(value));
      return seen;
    };
    table.set(1, {});
    table.delete(1);
    expect(slots()).toEqual([]);
    expect(table.get(1)).toBeUndefined();
  });
});
