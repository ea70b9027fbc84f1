import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { sketch, traced } from "./fixture.ts";
import type { TracedEntry, TracedSidecar } from "./traced-entry.ts";
import { traceTree } from "./tree.ts";

const tree = (...entries: readonly TracedEntry[]): string => sketch(traceTree(entries));
const copy: TracedSidecar = { address: "checkout-pr-7:15000", service: "checkout", sandbox: "pr-7" };

describe("by parent span id", () => {
  test("an arrival belongs under the call with its span", () => {
    expect(
      tree(
        traced("front", "in", "front", [0, 40], { span: "a" }),
        traced("front", "out", "checkout", [5, 20], { span: "b" }),
        traced("front", "out", "checkout", [6, 21], { span: "c" }),
        traced("checkout", "in", "checkout", [7, 19], { span: "c" }),
      ),
    ).toBe("front in (checkout out, checkout out (checkout in))");
  });

  test("across three services", () => {
    expect(
      tree(
        traced("pricing", "in", "pricing", [12, 18], { span: "c" }),
        traced("checkout", "out", "pricing", [11, 19], { span: "c" }),
        traced("checkout", "in", "checkout", [6, 29], { span: "b" }),
        traced("front", "out", "checkout", [5, 30], { span: "b" }),
        traced("front", "in", "front", [0, 40], { span: "a" }),
      ),
    ).toBe("front in (checkout out (checkout in (pricing out (pricing in))))");
  });

  test("a sandbox's copy is under the sidecar that passed the request on", () => {
    expect(
      tree(
        traced("front", "out", "checkout", [5, 30], { span: "b" }),
        traced("checkout", "in", "checkout", [6, 29], { span: "b", destination: "pr-7", reason: "sandbox" }),
        traced(copy, "in", "checkout", [7, 28], { span: "b", destination: "pr-7", reason: "self" }),
      ),
    ).toBe("checkout out (checkout in (checkout in))");
  });

  test("a call that was sent again has two arrivals", () => {
    expect(
      tree(
        traced("front", "out", "checkout", [0, 30], { span: "b" }),
        traced("checkout", "in", "checkout", [1, 10], { span: "b" }),
        traced({ address: "other:15000", service: "checkout" }, "in", "checkout", [12, 28], { span: "b" }),
      ),
    ).toBe("checkout out (checkout in, checkout in)");
  });

  test("services that only copy their headers: the same span everywhere, time and service decide", () => {
    const span = "same";
    expect(
      tree(
        traced("front", "in", "front", [0, 40], { span }),
        traced("front", "out", "checkout", [5, 20], { span }),
        traced("checkout", "in", "checkout", [6, 19], { span }),
        traced("checkout", "out", "pricing", [8, 12], { span }),
        traced("pricing", "in", "pricing", [9, 11], { span }),
        traced("front", "out", "pricing", [25, 35], { span }),
        traced("pricing", "in", "pricing", [26, 34], { span }),
      ),
    ).toBe("front in (checkout out (checkout in (pricing out (pricing in))), pricing out (pricing in))");
  });

  test("two calls at once with the same span have one arrival each", () => {
    const span = "same";
    expect(
      tree(
        traced("front", "out", "checkout", [0, 30], { span }),
        traced("front", "out", "checkout", [0, 30], { span }),
        traced("checkout", "in", "checkout", [1, 20], { span }),
        traced("checkout", "in", "checkout", [2, 20], { span }),
      ),
    ).toBe("checkout out (checkout in), checkout out (checkout in)");
  });
});

