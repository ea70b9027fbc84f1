// The table of DESIGN §3.3, for the tests of this folder.

import { compile } from "./compile.ts";
import { CompiledTable } from "./compiled-table.ts";
import type { ServiceDocument, TableDocument } from "./document.ts";
import type { RoutePolicy } from "./decide.ts";

/** A document as a file would give it: each part may be left out, and a service be empty. */
export function documentOf(parts: {
  readonly services?: Readonly<Record<string, ServiceDocument | null>>;
  readonly sandboxes?: TableDocument["sandboxes"];
  readonly groups?: TableDocument["groups"];
}): TableDocument {
  const { services = {}, sandboxes = {}, groups = {} } = parts;
  const declared = Object.entries(services).map(([name, service]) => [name, service ?? {}]);
  return { services: Object.fromEntries(declared) as TableDocument["services"], sandboxes, groups };
}

export const shop: TableDocument = documentOf({
  services: {
    checkout: { hosts: ["checkout", "checkout.shop.svc.cluster.local"], baseline: ["checkout:8080"] },
    ledger: {
      ports: { http: 8080, grpc: 9090 },
      baseline: { http: ["ledger:8080"], grpc: ["ledger:9090"] },
    },
  },
  sandboxes: {
    "pr-7": {
      services: {
        checkout: ["10.0.0.7:8080"],
        ledger: { http: ["10.0.0.8:8080"], grpc: ["10.0.0.8:9090"] },
      },
    },
    "pr-9": { services: { payments: ["10.0.0.9:8080", "10.0.0.10:8080"] } },
  },
  groups: { "release-42": { sandboxes: ["pr-7", "pr-9"] } },
});

export const seed = { low: 0x01234567, high: 0x89abcdef | 0 };
export const shopTable: CompiledTable = new CompiledTable(compile(shop, seed), 3, "0123456789ab");

export const outbound: RoutePolicy = { direction: "outbound", self: false, onUnknownKey: "baseline" };
export const inbound: RoutePolicy = { ...outbound, direction: "inbound", service: "checkout" };
export const ownCopy: RoutePolicy = { ...inbound, self: true, sandbox: "pr-7" };
