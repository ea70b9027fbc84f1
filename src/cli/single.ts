import type { Log } from "../base/log.ts";
import type { ProxyConfig } from "../config/proxy-config.ts";
import type { PreloadedTable } from "../table/file-source.ts";
import { NO_JOURNAL } from "../telemetry/journal-entry.ts";
import { mergeLostKeys } from "../telemetry/lost-keys.ts";
import { type AdminServers, startAdminServers } from "./admin.ts";
import { adminBackend, notReady } from "./backend.ts";
import { openOwnership } from "./ownership.ts";
import { sayWaiting, unlessAborted } from "./first-table.ts";
import type { Running } from "./run-until-signal.ts";
import { prepareSidecar } from "./sidecar.ts";

/**
 * The whole sidecar in this process: `workers: 1`. `stop` is called by POST /drain. The admin server is up first: waiting for a
 * first table may take long, and /ready says so. Undefined when `signal` ends the waiting.
 */
export async function startSingle(
  config: ProxyConfig,
  log: Log,
  stop: (why: string) => void,
  signal: AbortSignal,
  preloaded?: PreloadedTable,
): Promise<Running | undefined> {
  let open = false;
  let draining = false;
  const sidecar = await prepareSidecar(config, log, { preloaded });
  const { cell } = sidecar;
  const backend = adminBackend({
    config,
    cell,
    notReady: () => notReady(draining, open, cell),
    metrics: () => sidecar.telemetry.scrape(),
    tableStatus: () => sidecar.source.status(),
    connections: () => sidecar.connections(),
    journal: async (filter) => sidecar.telemetry.journal?.report(filter) ?? NO_JOURNAL,
    lostKeys: async () => sidecar.telemetry.lostKeys?.describe() ?? mergeLostKeys([]),
    drain() {
      draining = true;
      stop("POST /drain");
    },
  });
  let admin: AdminServers | undefined;
  try {
    const { address, open: openAddress } = (admin = await startAdminServers(config, backend, log));
    sayWaiting(config, log, address);
    const addresses = await unlessAborted(signal, sidecar.open(), () => sidecar.close());
    if (addresses === undefined) {
      await admin.close();
      return undefined;
    }
    const ownership = await openOwnership(config, cell, log);
    open = true;
    return {
      listeners: Object.fromEntries(addresses),
      admin: address,
      open: openAddress,
      ownership: ownership?.address,
      async drain() {
        draining = true;
        ownership?.drain();
        await sidecar.drain();
        await Promise.all([admin?.close(), ownership?.close()]);
      },
    };
  } catch (error) {
    await Promise.all([sidecar.close(), admin?.close()]);
    throw error;
  }
}
