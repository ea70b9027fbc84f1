import type { HttpServer, TlsContents } from "../../admin/http-server.ts";
import type { ServerConfig } from "../../config/control-config.ts";
import type { FollowTimes } from "../../proxy/followed-files.ts";
import { type PemContents, PemFiles } from "../../proxy/tls/pem-files.ts";
import { TlsStats } from "../../telemetry/tls-stats.ts";
import { startApi } from "./server.ts";
import type { ApiOptions } from "./server.ts";

/** What `serveApi` needs besides `ApiOptions`. */
export interface ServeApiOptions extends Omit<ApiOptions, "address" | "tls"> {
  readonly config: ServerConfig;
  readonly stats?: TlsStats;
  /** Tests: shorter times between looks at the files. */
  readonly times?: FollowTimes;
}

/** The API as the config says; certificate, key and authorities are followed while they change. Rejects as `startApi`, or with a sentence. */
export async function serveApi({
  config,
  stats = new TlsStats(),
  times = {},
  ...options
}: ServeApiOptions): Promise<HttpServer> {
  const { address, tls } = config;
  if (tls === undefined) return startApi({ ...options, address });
  const { certificate, key, clientCa } = tls;
  const paths = { certificate, key, ...(clientCa === undefined ? {} : { ca: clientCa }) };
  let server: HttpServer | undefined;
  const deps = { log: options.log, stats, ...times };
  const files = new PemFiles("api", paths, (contents) => server?.secure(contentsOf(contents)), deps);
  try {
    server = await startApi({ ...options, address, tls: contentsOf(await files.start()) });
  } catch (error) {
    files.close();
    throw error;
  }
  const running = server;
  return {
    address: running.address,
    secure: (contents) => running.secure(contents),
    close() {
      files.close();
      return running.close();
    },
  };
}

/** `start` has found a certificate and a key: the config names both. */
function contentsOf({ certificate = "", key = "", ca }: PemContents): TlsContents {
  return { certificate, key, ca };
}
