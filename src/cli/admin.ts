import type { AdminBackend } from "../admin/backend.ts";
import type { HttpServer } from "../admin/http-server.ts";
import type { OpenBackend, ReachTarget } from "../admin/open-server.ts";
import { startAdmin } from "../admin/server.ts";
import type { Log } from "../base/log.ts";
import type { ProxyConfig } from "../config/proxy-config.ts";
import { parseEndpoint } from "../routing/endpoint-name.ts";

/** The admin server, and the open one if the config wants it. */
export interface AdminServers {
  /** `host:port` as bound. */
  readonly address: string;
  /** The same of the open one. */
  readonly open: string | undefined;
  close(): Promise<void>;
}

/** Starts both or none; rejects with a `ServerAddressError`. The code of the open one is only loaded when it is wanted. */
export async function startAdminServers(config: ProxyConfig, backend: AdminBackend, log: Log): Promise<AdminServers> {
  const admin = await startAdmin(config.admin.address, backend, log);
  let open: HttpServer | undefined;
  try {
    open = await startOpen(config, backend, log);
  } catch (error) {
    await admin.close();
    throw error;
  }
  return {
    address: admin.address,
    open: open?.address,
    close: async () => void (await Promise.all([admin.close(), open?.close()])),
  };
}

async function startOpen(config: ProxyConfig, backend: AdminBackend, log: Log): Promise<HttpServer | undefined> {
  if (config.admin.open === undefined) return undefined;
  const { startOpenAdmin } = await import("../admin/open-server.ts");
  const open: OpenBackend = {
    notReady: () => backend.notReady(),
    metrics: () => backend.metrics(),
    targets: reachTargets(config),
  };
  return startOpenAdmin(config.admin.open, open, log);
}

/** The ports of the app: the targets of inbound listeners, and what `admin.reach` adds on this machine. */
export function reachTargets({ admin, listeners }: ProxyConfig): ReadonlyMap<number, ReachTarget> {
  const targets = new Map<number, ReachTarget>();
  for (const port of admin.reach ?? []) targets.set(port, { host: "127.0.0.1", port });
  for (const listener of listeners) {
    if (listener.direction !== "inbound") continue;
    const target = parseEndpoint(listener.target);
    if (!("problem" in target)) targets.set(target.port, { host: target.host, port: target.port });
  }
  return targets;
}
