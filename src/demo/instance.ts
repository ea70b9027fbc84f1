// Entry of one process of the shop: one service, one instance. Started by shop.ts with an IPC channel, over which it tells the
// port it got and learns where the others are (as environment variables, which is where a service looks). Its argument is the
// demo's directory.

import http from "node:http";
import { endWithParent } from "./end-with-parent.ts";
import { serveService } from "./serve-service.ts";

process.on("message", (message: { readonly env: Readonly<Record<string, string>> }) => {
  Object.assign(process.env, message.env);
  const proxy = message.env["HTTP_PROXY"];
  // What NODE_USE_ENV_PROXY=1 does at the start of a process; here the sidecar's port is known only after it.
  if (proxy !== undefined) http.globalAgent = new http.Agent({ keepAlive: true, proxyEnv: { HTTP_PROXY: proxy } });
  process.send?.({ kind: "configured" });
});
endWithParent(process.argv[2]);

process.send?.({ kind: "listening", port: await serveService({ host: "127.0.0.1", port: 0 }) });
