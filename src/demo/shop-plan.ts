import { join } from "node:path";
import { tablePath } from "./shop-table.ts";
import { secretPath } from "./share-link.ts";

/** The services in the order in which a request passes them. */
export const services = ["front", "checkout", "pricing", "recommend"] as const;
/** Name of a service of the shop. */
export type Service = (typeof services)[number];

/** One instance: which service, which of its copies, and what is particular about it. */
export interface Plan {
  /** One of `services`, or one that only a scene needs. */
  readonly service: string;
  /** `baseline`, the sandbox, or what else tells this copy from others. */
  readonly instance: string;
  /** The app's environment: what a sandbox's build changes. Absent: an app that is not always there, and listens nowhere. */
  readonly env?: Readonly<Record<string, string>>;
  /** Whether it calls others through its sidecar. */
  readonly outbound?: boolean;
  /** Further lines of the sidecar's config. */
  readonly config?: readonly string[];
}

/** The shared instances. */
export const baselinePlans: readonly Plan[] = services.map((service) => ({
  service,
  instance: "baseline",
  env: {},
  outbound: service === "front",
}));

/** What sandboxes have changed, one service each. */
export const sandboxPlans: readonly Plan[] = [
  { service: "checkout", instance: "pr-7", env: { GIFT_WRAP: "yes" }, config: ["sandbox: pr-7"] },
  { service: "pricing", instance: "pr-9", env: { DISCOUNT_PERCENT: "10" }, config: ["sandbox: pr-9"] },
  { service: "recommend", instance: "pr-11", env: { FIRST_THOUGHT: "lemon" }, config: ["sandbox: pr-11"] },
];

/** Who takes part in scenes beyond one request. */
export const scenePlans: readonly Plan[] = [
  // The till loses the key: twice the same app, and two ways to look at it. `report` is the default.
  { service: "till", instance: "reported", env: {}, outbound: true, config: ["tenancy: { repair: report }"] },
  { service: "till", instance: "restored", env: {}, outbound: true, config: ["tenancy: { repair: restore }"] },
  // The nightly job, which nobody calls: the shared one, and the one of whoever works on pr-7.
  { service: "nightly", instance: "baseline", outbound: true },
  { service: "nightly", instance: "pr-7", outbound: true, config: ["tenancy: { stamp: pr-7 }"] },
];

/** The config of the sidecar beside an app on this port of the loopback address. */
export function sidecarConfig(directory: string, plan: Plan, appPort: number | undefined): string {
  const { service, config = [], outbound = false } = plan;
  const lines = [`service: ${service}`, ...config, "listeners:"];
  const inbound = `direction: inbound, address: 127.0.0.1:0, target: 127.0.0.1:${appPort}`;
  if (appPort !== undefined) lines.push(`  - { name: inbound, ${inbound} }`);
  if (outbound) lines.push("  - { name: outbound, direction: outbound, address: 127.0.0.1:0 }");
  if (service === "front") lines.push(`  - { name: edge, edge: true, ${inbound} }`, ...edgeLines(directory));
  lines.push(
    `table: { file: ${JSON.stringify(tablePath(directory))} }`,
    "admin: { address: 127.0.0.1:0 }",
    "timeouts: { drainMs: 1000, lostKeyLogMs: 1 }", // each loss is logged: a scene can be played again at once
  );
  return `${lines.join("\n")}\n`;
}

/** What the world may say at the edge: a signed link, and the cookie that remembers it. */
function edgeLines(directory: string): readonly string[] {
  return [
    "tenancy:",
    "  edge:",
    "    carriers: [{ query: sidelane, remember: sidelane }, { cookie: sidelane }]",
    `    signedBy: [{ id: k1, algorithm: hmac, file: ${JSON.stringify(secretPath(directory))} }]`,
  ];
}

/** Where the config of a sidecar is. */
export function configPath(directory: string, { service, instance }: Plan): string {
  return join(directory, `${service}.${instance}.yaml`);
}
