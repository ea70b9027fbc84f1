import * as fc from "fast-check";
import { expect, test } from "vitest";
import { labelValue, objectName } from "./object-names.ts";

test.each([
  [["pr-7", "checkout"], 63, "pr-7-checkout"],
  [["a".repeat(70)], 20, /^a{14}-[a-z0-9]{5}$/],
  [["7", "web"], 63, /^s-7-web-[a-z0-9]{5}$/],
  [["Pr.7", "web"], 63, /^pr-7-web-[a-z0-9]{5}$/],
])("%j in %i characters", (parts, max, wanted) => {
  expect(objectName(parts, max)).toMatch(wanted);
});

test("every name fits, and is the same for the same parts only", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 100 }), fc.string({ maxLength: 100 }), (one, other) => {
      const name = objectName([one]);
      expect(name).toMatch(/^[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?$/);
      expect(labelValue(one)).toMatch(/^(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/);
      expect(name === objectName([other])).toBe(one === other);
    }),
  );
});