describe("by time", () => {
  test("without outbound sidecars an arrival is under the innermost exchange that contains it", () => {
    expect(
      tree(
        traced("front", "in", "front", [0, 40], { span: "a" }),
        traced("checkout", "in", "checkout", [5, 30], { span: "b" }),
        traced("pricing", "in", "pricing", [10, 20], { span: "c" }),
        traced("ads", "in", "ads", [32, 38], { span: "d" }),
      ),
    ).toBe("front in (checkout in (pricing in), ads in)");
  });

  test("without inbound sidecars a call is under the call of its service", () => {
    expect(tree(traced("front", "out", "checkout", [0, 40]), traced("checkout", "out", "pricing", [5, 30]))).toBe(
      "checkout out (pricing out)",
    );
  });

  test("two requests at the same service at the same time are not under each other", () => {
    expect(
      tree(
        traced("front", "in", "front", [0, 40], { span: "a" }),
        traced("checkout", "in", "checkout", [5, 30], { span: "b" }),
        traced("checkout", "in", "checkout", [8, 20], { span: "c" }),
      ),
    ).toBe("front in (checkout in, checkout in)");
  });

  test("a call is under the request of its own sidecar, not under another service's that contains it, too", () => {
    expect(
      tree(
        traced("front", "in", "front", [0, 40]),
        traced("ads", "in", "ads", [4, 39]),
        traced("front", "out", "checkout", [5, 30]),
      ),
    ).toBe("front in (ads in, checkout out)");
  });

  test("of two requests that a service works on, the one with the call's span", () => {
    const entries = [
      traced("checkout", "in", "checkout", [0, 40], { span: "a", path: "/a" }),
      traced("checkout", "in", "checkout", [1, 39], { span: "b", path: "/b" }),
      traced("checkout", "out", "pricing", [5, 30], { span: "a" }),
    ];
    const [first, second] = traceTree(entries);
    expect(first?.children).toHaveLength(1);
    expect(second?.children).toHaveLength(0);
  });

  test("what a service calls after it has answered is still its own", () => {
    expect(tree(traced("checkout", "in", "checkout", [0, 10]), traced("checkout", "out", "mail", [500, 900]))).toBe(
      "checkout in (mail out)",
    );
  });

  test("spans that change on the way do no harm: the call of the service contains its arrival", () => {
    expect(
      tree(
        traced("front", "out", "checkout", [0, 40], { span: "a" }),
        traced("front", "out", "pricing", [1, 39], { span: "b" }),
        traced("checkout", "in", "checkout", [5, 30], { span: "x" }),
      ),
    ).toBe("checkout out (checkout in), pricing out");
  });

  test("a sidecar that changes the span on the way to the sandbox's copy does no harm either", () => {
    expect(
      tree(
        traced("front", "out", "checkout", [0, 40], { span: "b" }),
        traced("checkout", "in", "checkout", [1, 39], { span: "b", destination: "pr-7", reason: "sandbox" }),
        traced(copy, "in", "checkout", [2, 38], { span: "x", destination: "pr-7", reason: "self" }),
      ),
    ).toBe("checkout out (checkout in (checkout in))");
  });

  test("what passes through can lead to any service", () => {
    expect(
      tree(
        traced("front", "out", "checkout.example", [0, 40], { destination: "passthrough", reason: "not-in-table" }),
        traced("checkout", "in", "checkout", [5, 30]),
      ),
    ).toBe("checkout.example out (checkout in)");
  });

  test("what was refused led to nothing", () => {
    expect(
      tree(
        traced("front", "in", "front", [0, 40], { destination: "none", reason: "unknown-key", endpoint: "" }),
        traced("checkout", "in", "checkout", [5, 30]),
      ),
    ).toBe("front in, checkout in");
  });

  test("what runs contains all that began later", () => {
    expect(
      tree(
        traced("front", "in", "front", [0, null]),
        traced("front", "out", "checkout", [5, null], { span: "b" }),
        traced("checkout", "in", "checkout", [6, null], { span: "b" }),
        traced("checkout", "out", "pricing", [9, 12]),
      ),
    ).toBe("front in (checkout out (checkout in (pricing out)))");
  });

  test("requests that have nothing to do with each other are all roots", () => {
    expect(tree(traced("front", "in", "front", [0, 40]), traced("checkout", "in", "checkout", [1000, 1010]))).toBe(
      "front in, checkout in",
    );
  });

  test("nothing is nothing", () => {
    expect(traceTree([])).toEqual([]);
  });
});

