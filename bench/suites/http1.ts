// HTTP/1.1, small answers.

import { startNginxBackends } from "../backends.ts";
import { loadHeads } from "../load/requests.ts";
import { runWrk, wrkVersion } from "../load/wrk.ts";
import { tools } from "../tools.ts";
import { verifyHttp1 } from "../verify.ts";
import type { Scenario, Suite } from "./suite.ts";

const steadyConnections = 64;

function saturated(connections: number): Scenario {
  return {
    name: String(connections),
    title: `HTTP/1.1, ${connections} connection${connections === 1 ? "" : "s"}, as fast as the proxy answers`,
    unit: "request",
    isQuick: true,
    isSteady: false,
    // One per connection.
    inFlight: connections,
    destination: "half",
    answerBytes: undefined,
    run: async ({ workspace, core, port, seconds }) => runWrk(workspace, core, { port, connections, seconds }),
  };
}

function steady(ratePerSecond: number): Scenario {
  return {
    ...saturated(steadyConnections),
    name: "steady",
    title: `HTTP/1.1, ${steadyConnections} connections at a steady rate below saturation`,
    isSteady: true,
    run: async ({ workspace, core, port, seconds }) =>
      runWrk(workspace, core, { port, connections: steadyConnections, seconds, ratePerSecond }),
  };
}

export const http1: Suite = {
  traffic: "http1",
  peers: ["sidelane", "haproxy", "nginx", "node-undici", "node-undici-tuned"],
  needs: [tools.wrk, tools.nginx],
  method:
    `load: wrk, keep-alive, heads of ${loadHeads.sandbox.length} bytes, half of them with the key; ` +
    "backends: nginx, static answer",
  versions: () => [wrkVersion()],
  startBackends: startNginxBackends,
  verify: verifyHttp1,
  scenarios: ({ connections, rate }) => [...connections.map(saturated), ...(rate > 0 ? [steady(rate)] : [])],
  firstWarmUp: saturated(64),
};
