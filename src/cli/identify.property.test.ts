import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadConfig } from "../config/load-config.ts";
import { formatProblem } from "../config/problem.ts";
import type { ProxyConfig } from "../config/proxy-config.ts";
import { readSigningKey } from "../protocol/signed-key/read-signing-key.ts";
import { signKey } from "../protocol/signed-key/sign-key.ts";
import type { SigningKey } from "../protocol/signed-key/signing-key.ts";
import { KeyVerifier } from "../proxy/tenancy/key-verifier.ts";
import { Tenant } from "../proxy/tenancy/tenant.ts";
import { openTenancy } from "../proxy/tenancy/tenancy.ts";
import { compile } from "../routing/compile.ts";
import { CompiledTable } from "../routing/compiled-table.ts";
import { NO_KEY, NO_SERVICE } from "../routing/decide.ts";
import { documentOf, seed } from "../routing/fixture.ts";
import { Telemetry } from "../telemetry/metrics.ts";
import { hostHeader, viewOf } from "./asked-view.ts";
import { explainWith } from "./policy.ts";

// What `explain` says must be what the sidecar does: both are asked about the same requests.

const table = new CompiledTable(
  compile(
    documentOf({
      services: {
        checkout: { hosts: ["checkout.example.com"] },
        pricing: { hosts: ["pricing", "pr-9--known.example"] },
      },
      sandboxes: { "pr-7": { services: { checkout: ["a:1"] } }, dev: { services: { pricing: ["b:1"] } } },
    }),
    seed,
  ),
  1,
  "",
);

const secret = "0123456789abcdef0123456789abcdef";
const signer = readSigningKey("k1", "hmac", Buffer.from(secret)) as SigningKey;
const token = signKey({ key: "pr-7", expiresAtSeconds: 4_000_000_000, by: signer });
const expired = signKey({ key: "pr-7", expiresAtSeconds: 1_000_000_000, by: signer });

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sidelane-test-"));
  writeFileSync(join(folder, "k1.secret"), secret);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const carriers = [
  "{ baggage: sidelane }",
  "{ tracestate: sidelane }",
  "{ header: x-sandbox, propagate: true }",
  '{ host: "{key}--*" }',
  "{ query: sandbox }",
  "{ cookie: sandbox }",
  "{ alias: ktenv }",
  "{ alias: mirrord }",
];
const someCarriers = (minLength: number) => fc.shuffledSubarray(carriers, { minLength, maxLength: 4 });

const settings = fc.record({
  carriers: someCarriers(1),
  edgeCarriers: someCarriers(0),
  signed: fc.boolean(),
  stamp: fc.boolean(),
  edge: fc.boolean(),
  keep: fc.boolean(),
});

const key = fc.constantFrom("pr-7", "dev", "dev.shop.cart", "nobody", "pr-7;require=checkout", "", token, expired);
const field = fc
  .tuple(fc.constantFrom("baggage", "tracestate", "x-sandbox", "cookie", "x-virtual-env"), key)
  .map(([name, value]): readonly [string, string] => {
    const member = name === "cookie" ? `a=b; sandbox=${value}` : `a=b,sidelane=${value}`;
    return [name, name.startsWith("x-") ? value : member];
  });
const request = fc.record({
  host: fc.constantFrom(
    "checkout.example.com",
    "pr-7--checkout.example.com:80",
    "dev--pricing",
    "pr-9--known.example",
    "pr-7--x.org",
  ),
  headers: fc.array(field, { maxLength: 3 }),
  path: fc.option(
    key.map((value) => `/a?b=c&sandbox=${value}&mirrord-session=dev`),
    { nil: undefined },
  ),
  caller: fc.constantFrom("10.1.2.3", "203.0.113.9"),
});

type Settings = typeof settings extends fc.Arbitrary<infer T> ? T : never;

function configOf({ carriers: everywhere, edgeCarriers, signed, stamp, edge, keep }: Settings): ProxyConfig {
  // A token fits into no host.
  const fits = edgeCarriers.length > 0 && edgeCarriers.every((carrier) => !carrier.includes("host"));
  const signedBy = signed && fits ? "[{ id: k1, algorithm: hmac, file: k1.secret }]" : "[]";
  const trust = `{ callers: [10.0.0.0/8], carriers: [${edgeCarriers.join(", ")}], signedBy: ${signedBy} }`;
  const text = `service: checkout
listeners:
  - { direction: inbound, edge: ${edge}, address: "127.0.0.1:0", target: "127.0.0.1:8080" }
  - { direction: outbound, egress: ${keep ? "keep" : "strip"}, address: "127.0.0.1:0" }
table: { file: routes.yaml }
tenancy: { carriers: [${everywhere.join(", ")}], ${stamp ? "stamp: dev, " : ""}${edge ? `edge: ${trust}` : ""} }
`;
  const result = loadConfig(text, join(folder, "sidelane.yaml"), {});
  if (!result.ok) throw new Error(result.problems.map(formatProblem).join("\n"));
  return result.config;
}

test("explain finds the key that the sidecar finds, of every request at every listener", () => {
  fc.assert(
    fc.property(settings, fc.array(request, { minLength: 1, maxLength: 8 }), fc.boolean(), (how, requests, inbound) => {
      const config = configOf(how);
      const tenancy = openTenancy(config, {
        telemetry: new Telemetry({ sandboxLabelsMax: 1, processMetrics: false }),
        log: { debug() {}, info() {}, warn() {}, error() {} },
        logged: false,
        spans: undefined,
        verifier: config.tenancy.edge.signedBy.length === 0 ? undefined : new KeyVerifier([signer]),
      });
      const listener = config.listeners[inbound ? 0 : 1];
      if (listener === undefined) throw new Error("there are two listeners");
      const tenant = new Tenant(listener, tenancy);
      for (const { host, headers, path, caller } of requests) {
        const target = path === undefined ? {} : { path };
        const sent = [["host", host], ...headers] as const;
        const view = viewOf({ authority: hostHeader(sent) ?? "", headers: sent, ...target }, tenancy.watch);
        let found = tenant.identify(view, table, tenancy.callers.has(caller));
        const service = table.findService(view.hostBytes, tenant.hostStart, tenant.hostEnd);
        if (found === NO_KEY && tenant.recovers) {
          found = tenant.recover(view, table, service);
        }
        const isEdge = inbound && how.edge;
        const who = isEdge ? { caller } : {};
        const what = inbound ? { service: "checkout" } : { host };
        const explained = explainWith(config, table, { ...what, ...who, ...target, headers: sent });
        if (!explained.ok) throw new Error(explained.detail);
        const { explanation } = explained;
        const bytes = tenant.key.bytes.subarray(tenant.key.start, tenant.key.end);
        const isNone = tenant.keyFrom === "" || tenant.rejection !== "";
        expect(explanation.key).toBe(isNone ? null : Buffer.from(bytes).toString());
        expect(explanation.reason === "key-rejected").toBe(tenant.rejection !== "");
        if (!inbound && service !== NO_SERVICE) expect(explanation.service).toBe(table.serviceName(service));
      }
    }),
    { numRuns: 300 },
  );
});
