// Anybody with kubectl may have written what these functions read.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { commitOf, sandbox } from "../../../../test/support/store-data.ts";
import { groupResource, sandboxResource, serviceResource } from "../../fixture.ts";
import { ControlState } from "../../state.ts";
import { chunkRecords, commitName, commitObject, floorOf, loggedCommit } from "./objects.ts";
import type { TableCommitObject } from "./objects.ts";

const spec = { format: 1, record: "commit", revision: 2, commit: "b", previous: "a", encoding: "json" };
const object = (data: unknown, more: object = {}): TableCommitObject => ({
  metadata: { name: commitName(2), resourceVersion: "1", uid: "u" },
  spec: { ...spec, data: JSON.stringify(data), ...more },
});

describe("a commit", () => {
  test("is read as it was written", () => {
    const { id, puts, deletes } = commitOf(1, [sandbox("pr-7")], [{ kind: "sandbox", name: "pr-8" }]);
    const written = commitObject(
      "sidelane",
      { id, basedOn: 1, puts, deletes, audit: [] },
      { revision: 2, previous: "a", puts, audit: [] },
    );
    const { metadata } = object({});
    expect(loggedCommit({ metadata, spec: written.spec })).toMatchObject({ id, previous: "a", puts, deletes });
  });

  test.each<[string, unknown]>([
    ["nothing", {}],
    ["text", "hello"],
    ["a resource without contents", { puts: [{ ...sandbox("x"), spec: {} }], deletes: [], audit: [] }],
    ["a resource of no kind", { puts: [{ ...sandbox("x"), kind: "cluster" }], deletes: [], audit: [] }],
    ["one without a name", { puts: [sandbox("")], deletes: [], audit: [] }],
    ["a deletion of no kind", { puts: [], deletes: [{ kind: "cluster", name: "x" }], audit: [] }],
    ["endpoints that are none", { puts: [sandbox("x", 7 as unknown as string)], deletes: [], audit: [] }],
  ])("with %s in it changes nothing, and keeps its place", (_, data) => {
    expect(loggedCommit(object(data))).toMatchObject({ revision: 2, id: "b", previous: "a", puts: [], deletes: [] });
  });

  test("with fields of a later version is taken with them", () => {
    const put = sandbox("x");
    const later = { ...put, spec: { ...put.spec, colour: "red" }, colour: "red" };
    expect(loggedCommit(object({ puts: [later], deletes: [], audit: [] }))?.puts).toEqual([later]);
  });

  test("is never one that whoever follows stumbles over, whatever somebody has changed in it", () => {
    const resources = [
      serviceResource("checkout"),
      sandboxResource("pr-7"),
      groupResource("g", { sandboxes: ["pr-7"] }),
      sandbox("b"),
    ];
    const change = fc.record({
      resource: fc.constantFrom(...resources),
      at: fc.nat(30),
      to: fc.oneof(fc.jsonValue(), fc.constantFrom(null, [], {}, "", 0, "sandbox", [["x"]], { x: ["y"] })),
    });
    fc.assert(
      fc.property(change, ({ resource, at, to }) => {
        const changed = replaced(resource, at, to);
        const commit = loggedCommit(object({ puts: [changed], deletes: [], audit: [] }));
        const state = new ControlState();
        state.reset({ revision: 1, resources });
        state.changed({ revision: 2, puts: commit?.puts ?? [], deletes: commit?.deletes ?? [] });
        state.document();
        expect(state.revision).toBe(2);
      }),
      { numRuns: 500 },
    );
  });
});

test.each<[string, unknown]>([
  ["a resource without contents", [{ record: "resource", resource: { kind: "sandbox", name: "x" } }]],
  ["audit entries that are none", [{ record: "audit", entries: 7 }]],
  ["ids that are none", [{ record: "commits", ids: [7] }]],
  ["no list", {}],
])("a chunk with %s is refused with a sentence", (_, records) => {
  expect(() => chunkRecords("kubernetes://x", object(records))).toThrow(
    /t-0{15}2 cannot be read; restore it, or begin/u,
  );
});

test("a snapshot that is none is refused with a sentence", () => {
  expect(() => floorOf("kubernetes://x", object({}))).toThrow(/holds something else than a control plane's data/u);
});

/** A copy with the value at one place, counted in order, replaced. */
function replaced(value: unknown, at: number, to: unknown): unknown {
  let left = at;
  const walk = (one: unknown): unknown => {
    if (left-- === 0) return to;
    if (Array.isArray(one)) return one.map(walk);
    if (typeof one !== "object" || one === null) return one;
    return Object.fromEntries(Object.entries(one).map(([name, field]) => [name, walk(field)]));
  };
  return walk(value);
}
