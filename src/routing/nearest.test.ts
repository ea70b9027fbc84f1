import { expect, test } from "vitest";
import fc from "fast-check";
import { editDistance, nearest } from "./nearest.ts";

test.each([
  ["", "", 0],
  ["abc", "", 3],
  ["checkout", "chekout", 1],
  ["checkout", "chekcout", 1],
  ["kitten", "sitting", 3],
])("%s to %s takes %i", (a, b, distance) => {
  expect(editDistance(a, b)).toBe(distance);
});

test("distance is symmetric, and zero only between equals", () => {
  const word = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 8 });
  fc.assert(
    fc.property(word, word, (a, b) => {
      expect(editDistance(a, b)).toBe(editDistance(b, a));
      expect(editDistance(a, b) === 0).toBe(a === b);
    }),
  );
});

test("suggests slips, not other words", () => {
  const fields = ["address", "direction", "name", "port", "protocol", "target"];
  expect(nearest("adress", fields)).toBe("address");
  expect(nearest("Port", fields)).toBe("port");
  expect(nearest("potr", fields)).toBe("port");
  expect(nearest("host", fields)).toBeUndefined();
  expect(nearest("x", ["y"])).toBeUndefined();
  expect(nearest("pr-77", ["pr-1", "pr-7"])).toBe("pr-7");
});
