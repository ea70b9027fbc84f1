// Entry of one process of the shop: one service, one instance. Started by shop.ts with an IPC channel, over which it tells the
// port it got and learns where the others are (as environment variables, which is where a service looks). Its argument is the
// demo's directory.

import http from "node:http";
import { endWithParent } from "./end-with-parent.ts";
import { serveHttp } from "./services/serve-http.ts";

/** Starts a service; resolves with its port. Each loads what it speaks, and nothing that only others speak. */
type Serve = () => Promise<number>;
const services: Readonly<Record<string, Serve>> = {
  front: async () => serveHttp((await import("./services/front.ts")).front),
  checkout: async () => serveHttp((await import("./services/checkout.ts")).checkout),
  pricing: async () => (await import("./services/pricing.ts")).servePricing(),
  recommend: async () => (await import("./services/recommend.ts")).serveRecommend(),
  till: async () => serveHttp((await import("./services/till.ts")).till),
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
endWithParent(process.argv[2]);

// The till is older than OpenTelemetry.
if (service !== "till") await import("./instrumentation.ts");
process.send?.({ kind: "listening", port: await serve() });
