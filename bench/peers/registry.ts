import { readFileSync } from "node:fs";
import { projectFile } from "../project.ts";
import { haproxy } from "./haproxy.ts";
import { nginx } from "./nginx.ts";
import type { Peer } from "./peer.ts";
import { sidelane } from "./sidelane.ts";

export const peerNames = ["sidelane", "haproxy", "nginx", "node-undici", "node-undici-tuned"] as const;
export type PeerName = (typeof peerNames)[number];

/** The two libraries of the platform: as usually written, and with every trick of their public interfaces. */
function nodeUndici(name: "node-undici" | "node-undici-tuned"): Peer {
  return {
    name,
    needs: [],
    version() {
      const manifest = JSON.parse(readFileSync(projectFile("node_modules/undici/package.json"), "utf8")) as {
        version: string;
      };
      return `undici ${manifest.version}, Node ${process.versions.node}`;
    },
    command({ port, backends }) {
      const main = projectFile(`bench/peers/${name}.ts`);
      return [process.execPath, main, String(port), String(backends.baseline), String(backends.sandbox)];
    },
  };
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
    case "node-undici":
    case "node-undici-tuned":
      return nodeUndici(name);
  }
}
