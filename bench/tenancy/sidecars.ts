// The sidecars of the group `tenancy`: the one of the other suites with everything off, and one for each feature, on its own.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { keyOf } from "../../src/protocol/signed-key/testing.ts";
import { signKey } from "../../src/protocol/signed-key/sign-key.ts";
import type { BackendPorts } from "../backends.ts";

/** Where a sidecar listens, and what it needs beside. */
export interface SidecarSetup {
  /** A folder of its own. */
  readonly directory: string;
  readonly inbound: number;
  readonly outbound: number;
  readonly admin: number;
  readonly backends: BackendPorts;
  /** Port that takes spans by OTLP over HTTP. */
  readonly collector: number;
}

interface Change {
  readonly journal?: true;
  readonly repair?: "off" | "report" | "restore";
  readonly tenancy?: object;
  readonly inbound?: object;
  readonly outbound?: object;
  readonly spans?: true;
}

const secret = "0123456789abcdef0123456789abcdef";
const tokenHours = 24;

/** A key as its issuer signs it. */
export function signedToken(): string {
  const expiresAtSeconds = Math.floor(Date.now() / 1000) + tokenHours * 3600;
  return signKey({ key: "pr-7", expiresAtSeconds, by: keyOf("k1", "hmac", secret) });
}

const baggage = { baggage: "sidelane" };

/** What each changes; everything else of tenancy is off. */
const changes = {
  off: {},
  default: { journal: true, repair: "report" },
  journal: { journal: true },
  report: { repair: "report" },
  restore: { repair: "restore" },
  stamp: { tenancy: { stamp: "pr-7" } },
  query: { tenancy: { carriers: [baggage, { query: "sidelane" }] } },
  cookie: { tenancy: { carriers: [baggage, { cookie: "sidelane" }] } },
  host: { tenancy: { carriers: [baggage, { host: "{key}--*" }] } },
  edge: { inbound: { edge: true } },
  signed: {
    inbound: { edge: true },
    tenancy: {
      edge: {
        carriers: [{ query: "sidelane" }],
        signedBy: [{ id: "k1", algorithm: "hmac", file: "./k1.secret" }],
      },
    },
  },
  keep: { outbound: { egress: "keep" } },
  spans: { spans: true },
} as const satisfies Record<string, Change>;

export type SidecarName = keyof typeof changes;

/** Writes the files of a sidecar and returns the path of its config. */
export function writeSidecar(name: SidecarName, setup: SidecarSetup): string {
  const { directory, backends } = setup;
  const { journal, repair = "off", tenancy, inbound, outbound, spans }: Change = changes[name];
  const endpoint = (port: number): string[] => [`127.0.0.1:${port}`];
  const routes = {
    services: {
      checkout: {
        hosts: ["checkout", "checkout.shop.svc.cluster.local"],
        baseline: endpoint(backends.baseline),
      },
    },
    sandboxes: { "pr-7": { services: { checkout: endpoint(backends.sandbox) } } },
  };
  const config = {
    service: "checkout",
    listeners: [
      {
        name: "inbound",
        direction: "inbound",
        address: `127.0.0.1:${setup.inbound}`,
        target: `127.0.0.1:${backends.baseline}`,
        ...inbound,
      },
      { name: "outbound", direction: "outbound", address: `127.0.0.1:${setup.outbound}`, ...outbound },
    ],
    table: { file: join(directory, "routes.yaml") },
    tenancy: { carriers: [baggage], repair, ...tenancy },
    ...(journal === true ? {} : { limits: { journalEntriesMax: 0 } }),
    ...(spans === true ? { spans: { endpoint: `http://127.0.0.1:${setup.collector}/v1/traces` } } : {}),
    admin: { address: `127.0.0.1:${setup.admin}` },
  };
  // JSON is YAML.
  writeFileSync(join(directory, "routes.yaml"), JSON.stringify(routes));
  writeFileSync(join(directory, "k1.secret"), secret, { mode: 0o600 });
  const file = join(directory, "sidelane.yaml");
  writeFileSync(file, JSON.stringify(config, null, 2));
  return file;
}
