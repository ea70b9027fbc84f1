import { describe, expect, test } from "vitest";
import { diffTables } from "./diff-tables.ts";
import { documentOf, shop } from "./fixture.ts";
import type { TableDocument } from "./document.ts";

const baselineOf = (endpoint: string): TableDocument => ({
  ...shop,
  services: { ...shop.services, checkout: { ...shop.services["checkout"], baseline: [endpoint] } },
});

describe("what differs", () => {
  test("nothing", () => {
    expect(diffTables(shop, shop)).toEqual({
      same: true,
      keys: { count: 0, listed: [] },
      hosts: { count: 0, listed: [] },
      decisions: { count: 0, listed: [] },
    });
  });

  test("nothing when only the order of the file does", () => {
    const turned = Object.fromEntries(Object.entries(shop.sandboxes).toReversed());
    expect(diffTables(shop, { ...shop, sandboxes: turned }).same).toBe(true);
  });

  test("a new sandbox: its key, and its services for this key alone", () => {
    const services = { checkout: ["10.0.0.8:8080"] };
    const after = { ...shop, sandboxes: { ...shop.sandboxes, "pr-8": { strict: true, services } } };
    const { keys, decisions } = diffTables(shop, after);
    expect(keys).toEqual({ count: 1, listed: [{ key: "pr-8", before: null, after: "sandbox pr-8" }] });
    expect(decisions).toEqual({
      count: 1,
      listed: [
        {
          service: "checkout",
          port: "",
          inboundOnly: false,
          before: { destination: "baseline", endpoints: ["checkout:8080"], strict: false, inTable: true },
          after: { destination: "pr-8", endpoints: ["10.0.0.8:8080"], strict: true, inTable: true },
          for: { none: false, unknown: false, count: 1, keys: ["pr-8"] },
        },
      ],
    });
  });

  test("another baseline: for everybody whom no sandbox claims, as one change", () => {
    const { decisions } = diffTables(shop, baselineOf("checkout-2:8080"));
    expect(decisions.listed).toMatchObject([
      { service: "checkout", for: { none: true, unknown: true, count: 1, keys: ["pr-9"] } },
    ]);
  });

  test("a group goes with its sandboxes", () => {
    const { "pr-7": _, ...sandboxes } = shop.sandboxes;
    const after = { ...shop, sandboxes, groups: { "release-42": { sandboxes: ["pr-9"] } } };
    const { decisions } = diffTables(shop, after);
    expect(decisions.listed.map((one) => [one.service, one.port, one.for.keys])).toEqual([
      ["checkout", "", ["pr-7", "release-42"]],
      ["ledger", "http", ["pr-7", "release-42"]],
      ["ledger", "grpc", ["pr-7", "release-42"]],
    ]);
  });

  test("hosts and numbers of ports", () => {
    const ports = { http: 9090, grpc: 8080 };
    const checkout = { ...shop.services["checkout"], hosts: ["checkout", "till"] };
    const ledger = { ...shop.services["ledger"], ports };
    const { hosts, decisions } = diffTables(shop, { ...shop, services: { checkout, ledger } });
    expect(hosts.listed).toEqual([
      { host: "checkout.shop.svc.cluster.local", before: "checkout", after: null },
      { host: "till", before: null, after: "checkout" },
    ]);
    expect(new Set(decisions.listed.map(({ port }) => port))).toEqual(new Set([":8080", ":9090"]));
  });

  test("bounded, with all of it counted", () => {
    const names = Array.from({ length: 50 }, (_, index) => `pr-${index}`);
    const before = documentOf({ sandboxes: Object.fromEntries(names.map((name) => [name, { services: {} }])) });
    const after = { ...before, services: { cart: { baseline: ["cart:80"] } } };
    const { decisions } = diffTables(before, after, { changesMax: 3, keysMax: 2 });
    expect(decisions.listed).toMatchObject([{ for: { count: 50, keys: ["pr-0", "pr-1"] } }]);
    const gone = diffTables(before, documentOf({}), { changesMax: 3, keysMax: 2 });
    expect(gone.keys.count).toBe(50);
    expect(gone.keys.listed).toHaveLength(3);
  });

  test("of 10,000 sandboxes and 500 services, without asking for each of them with each", () => {
    const services = Object.fromEntries(
      Array.from({ length: 500 }, (_, index) => [`s${index}`, { baseline: [`s${index}:80`] }]),
    );
    const sandboxes = Object.fromEntries(
      Array.from({ length: 10_000 }, (_, index) => [
        `pr-${index}`,
        { services: { [`s${index % 500}`]: [`10.1.0.1:${(index % 60_000) + 1}`] } },
      ]),
    );
    const before = documentOf({ services, sandboxes });
    const { "pr-77": _, ...fewer } = sandboxes;
    const { keys, decisions } = diffTables(before, documentOf({ services, sandboxes: fewer }));
    expect([keys.count, decisions.count]).toEqual([1, 1]);
  });
});
