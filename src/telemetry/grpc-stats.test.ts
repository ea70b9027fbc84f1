import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { GrpcMethods, GrpcStats } from "./grpc-stats.ts";

const labels = { service: "ledger", direction: "inbound", destination: "baseline" };
const made = (labelsMax = 200): GrpcStats => new GrpcStats(labels, new GrpcMethods(labelsMax));

/** Records one call; the hash is a bad one on purpose, so that paths of one length collide. */
function call(stats: GrpcStats, path: string, status: number, answered = true): void {
  const bytes = new TextEncoder().encode(`<${path}>`);
  stats.record(path.length, bytes, 1, bytes.length - 1, status, answered);
}

const counted = (stats: GrpcStats): unknown[] =>
  stats.samples().map(({ labels: { method, grpc_status: status }, value }) => [method, status, value]);

describe("calls", () => {
  test("are counted by method and status", () => {
    const stats = made();
    for (const status of [0, 0, 5, 16]) call(stats, "/shop.Ledger/Book", status);
    call(stats, "/shop.Ledger/Undo", 0);
    expect(counted(stats)).toEqual([
      ["/shop.Ledger/Book", "0", 2],
      ["/shop.Ledger/Book", "5", 1],
      ["/shop.Ledger/Book", "16", 1],
      ["/shop.Ledger/Undo", "0", 1],
    ]);
    expect(stats.samples()[0]?.labels).toMatchObject(labels);
  });

  test("a status that gRPC does not have is `other`", () => {
    const stats = made();
    for (const status of [-1, 17, 1000, Number.NaN]) call(stats, "/a.B/C", status);
    expect(counted(stats)).toEqual([["/a.B/C", "other", 4]]);
  });

  test("a path is kept as it was, whatever becomes of the buffer it came in", () => {
    const stats = made();
    const bytes = new TextEncoder().encode("/a.B/C");
    stats.record(1, bytes, 0, bytes.length, 0, true);
    bytes.fill(0);
    call(stats, "/a.B/D", 0);
    expect(counted(stats)).toEqual([
      ["/a.B/C", "0", 1],
      ["/a.B/D", "0", 1],
    ]);
  });
});

describe("labels are bounded", () => {
  test("methods beyond the cap are `other`; those that have a label keep it, on every route", () => {
    const methods = new GrpcMethods(2);
    const [one, two] = [new GrpcStats(labels, methods), new GrpcStats({ ...labels, destination: "pr-7" }, methods)];
    for (const method of ["A", "B", "C", "A"]) call(one, `/s/${method}`, 0);
    for (const method of ["B", "C"]) call(two, `/s/${method}`, 0);
    expect(counted(one)).toEqual([
      ["other", "0", 1],
      ["/s/A", "0", 2],
      ["/s/B", "0", 1],
    ]);
    expect(counted(two)).toEqual([
      ["other", "0", 1],
      ["/s/B", "0", 1],
    ]);
    const none = made(0);
    call(none, "/s/A", 0);
    expect(counted(none)).toEqual([["other", "0", 1]]);
  });

  test("a method that no endpoint knows, or that never reached one, gets none", () => {
    const stats = made(1);
    call(stats, "/made.Up/One", 12);
    call(stats, "/made.Up/Two", 14, false);
    call(stats, "/real.One/Call", 14);
    call(stats, "/real.One/Call", 12);
    expect(counted(stats)).toEqual([
      ["other", "12", 1],
      ["other", "14", 1],
      ["/real.One/Call", "12", 1],
      ["/real.One/Call", "14", 1],
    ]);
  });

  test.each(["", "/", "/a", "//", "/a/", "/a//b", "a/b", "/a/b?c", "/a/b c", '/a/"', "/ä/b", `/a/${"b".repeat(200)}`])(
    "%j is no method",
    (path) => {
      const stats = made();
      call(stats, path, 0);
      expect(counted(stats)).toEqual([["other", "0", 1]]);
    },
  );

  test("a thousand methods are told apart, and no more are known than may be", () => {
    fc.assert(
      fc.property(fc.nat(1000), fc.array(fc.nat(1500), { minLength: 1, maxLength: 3000 }), (max, order) => {
        const stats = made(max);
        for (const n of order) call(stats, `/s/M${n}`, 0);
        const expected = new Map<string, number>();
        const known = new Set<string>();
        for (const n of order) {
          const name = `/s/M${n}`;
          if (known.size < max) known.add(name);
          const label = known.has(name) ? name : "other";
          expected.set(label, (expected.get(label) ?? 0) + 1);
        }
        const samples = stats.samples().map(({ labels: { method }, value }) => [method, value] as const);
        expect(new Map(samples)).toEqual(expected);
      }),
      { numRuns: 20 },
    );
  });
});
