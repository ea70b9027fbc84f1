// Entry of one process of the shop: one service, one instance. Started by shop.ts with an IPC channel, over which it tells the
// port it got and learns where the others are (as environment variables, which is where a service looks). Its argument is the
// demo's directory, which it removes when nobody else is left to do it.

import "./instrumentation.ts";
import http from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import { rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { checkout } from "./services/checkout.ts";
import { front } from "./services/front.ts";
import { pricing } from "./services/pricing.ts";
import { recommend } from "./services/recommend.ts";

type Handler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;
const handlers: Readonly<Record<string, Handler>> = { front, checkout, pricing, recommend };

const service = process.env["SERVICE"] ?? "";
const handler = handlers[service];
if (handler === undefined) throw new Error(`SERVICE must be one of ${Object.keys(handlers).join(", ")}: '${service}'`);

const server = http.createServer((request, response) => {
  Promise.resolve(handler(request, response)).catch((error: unknown) => {
    const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : "";
    if (response.headersSent) response.destroy();
    else response.writeHead(502).end(`${service}: ${String(error)}${cause}\n`);
  });
});
server.listen(0, "127.0.0.1", () => {
  process.send?.({ kind: "listening", port: (server.address() as AddressInfo).port });
});

process.on("message", (message: { readonly env: Readonly<Record<string, string>> }) => {
  Object.assign(process.env, message.env);
  const proxy = message.env["HTTP_PROXY"];
  // What NODE_USE_ENV_PROXY=1 does at the start of a process; here the sidecar's port is known only after it.
  if (proxy !== undefined) http.globalAgent = new http.Agent({ keepAlive: true, proxyEnv: { HTTP_PROXY: proxy } });
  process.send?.({ kind: "configured" });
});

// The terminal sends Ctrl-C to every process of the demo. The parent decides when a child ends, and a parent that is gone,
// whatever ended it, takes its children along.
process.on("SIGINT", () => {});
process.on("disconnect", orphaned);
if (!process.connected) orphaned(); // it went before this line ran

function orphaned(): never {
  const directory = process.argv[2];
  if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
  process.exit(0);
}
