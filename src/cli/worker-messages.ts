// What the supervisor and its workers say to each other over IPC. Both sides are this code in the same version.

import type { ConnectionsReport } from "../admin/backend.ts";
import type { ProxyConfig } from "../config/proxy-config.ts";
import type { TableStatus } from "../table/status.ts";
import type { JournalFilter, JournalReport } from "../telemetry/journal-entry.ts";
import type { LostKeysReport } from "../telemetry/lost-keys.ts";
import type { TelemetrySnapshot } from "../telemetry/metrics.ts";

/** What a worker can be asked: what it is told with the question, and what it answers. */
export interface Questions {
  readonly snapshot: { readonly about: null; readonly answer: TelemetrySnapshot };
  readonly journal: { readonly about: JournalFilter; readonly answer: JournalReport };
  readonly lostKeys: { readonly about: null; readonly answer: LostKeysReport };
}
export type Question = keyof Questions;

/** Supervisor to worker. */
export type ToWorker =
  | { readonly kind: "start"; readonly config: ProxyConfig; readonly worker: number; readonly instanceId: string }
  | AskMessage
  | { readonly kind: "drain" };

/** Answered by an `answer` with the same id. */
export type AskMessage = {
  readonly [question in Question]: {
    readonly kind: "ask";
    readonly id: number;
    readonly question: question;
    readonly about: Questions[question]["about"];
  };
}[Question];

/** Worker to supervisor. */
export type FromWorker =
  | { readonly kind: "listening"; readonly listeners: Readonly<Record<string, string>> }
  | { readonly kind: "refused"; readonly message: string }
  | { readonly kind: "answer"; readonly id: number; readonly answer: Questions[Question]["answer"] }
  /** Sent every `REPORT_MS`, and after each new table. */
  | { readonly kind: "report"; readonly table: TableStatus; readonly connections: ConnectionsReport };

/** Between two reports: how old `GET /connections` and `GET /table` may be. */
export const REPORT_MS = 500;
