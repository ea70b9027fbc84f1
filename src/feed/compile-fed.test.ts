import { expect, test } from "vitest";
import { CompiledTable } from "../routing/compiled-table.ts";
import { canonicalJson, compileFed, fedDigest } from "./compile-fed.ts";

const table = {
  services: { checkout: {}, ledger: { ports: { http: 8080 }, baseline: { http: ["ledger:8080"] } } },
  sandboxes: { "pr-7": { services: { checkout: ["10.0.0.7:8080"] } } },
  groups: { team: { sandboxes: ["pr-7"] } },
};

test("a good table is compiled; the digest does not depend on the order of names", () => {
  const compiled = compileFed(table);
  if (!compiled.ok) throw new Error(compiled.problems.join("\n"));
  const found = new CompiledTable(compiled.image, 1, compiled.digest);
  expect(found.findTarget(Buffer.from("team"), 0, 4)).toBe(1);
  const { groups, sandboxes, services } = table;
  const { ledger, checkout } = services;
  expect(fedDigest({ groups, sandboxes, services: { ledger, checkout } })).toBe(compiled.digest);
  expect(fedDigest({ ...table, groups: {} })).not.toBe(compiled.digest);
});

test("canonical JSON: names in order, lists as they are", () => {
  expect(canonicalJson({ b: [2, 1], a: { d: null, c: "x" } })).toBe('{"a":{"c":"x","d":null},"b":[2,1]}');
});

test("problems say where", () => {
  const compiled = compileFed({
    ...table,
    groups: { team: { sandboxes: ["pr-8"] } },
    services: { a: { ports: { http: 0 } } },
  });
  expect(compiled).toMatchObject({
    ok: false,
    problems: [
      "services.a.ports.http: 0 is not a port number, write 1 to 65535",
      expect.stringMatching(/^groups\.team\.sandboxes\.0: group team names sandbox "pr-8", there is no such sandbox/u),
    ],
  });
});

test("a table that is wrong everywhere says so in few lines", () => {
  const services = Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`a b ${index}`, { baseline: [] }]));
  const compiled = compileFed({ services, sandboxes: {}, groups: {} });
  expect(compiled.ok ? 0 : compiled.problems.length).toBeLessThan(150);
});
