// What a sidecar knows of a fed table, against a model that is a plain map.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeFromControl, encodeFromControl } from "./codec.ts";
import { compileFed } from "./compile-fed.ts";
import { FedTable } from "./fed-table.ts";
import type { Taken } from "./fed-table.ts";
import type { FromControl, Update } from "./messages.ts";

const EVERYTHING = { services: [], names: false };

function update(revision: number, changes: Partial<Update> = {}): Update {
  return {
    source: "history-1",
    whole: false,
    revision,
    last: true,
    services: [],
    sandboxes: [],
    groups: [],
    removedServices: [],
    removedSandboxes: [],
    removedGroups: [],
    ...changes,
  };
}

const group = (name: string, key = "") => ({ name, key, sandboxes: [] });

/** Uses everything that waits. */
function use(fed: FedTable): void {
  fed.begin();
  fed.adopt();
}

function started(): FedTable {
  const fed = new FedTable(EVERYTHING, 10_000);
  fed.take(update(1, { whole: true, groups: [group("a"), group("b")] }));
  use(fed);
  return fed;
}

const refused = (taken: Taken): string => (taken.kind === "refused" ? taken.problem : taken.kind);

describe("a candidate", () => {
  test("has the table in use with the changes, each entry at its place", () => {
    const fed = started();
    fed.take(update(2, { groups: [group("c"), group("a", "x")], removedGroups: ["b"] }));
    const candidate = fed.begin();
    expect(candidate?.document()).toEqual({
      services: {},
      sandboxes: {},
      groups: { a: { key: "x", sandboxes: [] }, c: { sandboxes: [] } },
    });
    expect(candidate).toMatchObject({ source: "history-1", revision: 2, differs: true, size: 2 });
    expect(Object.keys(candidate?.document().groups ?? {})).toEqual(["a", "c"]);
  });

  test("that is the table in use says so", () => {
    const fed = started();
    fed.take(update(2, { groups: [group("a")], removedGroups: ["zzz"] }));
    expect(fed.begin()).toMatchObject({ revision: 2, differs: false });
    fed.adopt();
    expect(fed.revision).toBe(2);
    fed.take(update(3, { whole: true, groups: [group("b"), group("a")] }));
    expect(fed.begin()).toMatchObject({ differs: false });
    fed.adopt();
    fed.take(update(4, { whole: true, groups: [group("b")] }));
    expect(fed.begin()).toMatchObject({ differs: true });
  });

  test("even the first table may be empty", () => {
    const fed = new FedTable(EVERYTHING, 100);
    expect(refused(fed.take(update(0, { whole: true })))).toBe("complete");
    expect(fed.begin()).toMatchObject({ differs: true, revision: 0 });
  });
});

test("what arrives while one is looked at waits, also when that one is refused", () => {
  const fed = started();
  fed.take(update(2, { groups: [group("bad")] }));
  fed.begin();
  fed.take(update(3, { groups: [group("c")] }));
  fed.refuse();
  expect(fed.revision).toBe(1);
  expect(Object.keys(fed.begin()?.document().groups ?? {})).toEqual(["a", "b", "bad", "c"]);
  fed.refuse();
  expect(fed.hasWaiting).toBe(false);
  fed.take(update(4, { removedGroups: ["bad"] }));
  expect(Object.keys(fed.begin()?.document().groups ?? {})).toEqual(["a", "b", "c"]);
  fed.adopt();
  expect(fed.revision).toBe(4);
});

test("a refused one can be looked at again as it is", () => {
  const fed = started();
  fed.take(update(2, { groups: [group("c")] }));
  fed.begin();
  fed.refuse();
  fed.retry();
  expect(fed.begin()).toMatchObject({ revision: 2, size: 3 });
});

test("a new stream begins at the table in use", () => {
  const fed = started();
  fed.take(update(2, { groups: [group("c")] }));
  fed.take(update(3, { groups: [group("d")], last: false }));
  fed.forgetUnused();
  expect(fed.begin()).toBeUndefined();
  expect(refused(fed.take(update(2, { groups: [group("e")] })))).toBe("complete");
  expect(Object.keys(fed.begin()?.document().groups ?? {})).toEqual(["a", "b", "e"]);
});

