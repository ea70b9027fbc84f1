// The answer to `GET /journal`, which may come from a sidecar of another version or from another program.
import type { JournalAnswer } from "../../admin/backend.ts";
import type { JournalEntry } from "../../telemetry/journal-entry.ts";

type Fields = Readonly<Record<string, unknown>>;

const entryTexts = [
  "trace",
  "span",
  "service",
  "listener",
  "protocol",
  "method",
  "path",
  "key",
  "keyFrom",
  "destination",
  "reason",
  "endpoint",
] as const satisfies readonly (keyof JournalEntry)[];

/** The journal in a body, or undefined where there is something else; fields that this version does not know do no harm. */
export function readJournal(body: string): JournalAnswer | undefined {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return undefined;
  }
  return asJournal(value);
}

/** The same of what is parsed already. */
export function asJournal(value: unknown): JournalAnswer | undefined {
  return isJournal(value) ? value : undefined;
}

function isJournal(value: unknown): value is JournalAnswer {
  if (!isFields(value)) return false;
  const { service, sandbox, entriesMax, kept, oldest, entries } = value;
  return (
    typeof service === "string" &&
    (sandbox === undefined || typeof sandbox === "string") &&
    typeof entriesMax === "number" &&
    typeof kept === "number" &&
    (oldest === null || isTime(oldest)) &&
    Array.isArray(entries) &&
    entries.every(isEntry)
  );
}

function isEntry(value: unknown): value is JournalEntry {
  if (!isFields(value)) return false;
  const { seq, time, direction, status, grpcStatus, durationMs } = value;
  return (
    typeof seq === "number" &&
    isTime(time) &&
    (direction === "inbound" || direction === "outbound") &&
    entryTexts.every((name) => typeof value[name] === "string") &&
    typeof status === "number" &&
    (grpcStatus === undefined || typeof grpcStatus === "number") &&
    (durationMs === null || typeof durationMs === "number")
  );
}

function isTime(value: unknown): boolean {
  return typeof value === "string" && !Number.isNaN(Date.parse(value));
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null;
}
