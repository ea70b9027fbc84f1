import { describe, expect, test } from "vitest";
import { aliasCarriers, aliasNames } from "./aliases.ts";

/** Where each system carries its keys, by the systems' own documentation. */
const systems: Readonly<Record<string, readonly string[]>> = {
  signadot: [
    "baggage: sd-routing-key",
    "tracestate: sd-routing-key",
    "header: ot-baggage-sd-routing-key",
    "header: uberctx-sd-routing-key",
  ],
  mirrord: ["baggage: mirrord-session", "query: mirrord-session", "cookie: mirrord-session"],
  okteto: ["baggage: okteto-divert", "header: x-okteto-divert"],
  "bridge-to-kubernetes": ["header: kubernetes-route-as", "header: azds-route-as"],
  ktenv: ["header: x-virtual-env"],
  nocalhost: ["header: uberctx-trace", "header: baggage-trace"],
  uber: ["baggage: request-tenancy", "header: uberctx-request-tenancy"],
};

test("every system has an alias, and no other", () => {
  expect(aliasNames).toEqual(Object.keys(systems));
});

describe.each(Object.entries(systems))("%s", (name, places) => {
  test("stands for all of its members and headers, which propagate", () => {
    const carriers = aliasCarriers(name) ?? [];
    expect(carriers.map((carrier) => `${carrier.kind}: ${carrier.name}`)).toEqual(places);
    for (const carrier of carriers) expect(carrier).toMatchObject({ alias: name, propagate: true, remember: "" });
  });

  test("propagates nothing when told so", () => {
    expect(aliasCarriers(name, false)?.some(({ propagate }) => propagate)).toBe(false);
  });
});

test("only the keys of KtEnv fall back level by level", () => {
  const withLevels = aliasNames.filter((name) => aliasCarriers(name)?.some(({ levels }) => levels));
  expect(withLevels).toEqual(["ktenv"]);
});

test("names that objects inherit are none", () => {
  for (const name of ["", "constructor", "Signadot"]) expect(aliasCarriers(name)).toBeUndefined();
});
