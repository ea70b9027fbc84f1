// WebSocket over an HTTP/1.1 upgrade: small messages, echoed.

import { startWebsocketBackends } from "../backends.ts";
import { runProgram } from "../load/load-result.ts";
import { answerFrame } from "../load/websocket-frames.ts";
import { verifyWebsocket } from "../verify-websocket.ts";
import type { Scenario, Suite } from "./suite.ts";

const connections = 64;

const echo: Scenario = {
  name: "echo",
  title: `WebSocket over HTTP/1.1, ${connections} connections, a message each under way`,
  unit: "message",
  isQuick: true,
  isSteady: false,
  // The load waits for its last messages.
  inFlight: 0,
  destination: "sandbox",
  answerBytes: answerFrame.length,
  run: async ({ core, port, seconds }) =>
    runProgram(core, "bench/load/websocket-load.ts", [port, connections, seconds]),
};

export const websocket: Suite = {
  traffic: "websocket",
  peers: ["sidelane", "haproxy", "nginx", "node-upgrade"],
  needs: [],
  method: "load and backends: raw sockets, text messages of 100 bytes, all handshakes with the key",
  versions: () => [],
  startBackends: startWebsocketBackends,
  verify: verifyWebsocket,
  scenarios: () => [echo],
  firstWarmUp: echo,
};