describe("clocks that differ", () => {
  /** Three services; the clocks of the second and third are wrong by so much. */
  const path = (checkoutMs: number, pricingMs: number): readonly TracedEntry[] => [
    traced("front", "in", "front", [0, 40], { span: "a" }),
    traced("front", "out", "checkout", [5, 30], { span: "b" }),
    traced("checkout", "in", "checkout", [6 + checkoutMs, 29 + checkoutMs], { span: "b" }),
    traced("checkout", "out", "pricing", [10 + checkoutMs, 20 + checkoutMs], { span: "c" }),
    traced("pricing", "in", "pricing", [11 + pricingMs, 19 + pricingMs], { span: "c" }),
    traced("pricing", "out", "rates", [12 + pricingMs, 18 + pricingMs], { span: "d" }),
  ];

  test.each([
    [0, 0],
    [-3, 2],
    [700, -700],
    [-86_400_000, 3_600_000],
  ])("by %i and %i ms", (checkoutMs, pricingMs) => {
    expect(tree(...path(checkoutMs, pricingMs))).toBe(
      "front in (checkout out (checkout in (pricing out (pricing in (rates out)))))",
    );
  });

  test("are put right by what one call tells of them, also where there is no call between two", () => {
    // Ads has no outbound entry that leads to it; checkout's clock, known by the first call, puts it in its place.
    expect(
      tree(
        ...path(5000, 0).slice(0, 3),
        traced({ address: "checkout:15000", service: "checkout" }, "in", "checkout", [5033, 5036], { span: "z" }),
      ),
    ).toBe("front in (checkout out (checkout in), checkout in)");
  });

  test("a little is tolerated where nothing tells how much", () => {
    expect(
      tree(
        traced("front", "in", "front", [0, 40], { span: "a" }),
        traced("checkout", "in", "checkout", [-4, 20], { span: "b" }),
      ),
    ).toBe("front in (checkout in)");
  });

  test("times of the tree are by one clock", () => {
    const [root] = traceTree(path(5000, -5000));
    const starts: number[] = [];
    for (let at = root; at !== undefined; at = at.children[0]) starts.push(at.startMs - (root?.startMs ?? 0));
    expect(starts.toSorted((a, b) => a - b)).toEqual(starts);
    expect(Math.max(...starts)).toBeLessThan(40);
  });
});

test("a thousand entries inside each other, and a thousand alike", () => {
  const nested = Array.from({ length: 1000 }, (_, i) =>
    traced(`s${i}`, "in", `s${i}`, [i, 100_000 - i], { span: `span-${i}` }),
  );
  let depth = 0;
  for (let nodes = traceTree(nested); nodes[0] !== undefined; nodes = nodes[0].children) depth += nodes.length;
  expect(depth).toBe(1000);
  const alike = Array.from({ length: 1000 }, (_, i) =>
    traced("front", i % 2 === 0 ? "in" : "out", i % 2 === 0 ? "front" : "checkout", [0, 50], { span: "same" }),
  );
  expect(traceTree(alike)).toHaveLength(500);
});

test("whatever the entries: each is in the tree once, and no parent is its own descendant", () => {
  const name = fc.constantFrom("a", "b", "c");
  const entry = fc
    .record({
      sidecar: name,
      service: name,
      inbound: fc.boolean(),
      start: fc.integer({ min: 0, max: 20 }),
      duration: fc.option(fc.integer({ min: 0, max: 20 })),
      span: fc.constantFrom("", "x", "y"),
      reason: fc.constantFrom("sandbox" as const, "self" as const, "not-in-sandbox" as const),
    })
    .map(({ sidecar, service, inbound, start, duration, span, reason }) =>
      traced(
        sidecar,
        inbound ? "in" : "out",
        inbound ? sidecar : service,
        [start, duration === null ? null : start + duration],
        { span, reason, destination: reason === "sandbox" ? "pr-7" : "baseline" },
      ),
    );
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 12 }), (entries) => {
      const seen = new Set<unknown>();
      const walk = (nodes: ReturnType<typeof traceTree>): void => {
        for (const node of nodes) {
          expect(seen.has(node.entry)).toBe(false);
          seen.add(node.entry);
          walk(node.children);
        }
      };
      walk(traceTree(entries));
      expect(seen.size).toBe(entries.length);
    }),
  );
});
