// Whatever a request looks like and wherever its sidecars look for keys: it reaches whom a naive reading says (model.ts), and what
// arrives is what was sent but for what that reading changes.
import fc from "fast-check";
import { expect, test } from "vitest";
import { type Sidecar, startSidecar } from "../support/sidecar.ts";
import { type Kind, type ModelCarrier, type ModelConfig, type ModelRequest, comparable, step } from "./model.ts";
import { type Field, describeVersions, startWorld } from "./world.ts";

const KNOWN = ["checkout", "pr-7--known"];
const places: readonly (readonly [kind: Kind, name: string])[] = [
  ["baggage", "sidelane"],
  ["baggage", "tenant"],
  ["tracestate", "sidelane"],
  ["header", "x-sandbox"],
  ["host", "{key}--*"],
  ["query", "sidelane"],
  ["cookie", "sidelane"],
];

const carriers = fc
  .shuffledSubarray([...places], { minLength: 1 })
  .chain((some) =>
    fc.tuple(...some.map(([kind, name]) => fc.boolean().map((propagate): ModelCarrier => ({ kind, name, propagate })))),
  );

const list = (separators: readonly string[], ...elements: readonly string[]): fc.Arbitrary<string> =>
  fc.array(fc.tuple(fc.constantFrom(...elements), fc.constantFrom(...separators)), { maxLength: 5 }).map((parts) =>
    parts
      .map(([element, separator], i) => (i === 0 ? element : separator + element))
      .join("")
      .trim(),
  );

const baggage = list(
  [",", ", ", " ,\t"],
  ...["a=1", "b=x%2Cy;p=1 ; q", "z", "", "Sidelane=pr-7", "xsidelane=pr-7", "sidelane=pr-7", "sidelane = pr-8 ;x=1"],
  ...[
    "sidelane=",
    "sidelane",
    "sidelane=%70r-7;y",
    "side%6Cane=pr-8",
    "tenant=pr-8",
    "tenant=pr-7 ; t=2",
    "sidelane=gone",
  ],
);
const field: fc.Arbitrary<Field> = fc.oneof(
  fc.tuple(fc.constantFrom("baggage", "Baggage"), baggage),
  fc.tuple(fc.constant("tracestate"), list([",", ", "], "t=1", "u=a:b", "sidelane=pr-7", "sidelane=pr-8")),
  fc.tuple(
    fc.constantFrom("cookie", "Cookie"),
    list(
      ["; ", ";"],
      "c=1",
      'd="2"',
      "sidelane=pr-7",
      'sidelane="pr-8"',
      "sidelane=",
      "sidelane=%70r-7",
      "Sidelane=pr-7",
    ),
  ),
  fc.tuple(fc.constantFrom("x-sandbox", "X-Sandbox"), fc.constantFrom("", "pr-7", "pr-8", "gone")),
  fc.tuple(
    fc.constantFrom("x-a", "X-B", "x-sandboxes"),
    fc.constantFrom("", "1", "sidelane=pr-7", 'a, b;c="d"', "caf\u00e9"),
  ),
);
const target = fc.tuple(
  fc.constantFrom("/", "/a/sidelane=pr-7", "/%20"),
  fc.array(
    fc.constantFrom(
      "a=1",
      "b",
      "",
      "sidelane=pr-7",
      "sidelane=pr-8",
      "s%69delane=%70r-7",
      "sidelane=",
      "sidelane",
      "c=+",
    ),
    {
      maxLength: 4,
    },
  ),
);
const targetText = target.map(([path, pairs]) => (pairs.length === 0 ? path : `${path}?${pairs.join("&")}`));

const requestTo = (...hosts: readonly string[]): fc.Arbitrary<ModelRequest> =>
  fc.record({ host: fc.constantFrom(...hosts), target: targetText, fields: fc.array(field, { maxLength: 8 }) });

const inConfig = ({ kind, name, propagate }: ModelCarrier): object => ({ [kind]: name, propagate });

const table = (names: Readonly<Record<string, string>>): object => ({
  services: { checkout: { hosts: KNOWN } },
  sandboxes: {
    "pr-7": { services: { checkout: [names["pr-7"]] } },
    "pr-8": { services: { checkout: [names["pr-8"]] } },
  },
});

const tenancyOf = ({ carriers: inside, edge }: ModelConfig): object => ({
  carriers: inside.map(inConfig),
  ...(edge === undefined ? {} : { edge: { carriers: edge.map(inConfig) } }),
});

const config: fc.Arbitrary<ModelConfig> = fc.record({
  carriers,
  edge: fc.option(fc.oneof(carriers, fc.constant([])), { nil: undefined }),
});

/** A sidecar on the way to `next`, which is the only one to be asked. */
function startCaller(carriersThere: readonly ModelCarrier[], next: Sidecar): Promise<Sidecar> {
  const there = [`127.0.0.1:${next.port()}`];
  return startSidecar({
    service: "shop",
    listeners: [{ name: "outbound", direction: "outbound", address: "127.0.0.1:0" }],
    tenancy: { carriers: carriersThere.map(inConfig) },
    table: {
      services: { checkout: { hosts: KNOWN, baseline: there } },
      sandboxes: { "pr-7": { services: { checkout: there } }, "pr-8": { services: { checkout: there } } },
    },
  });
}

const whoHas = (key: string): string => (key === "pr-7" || key === "pr-8" ? key : "app");

describeVersions("a request of any kind", (version) => {
  test("through one sidecar, at the edge or not", { timeout: 120_000 }, async () => {
    const hosts = [
      "checkout",
      "Checkout:8080",
      "pr-7--checkout",
      "PR-8--other.example:1",
      "a--pr-8--x.y",
      "pr-7--known",
      "xn--a.b",
      "[::1]:2",
    ];
    await fc.assert(
      fc.asyncProperty(
        config,
        fc.array(requestTo(...hosts), { minLength: 1, maxLength: 20 }),
        async (made, requests) => {
          const world = await startWorld(version, {
            inbound: { edge: made.edge !== undefined },
            tenancy: tenancyOf(made),
            table,
          });
          for (const request of requests) {
            const { arrived, reason } = await world.ask(request);
            const wanted = step(made, request, KNOWN);
            expect({ reason, who: arrived?.who, ...comparable(arrived ?? request) }).toEqual({
              reason: "",
              who: whoHas(wanted.key),
              ...comparable(wanted.request),
            });
          }
          await world.sidecar.close();
        },
      ),
      { numRuns: 25 },
    );
  });

  test("through two in a row", { timeout: 120_000 }, async () => {
    const requests = fc.array(requestTo("checkout", "CHECKOUT:80", "pr-7--known"), { minLength: 1, maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(carriers, config, requests, async (first, second, sent) => {
        const world = await startWorld(version, {
          inbound: { edge: second.edge !== undefined },
          tenancy: tenancyOf(second),
          table,
        });
        const caller = await startCaller(first, world.sidecar);
        for (const request of sent) {
          const { arrived, reason } = await world.ask({ ...request, listener: "outbound" }, caller);
          const between = step({ carriers: first, edge: undefined }, request, KNOWN);
          const wanted = step(second, between.request, KNOWN);
          expect({ reason, who: arrived?.who, ...comparable(arrived ?? request) }).toEqual({
            reason: "",
            who: whoHas(wanted.key),
            ...comparable(wanted.request),
          });
        }
        await Promise.all([world.sidecar.close(), caller.close()]);
      }),
      { numRuns: 20 },
    );
  });
});
