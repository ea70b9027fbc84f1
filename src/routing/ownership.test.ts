import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compile } from "./compile.ts";
import { CompiledTable } from "./compiled-table.ts";
import { decide, NO_KEY, NO_SERVICE } from "./decide.ts";
import { documentOf, seed, shopTable } from "./fixture.ts";
import { BASELINE, ownerOf, ownershipRule } from "./ownership.ts";
import type { Claim } from "./ownership.ts";
import { validate } from "./validate.ts";

function claimsOf(table: CompiledTable, service: string): readonly Claim[] {
  return [...ownershipRule(table, service)].flat();
}

describe("who owns a message", () => {
  test.each([
    ["checkout", undefined, BASELINE, "no-key"],
    ["checkout", "pr-7", "pr-7", "sandbox"],
    ["checkout", "pr-", BASELINE, "unknown-key"],
    ["checkout", "pr-77", BASELINE, "unknown-key"],
    ["checkout", "PR-7", BASELINE, "unknown-key"],
    ["checkout", "", BASELINE, "unknown-key"],
    // The one that "the baseline skips whatever carries a key" loses.
    ["checkout", "pr-9", BASELINE, "not-in-sandbox"],
    ["payments", "pr-9", "pr-9", "sandbox"],
    ["payments", "pr-7", BASELINE, "not-in-sandbox"],
    ["ledger", "pr-7", "pr-7", "sandbox"],
    ["checkout", "release-42", "pr-7", "sandbox"],
    ["payments", "release-42", "pr-9", "sandbox"],
    ["nobody", "pr-7", BASELINE, "not-in-sandbox"],
    ["nobody", undefined, BASELINE, "no-key"],
  ])("of %s with key %s: %s (%s)", (service, key, owner, reason) => {
    expect(ownerOf(shopTable, service, key)).toEqual({ owner, reason, key });
  });

  test("the rule has every key that is claimed, and no other", () => {
    expect(claimsOf(shopTable, "checkout")).toEqual([
      { key: "pr-7", owner: "pr-7" },
      { key: "release-42", owner: "pr-7" },
    ]);
    expect(claimsOf(shopTable, "payments")).toEqual([
      { key: "pr-9", owner: "pr-9" },
      { key: "release-42", owner: "pr-9" },
    ]);
    expect(claimsOf(shopTable, "nobody")).toEqual([]);
  });

  test("the rule of a large table comes in slices", () => {
    const sandboxes = Object.fromEntries(
      Array.from({ length: 2500 }, (_, i) => [`pr-${i}`, { services: { [i % 2 === 0 ? "a" : "b"]: ["10.0.0.1:80"] } }]),
    );
    const table = new CompiledTable(compile(documentOf({ services: {}, sandboxes }), seed), 1, "");
    const slices = [...ownershipRule(table, "a")];
    expect(slices.map((slice) => slice.length)).toEqual([250, 250, 250, 250, 250]);
    expect(slices.flat().every(({ key, owner }) => key === owner && Number(key.slice(3)) % 2 === 0)).toBe(true);
  });
});

const services = ["worker", "mail", "constructor", "ghost"];
const service = fc.constantFrom(...services);
const sandboxNames = ["pr-1", "pr-12", "PR-1", "valueOf"];
const key = fc.constantFrom("k", "K", "k ey", "käse", "pr-1", "g");
const sentKey = fc.option(fc.oneof(key, fc.constantFrom(...sandboxNames, "g", "g-1", "", "pr-", "nobody")), {
  nil: undefined,
});

const twoPorts = { http: ["10.0.0.1:80"], grpc: ["10.0.0.1:90"] };
const table = fc
  .record({
    // `ghost` is only known when a sandbox has it; `mail` has two ports.
    sandboxes: fc.dictionary(
      fc.constantFrom(...sandboxNames),
      fc.record({ key: fc.option(key, { nil: undefined }), services: fc.uniqueArray(service) }),
    ),
    groups: fc.dictionary(
      fc.constantFrom("g", "g-1"),
      fc.record({ key: fc.option(key, { nil: undefined }), members: fc.uniqueArray(fc.nat(3), { minLength: 1 }) }),
    ),
  })
  .map(({ sandboxes, groups }) => {
    const names = Object.keys(sandboxes);
    return documentOf({
      services: { worker: {}, mail: { ports: { http: 80, grpc: 90 } }, constructor: { baseline: ["10.0.0.9:80"] } },
      sandboxes: Object.fromEntries(
        Object.entries(sandboxes).map(([name, { key: own, services: changed }]) => [
          name,
          {
            ...(own === undefined ? {} : { key: own }),
            services: Object.fromEntries(changed.map((one) => [one, one === "mail" ? twoPorts : ["10.0.0.2:80"]])),
          },
        ]),
      ),
      groups: Object.fromEntries(
        Object.entries(groups).flatMap(([name, { key: own, members }]) => {
          const chosen = members.flatMap((index) => names[index] ?? []);
          return chosen.length === 0 ? [] : [[name, { ...(own === undefined ? {} : { key: own }), sandboxes: chosen }]];
        }),
      ),
    });
  })
  .filter((document) => validate(document).problems.length === 0)
  .map((document) => new CompiledTable(compile(document, seed), 1, ""));

/** To whose app an inbound sidecar beside `instance`, on a port of the service, gives a request. */
function decidedFor(compiled: CompiledTable, instance: string, name: string, port: number, target: number): string {
  const id = compiled.serviceByName(name);
  const self = instance !== BASELINE;
  const policy = { direction: "inbound", self, onUnknownKey: "baseline", service: name } as const;
  return decide(compiled, self ? { ...policy, sandbox: instance } : policy, id, port, target).destination;
}

test("exactly one instance handles a message: the one at which a request with its key ends", () => {
  fc.assert(
    fc.property(
      table,
      service,
      sentKey,
      fc.uniqueArray(fc.constantFrom(...sandboxNames)),
      (compiled, name, sent, others) => {
        const { owner, reason } = ownerOf(compiled, name, sent);
        const bytes = Buffer.from(sent ?? "");
        const target = sent === undefined ? NO_KEY : compiled.findTarget(bytes, 0, bytes.length);
        const id = compiled.serviceByName(name);
        const ports =
          id === NO_SERVICE ? [-1] : compiled.portNames(id).map((port) => compiled.servicePortByName(id, port));
        const claims = claimsOf(compiled, name);
        for (const port of ports) {
          // Through the baseline's sidecar, and where it sends it on, through the sandbox's own.
          const first = decidedFor(compiled, BASELINE, name, port, target);
          expect(first).toBe(owner);
          if (first !== BASELINE) expect(decidedFor(compiled, first, name, port, target)).toBe(first);
          expect(
            decide(compiled, { direction: "inbound", self: false, onUnknownKey: "baseline" }, id, port, target).reason,
          ).toBe(reason);
        }
        // Any set of instances in which the owner is one; those of sandboxes that are gone or lack the service own nothing.
        const instances = new Set([BASELINE, owner, ...others]);
        const handling = [...instances].filter((instance) => instance === owner);
        const byRule = [...instances].filter((instance) => {
          if (instance === BASELINE) return !claims.some((claim) => claim.key === sent);
          return claims.some((claim) => claim.key === sent && claim.owner === instance);
        });
        expect(handling).toEqual([owner]);
        expect(byRule).toEqual([owner]);
      },
    ),
    { numRuns: 1000 },
  );
});
