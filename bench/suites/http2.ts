// HTTP/2 with prior knowledge on both sides, small answers: few connections with many streams, many with one, one with many.

import { Buffer } from "node:buffer";
import { startHttp2Backends } from "../backends.ts";
import { h2loadVersion, runH2Load } from "../load/h2load.ts";
import { backendBody } from "../load/requests.ts";
import { tools } from "../tools.ts";
import { verifyHttp2 } from "../verify-http2.ts";
import type { Scenario, Suite } from "./suite.ts";

function load(connections: number, streams: number, isQuick: boolean): Scenario {
  return {
    name: `${connections}x${streams}`,
    title: `HTTP/2, small answers, ${connections} x ${streams} (connections x streams)`,
    unit: "request",
    isQuick,
    isSteady: false,
    inFlight: connections * streams,
    destination: "sandbox",
    answerBytes: Buffer.byteLength(backendBody("sandbox")),
    run: async ({ workspace, core, port, seconds }) =>
      runH2Load(workspace, core, { port, connections, streams, seconds, isCounted: false, uploads: false }),
  };
}

const scenarios = [load(8, 16, true), load(64, 1, true), load(1, 100, false)] as const;

export const http2: Suite = {
  traffic: "http2",
  peers: ["sidelane", "haproxy", "nghttpx", "node-http2"],
  needs: [tools.h2load],
  method: "load: h2load, prior knowledge, 13 fields, all requests with the key; backends: raw frames, static answer",
  versions: () => [h2loadVersion()],
  startBackends: async (workspace, core) => startHttp2Backends(workspace, core, "small"),
  verify: verifyHttp2,
  scenarios: () => scenarios,
  firstWarmUp: scenarios[0],
};
