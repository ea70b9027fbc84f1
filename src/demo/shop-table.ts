import { createHash } from "node:crypto";
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** What the demo's table says: addresses are `host:port`. */
export interface ShopTable {
  /** Where the sidecars of services listen that others call by name, through their outbound listeners. */
  readonly called: { readonly front: string; readonly checkout: string; readonly recommend: string };
  /** For each sandbox the service it changes and where its copy's sidecar listens. */
  readonly sandboxes: readonly { readonly name: string; readonly service: string; readonly endpoint: string }[];
  /** Members of the group `release-42`. */
  readonly release42: readonly string[];
}

/** Path of the table in the demo's directory. */
export function tablePath(directory: string): string {
  return join(directory, "routes.yaml");
}

/** Writes the table as an editor does, under another name and renamed, and returns its digest as the sidecars report it. */
export function writeTable(directory: string, table: ShopTable): string {
  const path = tablePath(directory);
  const text = renderTable(table);
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
  return createHash("sha256").update(text).digest("hex").slice(0, 12);
}

function renderTable({ called, sandboxes, release42 }: ShopTable): string {
  const lines = [
    "# The routing table of the demo. Edit it while the demo runs: all sidecars take it over at once.",
    "services: # those with a baseline are called by their name, through the caller's outbound listener",
    `  front: { baseline: [${called.front}] }`,
    `  checkout: { baseline: [${called.checkout}] }`,
    "  pricing:",
    `  recommend: { baseline: [${called.recommend}] }`,
    "  till:",
  ];
  if (sandboxes.length > 0) lines.push("sandboxes:");
  for (const { name, service, endpoint } of sandboxes) {
    lines.push(`  ${name}:`, "    services:", `      ${service}: [${endpoint}]`);
  }
  if (release42.length > 0) {
    lines.push("groups:", `  release-42: { sandboxes: [${release42.join(", ")}] }`);
  }
  return `${lines.join("\n")}\n`;
}
