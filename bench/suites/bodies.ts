// Bodies of 1 MiB over HTTP/2, both ways: what a byte costs, and whether credit keeps up with the link.

import { Buffer } from "node:buffer";
import { startHttp2Backends } from "../backends.ts";
import { h2loadVersion, runH2Load } from "../load/h2load.ts";
import { largeBodyBytes } from "../load/http2-requests.ts";
import { backendBody } from "../load/requests.ts";
import { tools } from "../tools.ts";
import { verifyBodies } from "../verify-http2.ts";
import type { Scenario, Suite } from "./suite.ts";

function load(direction: "download" | "upload", connections: number, streams: number, isQuick: boolean): Scenario {
  const uploads = direction === "upload";
  return {
    name: `${direction}-${connections}x${streams}`,
    title: `HTTP/2, ${direction}s of 1 MiB, ${connections} x ${streams} (connections x streams)`,
    unit: "MiB",
    isQuick,
    isSteady: false,
    // h2load waits for its last answers.
    inFlight: 0,
    destination: "sandbox",
    answerBytes: uploads ? Buffer.byteLength(backendBody("sandbox")) : largeBodyBytes,
    run: async ({ workspace, core, port, seconds }) =>
      runH2Load(workspace, core, { port, connections, streams, seconds, isCounted: true, uploads }),
  };
}

const scenarios = [
  load("download", 1, 1, true),
  load("download", 4, 4, false),
  load("upload", 1, 1, false),
  load("upload", 4, 4, true),
] as const;

export const bodies: Suite = {
  traffic: "http2",
  peers: ["sidelane", "haproxy", "nghttpx", "node-http2"],
  needs: [tools.h2load],
  method: "load: h2load, prior knowledge; backends: raw frames, 16 KiB of data each",
  versions: () => [h2loadVersion()],
  startBackends: async (workspace, core) => startHttp2Backends(workspace, core, "bodies"),
  verify: verifyBodies,
  scenarios: () => scenarios,
  firstWarmUp: scenarios[0],
};
