// Everything the shop does for tracing, and so for routing: the OpenTelemetry Node SDK with its defaults. Its propagators
// (W3C tracecontext and baggage) carry the routing key from the incoming request to every outgoing one: HTTP requests, gRPC
// calls in their metadata, WebSocket handshakes. A service needs nothing else, and does not know that Sidelane exists.

import { createRequire } from "node:module";
import { registerInstrumentations } from "@opentelemetry/instrumentation";
import { GrpcInstrumentation } from "@opentelemetry/instrumentation-grpc";
import { HttpInstrumentation } from "@opentelemetry/instrumentation-http";
import { UndiciInstrumentation } from "@opentelemetry/instrumentation-undici";
import { NodeTracerProvider } from "@opentelemetry/sdk-trace-node";

new NodeTracerProvider().register();
registerInstrumentations({
  instrumentations: [new HttpInstrumentation(), new UndiciInstrumentation(), new GrpcInstrumentation()],
});

// An instrumentation patches a module when it is required. An ES module's import does not pass there; one require does, and
// patches the module for everybody. (The other way, a loader hook, costs a thread per process.) Who speaks gRPC requires it
// in services/pricing-protocol.ts, so that the others need not load it.
createRequire(import.meta.url)("node:http");
