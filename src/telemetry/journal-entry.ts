// What is read back from the journal, in the form of `GET /journal`.
import type { Reason } from "../base/reasons.ts";
import type { JournalOrigin, KeyFrom } from "./journal-draft.ts";
import type { Direction } from "./metrics.ts";

/** One exchange as `GET /journal` tells it. */
export interface JournalEntry {
  /** Counts the entries of this process from 1. */
  readonly seq: number;
  /** When it began: ISO 8601 with microseconds, UTC. */
  readonly time: string;
  /** Trace id as received, "" without. */
  readonly trace: string;
  /** Id of the sender's span as received, "" without. */
  readonly span: string;
  /** The service asked for. */
  readonly service: string;
  readonly listener: string;
  readonly direction: Direction;
  readonly protocol: JournalOrigin["protocol"];
  readonly method: string;
  /** Without query. */
  readonly path: string;
  readonly key: string;
  readonly keyFrom: KeyFrom;
  readonly destination: string;
  readonly reason: Reason;
  /** What the client was sent; 0 while it runs and where nothing could be sent. */
  readonly status: number;
  /** Only of gRPC calls that have ended; -1: what the endpoint sent is none. */
  readonly grpcStatus?: number;
  /** Null while it runs. */
  readonly durationMs: number | null;
  /** `host:port` of the endpoint asked last, "" when none was. */
  readonly endpoint: string;
}

/** Which entries are wanted. */
export interface JournalFilter {
  /** Hexadecimal ids are compared as numbers: case and leading zeros make no difference. */
  readonly trace?: string;
  readonly key?: string;
  /** Those that began then or later; milliseconds since the epoch. */
  readonly sinceMs?: number;
  /** The newest so many. */
  readonly limit: number;
}

/** `GET /journal` without what belongs to the config. */
export interface JournalReport {
  /** Entries that fit, 0: the journal is off. */
  readonly entriesMax: number;
  /** Entries there are. */
  readonly kept: number;
  /** When the oldest of them began, null without any. */
  readonly oldest: string | null;
  /** Newest first. */
  readonly entries: readonly JournalEntry[];
}

/** That of a process that keeps no journal. */
export const NO_JOURNAL: JournalReport = { entriesMax: 0, kept: 0, oldest: null, entries: [] };

/** The trace id in the value of a `traceparent` field (W3C Trace Context §3.2); any other text is an id itself. */
export function traceIdOf(text: string): string {
  return /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}/iu.exec(text)?.[1] ?? text;
}

/** Trace ids that are numbers in hexadecimal as such: some senders pad them with zeros to 128 bits (B3), some do not. */
export function comparableTrace(trace: string): string {
  return /^[0-9a-f]+$/iu.test(trace) ? trace.toLowerCase().replace(/^0+(?=.)/u, "") : trace;
}

/** The path of a request target, also of one in absolute form. Queries carry secrets more often than what tells requests apart. */
export function pathOf(target: string): string {
  return target.replace(/^https?:\/\/[^/?]*/iu, "").replace(/\?.*$/su, "");
}

/** ISO 8601 with microseconds: exchanges of a fraction of a millisecond are to stand in their order. */
export function isoTime(ms: number): string {
  const micros = Math.round((ms - Math.floor(ms)) * 1000);
  const [whole, rest] = micros === 1000 ? [Math.floor(ms) + 1, 0] : [Math.floor(ms), micros];
  return new Date(whole).toISOString().replace("Z", `${String(rest).padStart(3, "0")}Z`);
}
