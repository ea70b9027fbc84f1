import type { OwnershipServer } from "../admin/ownership-server.ts";
import type { Log } from "../base/log.ts";
import type { ProxyConfig } from "../config/proxy-config.ts";
import type { TableCell } from "../routing/table-cell.ts";

/** The port for the app, if the config wants one; its code is only loaded then. Rejects when the address cannot be had. */
export async function openOwnership(
  config: ProxyConfig,
  cell: TableCell,
  log: Log,
): Promise<OwnershipServer | undefined> {
  const { ownership, service, sandbox, tenancy, limits } = config;
  if (ownership === undefined) return undefined;
  const { startOwnership } = await import("../admin/ownership-server.ts");
  return startOwnership({
    address: ownership.address,
    service,
    sandbox,
    carriers: tenancy.carriers,
    cell,
    streamsMax: limits.ownerStreamsMax,
    batchMax: limits.ownerBatchMax,
    log,
  });
}
