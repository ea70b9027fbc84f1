import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { routingMember } from "../load/requests.ts";
import { runToEnd } from "../processes.ts";
import { projectFile } from "../project.ts";
import type { Peer, PeerSetup } from "./peer.ts";

/**
 * Sidelane as it is shipped: built, and with everything on that is on by default.
 *
 * @param command what to run instead of the build output; `--config FILE` is appended.
 */
export function sidelane(command: readonly string[] | undefined): Peer {
  return {
    name: "sidelane",
    needs: [],
    hasRule: true,
    version() {
      const manifest = JSON.parse(readFileSync(projectFile("package.json"), "utf8")) as { version: string };
      return `Sidelane ${manifest.version}, Node ${process.versions.node}`;
    },
    async prepare() {
      if (command !== undefined) return;
      const build = existsSync(projectFile("scripts/build.ts"))
        ? [process.execPath, projectFile("scripts/build.ts")]
        : [projectFile("node_modules/.bin/tsc"), "-p", projectFile("tsconfig.build.json")];
      await runToEnd(build);
    },
    command(setup) {
      return [...sidelaneCommand(command), "--config", writeSidelaneConfig(setup)];
    },
  };
}

/** What runs a sidecar: executed by its first line, as an installed `sidelane` and the image are, where the flags of Node stand. */
export function sidelaneCommand(command: readonly string[] | undefined): readonly string[] {
  return command ?? [projectFile("dist/main.js"), "proxy"];
}

/** Writes `sidelane.yaml` and `routes.yaml` and returns the path of the first. */
export function writeSidelaneConfig(setup: Omit<PeerSetup, "traffic">): string {
  const { workspace, port, adminPort, backends } = setup;
  const file = join(workspace.directory, "sidelane.yaml");
  writeFileSync(
    join(workspace.directory, "routes.yaml"),
    `services:
  checkout:
    hosts: [checkout, checkout.shop.svc.cluster.local]
    baseline: ["127.0.0.1:${backends.baseline}"]
sandboxes:
  ${routingMember.value}:
    services:
      checkout: ["127.0.0.1:${backends.sandbox}"]
`,
  );
  writeFileSync(
    file,
    `service: checkout
listeners:
  - name: inbound
    direction: inbound
    address: 127.0.0.1:${port}
    target: 127.0.0.1:${backends.baseline}
table:
  file: ${join(workspace.directory, "routes.yaml")}
tenancy:
  carriers:
    - baggage: ${routingMember.name}
admin:
  address: 127.0.0.1:${adminPort}
`,
  );
  return file;
}
