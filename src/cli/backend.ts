import type { AdminBackend, ConnectionsReport, ExplainAnswer, ExplainQuery, NotReadyReason } from "../admin/backend.ts";
import type { ProxyConfig } from "../config/proxy-config.ts";
import type { TableCell } from "../routing/table-cell.ts";
import type { TableStatus } from "../table/status.ts";
import { explainWith } from "./policy.ts";

/** What differs between one process and several; the rest of the admin server's questions is answered from config and cell. */
export interface BackendSource {
  readonly config: ProxyConfig;
  readonly cell: TableCell;
  notReady(): readonly NotReadyReason[];
  metrics(): Promise<string>;
  tableStatus(): TableStatus;
  connections(): ConnectionsReport;
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
    explain: (query) => explainQuery(config, cell, query),
    connections: () => source.connections(),
    config: () => config,
    drain: () => source.drain(),
  };
}

function explainQuery(config: ProxyConfig, cell: TableCell, query: ExplainQuery): ExplainAnswer {
  const service = query.service ?? query.host ?? config.service;
  const { key, headers } = query;
  const asked = key === undefined ? { service, headers } : { service, headers, key };
  return { ok: true, explanation: explainWith(config, cell.current, asked) };
}
