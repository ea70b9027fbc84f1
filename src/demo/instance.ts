// Entry of one process of the shop: one service, one instance. Started by shop.ts with an IPC channel, over which it tells the
// port it got and learns where the others are (as environment variables, which is where a service looks). Its argument is the
// demo's directory, which it removes when nobody else is left to do it.

import "./instrumentation.ts";
import http from "node:http";
import { rmSync } from "node:fs";
import { serveHttp } from "./services/serve-http.ts";

/** Starts a service; resolves with its port. Each loads what it speaks, and nothing that only others speak. */
type Serve = () => Promise<number>;
const services: Readonly<Record<string, Serve>> = {
  front: async () => serveHttp((await import("./services/front.ts")).front),
  checkout: async () => serveHttp((await import("./services/checkout.ts")).checkout),
  pricing: async () => (await import("./services/pricing.ts")).servePricing(),
  recommend: async () => (await import("./services/recommend.ts")).serveRecommend(),
};

const service = process.env["SERVICE"] ?? "";
const serve = services[service];
if (serve === undefined) throw new Error(`SERVICE must be one of ${Object.keys(services).join(", ")}: '${service}'`);

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

process.send?.({ kind: "listening", port: await serve() });

function orphaned(): never {
  const directory = process.argv[2];
  if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
  process.exit(0);
}
