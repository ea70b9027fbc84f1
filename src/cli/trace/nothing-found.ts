import { printable } from "../../base/printable.ts";
import { ENTRIES_MAX } from "./ask.ts";
import type { AskedSidecar } from "./ask.ts";

/** What to say when no sidecar knows the trace: who was asked, how far back their journals go, and what to do. */
export function nothingFoundText(
  trace: string,
  asked: readonly AskedSidecar[],
  nowMs: number,
  how: "admin" | "control" = "admin",
): string {
  const lines = asked.map((one) => `  ${sidecarText(one, nowMs)}`);
  const advice = asked.every((one) => "error" in one)
    ? [noneAsked[how]]
    : [
        "The journal has the exchanges that carried a routing key, or lost it on their way, and of these the last",
        "limits.journalEntriesMax. Check that the request carried a key and this trace id, and that the sidecars on its way were asked.",
      ];
  return [`nothing is known of trace ${printable(trace)}`, ...lines, ...advice, ""].join("\n");
}

const noneAsked = {
  admin: "No sidecar could be asked: --admin takes the admin.address of each, and by default that is on loopback.",
  control: "No sidecar could be asked: the control plane asks those that follow it; 'sidelane sidecars' lists them.",
} as const;

/** A line for each sidecar that did not answer, or not with all that it knows: the rest is missing. */
export function missingText(asked: readonly AskedSidecar[]): string {
  return asked
    .map((one) => {
      if ("error" in one) return `not asked: ${one.address}: ${printable(one.error)}\n`;
      if (!isTruncated(one)) return "";
      return `not all: ${one.address} (${printable(one.journal.service)}): only the newest ${ENTRIES_MAX} entries of this trace\n`;
    })
    .join("");
}

/** Whether the sidecar may know more of the trace. */
export function isTruncated(asked: AskedSidecar): boolean {
  return "journal" in asked && asked.journal.entries.length >= ENTRIES_MAX;
}

function sidecarText(asked: AskedSidecar, nowMs: number): string {
  if ("error" in asked) return `${asked.address}: ${printable(asked.error)}`;
  const { service, entriesMax, kept, oldest } = asked.journal;
  const name = `${asked.address} (${printable(service)})`;
  if (entriesMax === 0) return `${name}: the journal is off, limits.journalEntriesMax is 0`;
  if (oldest === null) return `${name}: the journal is empty`;
  const full = kept === entriesMax ? ", older ones are forgotten" : "";
  return `${name}: ${kept} of ${entriesMax} entries, the oldest ${agoText(nowMs - Date.parse(oldest))} old${full}`;
}

function agoText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
}
