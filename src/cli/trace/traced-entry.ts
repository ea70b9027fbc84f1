import type { JournalEntry } from "../../telemetry/journal-entry.ts";
import type { AskedSidecar } from "./ask.ts";

/** A sidecar that was asked. */
export interface TracedSidecar {
  /** Tells it from the others. */
  readonly address: string;
  /** The service that it stands beside. */
  readonly service: string;
  /** Of whose copy of the service. */
  readonly sandbox?: string;
}

/** One entry and where it was found. */
export interface TracedEntry {
  readonly sidecar: TracedSidecar;
  readonly entry: JournalEntry;
}

/** Milliseconds since the epoch, microseconds included, which `Date.parse` drops. */
export function entryStartMs({ time }: JournalEntry): number {
  const fine = /\.\d{3}(\d+)/u.exec(time)?.[1] ?? "0";
  return Date.parse(time) + Number(`0.${fine}`);
}

/** Whether both name the same span of a sender. */
export function sameSpan(a: JournalEntry, b: JournalEntry): boolean {
  return a.span !== "" && a.span === b.span;
}

/** The entries of all that answered, each once: the same sidecar may have been asked under two names. */
export function entriesOf(asked: readonly AskedSidecar[]): TracedEntry[] {
  const entries = new Map<string, TracedEntry>();
  for (const one of asked) {
    if ("error" in one) continue;
    const { service, sandbox } = one.journal;
    const sidecar = { address: one.address, service, ...(sandbox === undefined ? {} : { sandbox }) };
    for (const entry of one.journal.entries) {
      const { seq, time, listener, span, durationMs } = entry;
      const id = JSON.stringify([service, sandbox, seq, time, listener, span, durationMs]);
      if (!entries.has(id)) entries.set(id, { sidecar, entry });
    }
  }
  return [...entries.values()];
}
