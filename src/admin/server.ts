import type { Log } from "../base/log.ts";
import type { AdminBackend } from "./backend.ts";
import { startHttpServer } from "./http-server.ts";
import type { HttpServer, ServerTimeouts } from "./http-server.ts";
import { routes } from "./routes.ts";

/** No endpoint uses a body; this much is read to keep the connection usable. */
const BODY_BYTES_MAX = 64 * 1024;
const CONNECTIONS_MAX = 256;

/** The admin server. Listens on `address` (`host:port`, port 0 for any free one); rejects with a `ServerAddressError`. */
export function startAdmin(
  address: string,
  backend: AdminBackend,
  log: Log,
  timeouts?: ServerTimeouts,
): Promise<HttpServer> {
  return startHttpServer({
    address,
    setting: "admin.address",
    name: "admin",
    routes,
    backend,
    log,
    connectionsMax: CONNECTIONS_MAX,
    bodyBytesMax: BODY_BYTES_MAX,
    timeouts,
  });
}
