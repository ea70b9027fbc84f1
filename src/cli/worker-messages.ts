// What the supervisor and its workers say to each other over IPC. Both sides are this code in the same version.

import type { ConnectionsReport } from "../admin/backend.ts";
import type { ProxyConfig } from "../config/proxy-config.ts";
import type { TableStatus } from "../table/status.ts";
import type { TelemetrySnapshot } from "../telemetry/metrics.ts";

/** Supervisor to worker. */
export type ToWorker =
  | { readonly kind: "start"; readonly config: ProxyConfig; readonly worker: number; readonly instanceId: string }
  | { readonly kind: "snapshot"; readonly id: number }
  | { readonly kind: "drain" };

/** Worker to supervisor. */
export type FromWorker =
  | { readonly kind: "listening"; readonly listeners: Readonly<Record<string, string>> }
  | { readonly kind: "refused"; readonly message: string }
  | { readonly kind: "snapshot"; readonly id: number; readonly snapshot: TelemetrySnapshot }
  /** Sent every `REPORT_MS`, and after each new table. */
  | { readonly kind: "report"; readonly table: TableStatus; readonly connections: ConnectionsReport };

/** Between two reports: how old `GET /connections` and `GET /table` may be. */
export const REPORT_MS = 500;
