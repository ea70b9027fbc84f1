// What a scope sees of a good table is a good table, for the sidecar that follows it.
import fc from "fast-check";
import { expect, test } from "vitest";
import { compileFed } from "./compile-fed.ts";
import { feedGroup, feedSandbox, feedService } from "./convert.ts";
import { updatesOf, wholeOf } from "./delta.ts";
import { FedTable } from "./fed-table.ts";
import { scoped, ScopeView } from "./scope.ts";

const names = ["a", "b", "c", "d"];
const name = fc.constantFrom(...names);
const sandboxNames = ["s1", "s2", "s3"];

const table = fc
  .record({
    // `b` may be called by the name of `c`, which is called otherwise then.
    crossed: fc.boolean(),
    several: fc.boolean(),
    sandboxes: fc.array(fc.uniqueArray(name, { minLength: 1 }), { minLength: 3, maxLength: 3 }),
    groups: fc.array(fc.subarray(sandboxNames), { maxLength: 3 }),
  })
  .map(({ crossed, several, sandboxes, groups }) => ({
    services: new Map([
      ["a", feedService("a", several ? { ports: { http: 80, grpc: 90 } } : { baseline: ["a:80"] })],
      ["b", feedService("b", crossed ? { hosts: ["b", "c"] } : {})],
      ["c", feedService("c", crossed ? { hosts: ["c.example"] } : {})],
      ["d", feedService("d", {})],
    ]),
    sandboxes: new Map(
      sandboxes.map((services, at) => {
        const endpoints = (one: string) => (several && one === "a" ? { http: ["h:1"], grpc: ["h:2"] } : ["h:80"]);
        const changed = Object.fromEntries(services.map((one) => [one, endpoints(one)]));
        return [`s${at + 1}`, feedSandbox(`s${at + 1}`, { key: `key-${at}`, services: changed })];
      }),
    ),
    groups: new Map(groups.map((sandboxes, at) => [`g${at}`, feedGroup(`g${at}`, { sandboxes })])),
  }));

test("it compiles wherever the whole table does", () => {
  const scope = fc.record({ services: fc.subarray(names), names: fc.boolean() });
  fc.assert(
    fc.property(table, scope, (parts, one) => {
      const fed = new FedTable(one, 1e6);
      const head = { source: "test", revision: 1, whole: true };
      for (const update of updatesOf(head, wholeOf(scoped(new ScopeView(one), parts)), 500)) fed.take(update);
      const document = fed.begin()?.document();
      const compiled = document === undefined ? undefined : compileFed(document);
      expect(compiled).toMatchObject({ ok: true });
    }),
    { numRuns: 200 },
  );
});
