import { traceIdOf } from "../telemetry/journal-entry.ts";
import type { JournalFilter } from "../telemetry/journal-entry.ts";
import { jsonAnswer } from "./answer.ts";
import type { Answer } from "./answer.ts";
import type { AdminBackend } from "./backend.ts";
import { badQuery } from "./query.ts";
import type { Parameter, Query } from "./query.ts";

const LIMIT_DEFAULT = 100;
/** That of limits.journalEntriesMax. */
const LIMIT_MAX = 100_000;

/** What `GET /journal` may be asked. */
export const journalParameters: readonly Parameter[] = [
  { name: "trace", doc: "trace id, as in 4bf92f3577b34da6a3ce929d0e0e4736, or a whole traceparent" },
  { name: "key", doc: "routing key" },
  {
    name: "since",
    doc: "what began since then: an ISO 8601 time, as in 2026-01-02T03:04:05Z, or how long ago, as in 500ms, 30s, 5m, 1h",
  },
  { name: "limit", doc: `the newest so many, 1 to ${LIMIT_MAX}; ${LIMIT_DEFAULT} when left out` },
];

/** `GET /journal`. */
export async function journalAnswer(backend: AdminBackend, query: Query): Promise<Answer> {
  const filter = parseFilter(query, Date.now());
  return "status" in filter ? filter : jsonAnswer(200, await backend.journal(filter));
}

function parseFilter(query: Query, nowMs: number): JournalFilter | Answer {
  const trace = query.get("trace")?.[0];
  const key = query.get("key")?.[0];
  const since = query.get("since")?.[0];
  const sinceMs = since === undefined ? undefined : parseSince(since, nowMs);
  if (Number.isNaN(sinceMs)) {
    return badQuery(`since is a time or how long ago, not ${JSON.stringify(since)}`, journalParameters);
  }
  const limitText = query.get("limit")?.[0] ?? String(LIMIT_DEFAULT);
  const limit = /^\d{1,6}$/u.test(limitText) ? Number(limitText) : 0;
  if (limit < 1 || limit > LIMIT_MAX) {
    return badQuery(
      `limit is a whole number from 1 to ${LIMIT_MAX}, not ${JSON.stringify(limitText)}`,
      journalParameters,
    );
  }
  return {
    limit,
    ...(trace === undefined ? {} : { trace: traceIdOf(trace) }),
    ...(key === undefined ? {} : { key }),
    ...(sinceMs === undefined ? {} : { sinceMs }),
  };
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Milliseconds since the epoch; NaN when the text is neither a time nor a duration. */
function parseSince(text: string, nowMs: number): number {
  const ago = /^(\d{1,9})(ms|s|m|h)$/u.exec(text);
  if (ago !== null) return nowMs - Number(ago[1]) * (UNIT_MS[ago[2] ?? ""] ?? 0);
  // Date.parse takes much that is no ISO 8601; a "+" of an offset that was not escaped has become a blank.
  const time = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[ +-]\d{2}:\d{2})$/u;
  if (!time.test(text)) return Number.NaN;
  const parsedMs = Date.parse(text.replace(" ", "+"));
  // Date.parse cuts off what is finer than a millisecond, which would let in what began just before.
  const fine = /\.\d{3}(\d+)/u.exec(text)?.[1] ?? "0";
  return parsedMs + Number(`0.${fine}`);
}
