// Unary gRPC whose metadata changes with every call: what HPACK's dynamic table costs when it does not stand still.

import { startHttp2Backends } from "../backends.ts";
import { grpcAnswer } from "../load/http2-requests.ts";
import { runProgram } from "../load/load-result.ts";
import { verifyGrpc } from "../verify-http2.ts";
import type { Scenario, Suite } from "./suite.ts";

function load(connections: number, streams: number): Scenario {
  return {
    name: `${connections}x${streams}`,
    title: `gRPC, unary calls with metadata of their own, ${connections} x ${streams} (connections x streams)`,
    unit: "call",
    isQuick: true,
    isSteady: false,
    // The load waits for its last answers.
    inFlight: 0,
    destination: "sandbox",
    answerBytes: grpcAnswer("sandbox").length,
    run: async ({ core, port, seconds }) =>
      runProgram(core, "bench/load/grpc-load.ts", [port, connections, streams, seconds]),
  };
}

const unary = load(8, 16);

export const grpc: Suite = {
  traffic: "http2",
  peers: ["sidelane", "haproxy", "nghttpx", "node-http2"],
  needs: [],
  method:
    "load: raw frames, HPACK with incremental indexing, each call with a traceparent, request id and time-out of its own, " +
    "64 bytes there and 128 back; backends: raw frames, a message and trailers",
  versions: () => [],
  startBackends: async (workspace, core) => startHttp2Backends(workspace, core, "grpc"),
  verify: verifyGrpc,
  scenarios: () => [unary],
  firstWarmUp: unary,
};
