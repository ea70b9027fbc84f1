import type { AdminBackend, ConnectionsReport, NotReadyReason } from "../admin/backend.ts";
import type { ProxyConfig } from "../config/proxy-config.ts";
import type { TableCell } from "../routing/table-cell.ts";
import type { TableStatus } from "../table/status.ts";
import type { JournalFilter, JournalReport } from "../telemetry/journal-entry.ts";
import type { LostKeysReport } from "../telemetry/lost-keys.ts";

/** What differs between one process and several; the rest of the admin server's questions is answered from config and cell. */
export interface BackendSource {
  readonly config: ProxyConfig;
  readonly cell: TableCell;
  notReady(): readonly NotReadyReason[];
  metrics(): Promise<string>;
  tableStatus(): TableStatus;
  connections(): ConnectionsReport;
  journal(filter: JournalFilter): Promise<JournalReport>;
  lostKeys(): Promise<LostKeysReport>;
  drain(): void;
}

/** The admin server's view of a sidecar. */
export function adminBackend(source: BackendSource): AdminBackend {
  const { config, cell } = source;
  return {
    notReady: () => source.notReady(),
    metrics: () => source.metrics(),
    tableStatus: () => source.tableStatus(),
    describeTable: () => cell.current.describe(),
    // Explaining verifies signed keys, and node:crypto takes 3 MB: those pay who ask.
    explain: async (query) => (await import("./policy.ts")).explainWith(config, cell.current, query),
    connections: () => source.connections(),
    journal: async (filter) => ({ ...beside(config), ...(await source.journal(filter)) }),
    lostKeys: () => source.lostKeys(),
    config: () => config,
    drain: () => source.drain(),
  };
}

/** Whose sidecar this is: only with that do the entries of several make a path. */
function beside({ service, sandbox }: ProxyConfig): { readonly service: string; readonly sandbox?: string } {
  return { service, ...(sandbox === undefined ? {} : { sandbox }) };
}

/** What `GET /ready` says of a process; `open`: its listeners are. */
export function notReady(draining: boolean, open: boolean, cell: TableCell): readonly NotReadyReason[] {
  if (draining) return ["draining"];
  if (cell.current.version === 0) return ["no-table"];
  return open ? [] : ["starting"];
}