describe("is refused", () => {
  test.each<[string, Update, RegExp]>([
    ["what names no source", update(2, { source: "" }), /names no source/u],
    ["a change of another history", update(2, { source: "history-2" }), /of history-2 cannot be applied.*history-1/u],
    ["an older revision", update(0), /older than 1/u],
    ["a revision that is no number to count with", update(2 ** 60), /too large/u],
    ["too much", update(2, { groups: [group("a".repeat(10_000))] }), /larger than limits\.tableBytesMax/u],
  ])("%s", (_, message, why) => {
    const fed = started();
    expect(refused(fed.take(message))).toMatch(why);
    expect([fed.hasWaiting, fed.revision]).toEqual([false, 1]);
  });

  test("but an older table is taken where it is told whole: a store was restored from a backup", () => {
    const fed = new FedTable(EVERYTHING, 100_000);
    fed.take(update(9, { whole: true }));
    fed.begin();
    fed.adopt();
    expect(fed.take(update(5, { whole: true }))).toEqual({ kind: "complete" });
    fed.begin();
    fed.adopt();
    expect(fed.revision).toBe(5);
  });

  test("a change before there is anything", () => {
    expect(refused(new FedTable(EVERYTHING, 100).take(update(1)))).toMatch(/there is no table yet; a whole table/u);
  });

  test("the next revision before the last part of this one", () => {
    const fed = started();
    fed.take(update(2, { last: false }));
    expect(refused(fed.take(update(3)))).toMatch(/revision 3 begins before the last part of 2/u);
  });
});

test("removing makes room again", () => {
  const fed = started();
  for (let revision = 2; revision < 100; revision++) {
    const name = `${"x".repeat(3000)}${revision}`;
    expect(refused(fed.take(update(revision, { groups: [group(name)] })))).toBe("complete");
    use(fed);
    fed.take(update(revision, { removedGroups: [name] }));
    use(fed);
  }
});

test("property: bytes that were damaged on the way are refused or a table, and never more", () => {
  const good = update(2, {
    services: [{ name: "ledger", hosts: ["a.b"], ports: [{ name: "http", number: 80 }], baseline: [] }],
    sandboxes: [
      {
        name: "x",
        key: "k",
        strict: true,
        services: [{ service: "ledger", endpoints: [{ port: "http", endpoints: ["h:1"] }] }],
      },
    ],
    groups: [{ name: "g", key: "", sandboxes: ["x"] }],
    removedGroups: ["a"],
  });
  const bytes = encodeFromControl({ kind: "update", update: good });
  const flips = fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { maxLength: 5 });
  fc.assert(
    fc.property(flips, fc.nat(bytes.length), (changes, length) => {
      const damaged = Buffer.from(bytes.subarray(0, length));
      for (const [at, byte] of changes) if (at < length) damaged[at] = byte;
      let message: FromControl;
      try {
        message = decodeFromControl(damaged);
      } catch {
        return;
      }
      if (message.kind !== "update") return;
      const fed = started();
      if (fed.take(message.update).kind !== "complete") return;
      const document = fed.begin()?.document();
      if (document !== undefined) compileFed(document);
    }),
    { numRuns: 2000 },
  );
});

test("property: whatever comes in whatever pieces, in use is what the model says", () => {
  const name = fc.constantFrom("a", "b", "c", "__proto__", "constructor");
  const step = fc.record({
    whole: fc.boolean(),
    put: fc.array(fc.tuple(name, fc.constantFrom("k1", "k2", "")), { maxLength: 3 }),
    remove: fc.array(name, { maxLength: 2 }),
    cut: fc.boolean(),
    outcome: fc.constantFrom("adopt", "refuse", "wait", "reconnect"),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      const fed = started();
      let truth = new Map([
        ["a", ""],
        ["b", ""],
      ]);
      let used = new Map(truth);
      let revision = 1;
      for (const { whole, put, remove, cut, outcome } of steps) {
        revision++;
        const next = whole ? new Map<string, string>() : new Map(truth);
        for (const one of remove) next.delete(one);
        for (const [one, key] of put) next.set(one, key);
        const groups = put.map(([one, key]) => group(one, key));
        if (cut) {
          fed.take(update(revision, { whole, removedGroups: remove, last: false }));
          fed.take(update(revision, { groups }));
        } else fed.take(update(revision, { whole, removedGroups: remove, groups }));
        truth = next;
        if (outcome === "adopt") {
          use(fed);
          used = new Map(truth);
        } else if (outcome === "refuse") {
          fed.begin();
          fed.refuse();
        } else if (outcome === "reconnect") {
          fed.forgetUnused();
          truth = new Map(used);
        }
      }
      fed.take(update(revision + 1, { groups: [group("last")] }));
      truth.set("last", "");
      const document = fed.begin()?.document();
      const shown = new Map(Object.entries(document?.groups ?? {}).map(([one, { key = "" }]) => [one, key]));
      expect(shown).toEqual(truth);
    }),
  );
});
