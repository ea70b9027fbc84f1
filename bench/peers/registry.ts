import { readFileSync } from "node:fs";
import { projectFile } from "../project.ts";
import { haproxy } from "./haproxy.ts";
import { nghttpx } from "./nghttpx.ts";
import { nginx } from "./nginx.ts";
import type { Peer } from "./peer.ts";
import { sidelane } from "./sidelane.ts";

export const peerNames = [
  "sidelane",
  "haproxy",
  "nginx",
  "nghttpx",
  "node-undici",
  "node-undici-tuned",
  "node-http2",
  "node-upgrade",
] as const;
export type PeerName = (typeof peerNames)[number];

/** A proxy on the libraries of the platform, one file each. */
function nodePeer(name: "node-undici" | "node-undici-tuned" | "node-http2" | "node-upgrade"): Peer {
  return {
    name,
    needs: [],
    hasRule: true,
    version() {
      const node = `Node ${process.versions.node}`;
      return name.startsWith("node-undici") ? `undici ${undiciVersion()}, ${node}` : node;
    },
    command({ port, backends }) {
      const main = projectFile(`bench/peers/${name}.ts`);
      return [process.execPath, main, String(port), String(backends.baseline), String(backends.sandbox)];
    },
  };
}

function undiciVersion(): string {
  const manifest = readFileSync(projectFile("node_modules/undici/package.json"), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}

/** @param sidelaneCommand see `sidelane`. */
export function peer(name: PeerName, sidelaneCommand: readonly string[] | undefined): Peer {
  switch (name) {
    case "sidelane":
      return sidelane(sidelaneCommand);
    case "haproxy":
      return haproxy;
    case "nginx":
      return nginx;
    case "nghttpx":
      return nghttpx;
    case "node-undici":
    case "node-undici-tuned":
    case "node-http2":
    case "node-upgrade":
      return nodePeer(name);
  }
}
