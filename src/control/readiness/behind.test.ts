import fc from "fast-check";
import { expect, test } from "vitest";
import { concerns } from "./applied.ts";
import { Behind } from "./behind.ts";
import { sidecarInfo } from "./fixture.ts";

const services = fc.subarray(["a", "b", "c"]);

test("those are late whom the services concern and who lack the revision, each once, the refused first", () => {
  const one = fc.record({
    services,
    names: fc.boolean(),
    connected: fc.boolean(),
    appliedRevision: fc.nat(6),
    due: fc.integer({ min: 1, max: 3 }),
    error: fc.constantFrom("", "refused"),
  });
  fc.assert(
    fc.property(fc.array(one), fc.option(services, { nil: undefined }), fc.nat(9), (all, asked, revision) => {
      const infos = all.map(({ services: of, names, due, ...more }, n) =>
        sidecarInfo({
          ...more,
          instance: `i-${n}`,
          scope: { services: of, names },
          wantedRevision: more.appliedRevision + due,
        }),
      );
      const late = infos.filter(
        (info) =>
          concerns(info, asked) &&
          info.appliedRevision < (info.connected ? Math.min(revision, info.wantedRevision) : revision),
      );
      const found = new Behind(infos).late(revision, asked);
      const first = found.first(infos.length);
      expect(found.count).toBe(late.length);
      expect(new Set(first)).toEqual(new Set(late));
      expect(found.refused).toBe(late.some(({ error }) => error !== ""));
      const errors = first.map(({ error }) => error !== "");
      expect(errors).toEqual(errors.toSorted((a, b) => Number(b) - Number(a)));
      expect(found.first(2)).toEqual(first.slice(0, 2));
    }),
  );
});
