import { startAdmin } from "../admin/server.ts";
import type { Log } from "../base/log.ts";
import type { ProxyConfig } from "../config/proxy-config.ts";
import type { PreloadedTable } from "../table/file-source.ts";
import { NO_JOURNAL } from "../telemetry/journal-entry.ts";
import { mergeLostKeys } from "../telemetry/lost-keys.ts";
import { adminBackend } from "./backend.ts";
import { openOwnership } from "./ownership.ts";
import type { Running } from "./run-until-signal.ts";
import { startSidecar } from "./sidecar.ts";

/** The whole sidecar in this process: `workers: 1`. `stop` is called by POST /drain. */
export async function startSingle(
  config: ProxyConfig,
  log: Log,
  stop: (why: string) => void,
  preloaded?: PreloadedTable,
): Promise<Running> {
  let draining = false;
  const sidecar = await startSidecar(config, log, { preloaded });
  const backend = adminBackend({
    config,
    cell: sidecar.cell,
    notReady: () => (draining ? ["draining"] : sidecar.cell.current.version === 0 ? ["no-table"] : []),
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
  const ownership = await openOwnership(config, sidecar.cell, log).catch(async (error: unknown) => {
    await sidecar.close();
    throw error;
  });
  const admin = await startAdmin(config.admin.address, backend, log).catch(async (error: unknown) => {
    await Promise.all([sidecar.close(), ownership?.close()]);
    throw error;
  });
  return {
    listeners: Object.fromEntries(sidecar.proxy.addresses),
    admin: admin.address,
    ownership: ownership?.address,
    async drain() {
      draining = true;
      ownership?.drain();
      await sidecar.drain();
      await Promise.all([admin.close(), ownership?.close()]);
    },
  };
}
