import type { TableStatus } from "../table/status.ts";
import { jsonAnswer, problemAnswer } from "./answer.ts";
import type { Answer } from "./answer.ts";
import type { AdminBackend, NotReadyReason } from "./backend.ts";
import { journalAnswer, journalParameters } from "./journal.ts";
import { badQuery, parseField } from "./query.ts";
import type { Parameter, Query } from "./query.ts";
import { describeRoutes } from "./route.ts";
import type { Route } from "./route.ts";

const notReadyDetails: Readonly<Record<NotReadyReason, string>> = {
  starting: "the listeners are not open yet",
  draining: "the sidecar is shutting down; what still comes is answered, with Connection: close",
  "no-table": "no routing table has been loaded; the listeners open with the first one, see GET /table",
};

const tableParameters: readonly Parameter[] = [{ name: "full", doc: "1: with the entries of the table, 0: without" }];

const explainParameters: readonly Parameter[] = [
  { name: "service", doc: "name of a service; without service and host it is the sidecar's own" },
  { name: "host", doc: "in place of service: the authority as a caller writes it, as in checkout.shop:8080" },
  { name: "key", doc: "routing key, as if a carrier had yielded it; goes before header" },
  { name: "header", doc: "a field of the request, as in baggage: sidelane=pr-7", repeatable: true },
  { name: "path", doc: "target of the request, as in /x?sidelane=pr-7, where a carrier looks there" },
  { name: "caller", doc: "address of the caller, as in 10.1.2.3, where a listener has edge: true" },
];

/** What orchestrators and Prometheus ask; `admin.open` has these as well. */
export const healthRoutes: readonly Route<Pick<AdminBackend, "notReady" | "metrics">>[] = [
  {
    method: "GET",
    path: "/live",
    doc: "200 while the process works: liveness probe",
    parameters: [],
    answer: () => jsonAnswer(200, { live: true }),
  },
  {
    method: "GET",
    path: "/ready",
    doc: "200 when requests are taken, 503 with the reasons when not: readiness probe",
    parameters: [],
    answer: (backend) => readyAnswer(backend.notReady()),
  },
  {
    method: "GET",
    path: "/metrics",
    doc: "metrics in the text format of Prometheus",
    parameters: [],
    answer: async (backend) => ({
      status: 200,
      contentType: "text/plain; version=0.0.4; charset=utf-8",
      body: await backend.metrics(),
    }),
  },
];

/** Every endpoint (DESIGN §3.6). */
export const routes: readonly Route<AdminBackend>[] = [
  {
    method: "GET",
    path: "/",
    doc: "this list",
    parameters: [],
    answer: () => jsonAnswer(200, { endpoints: describeRoutes(routes) }),
  },
  ...healthRoutes,
  {
    method: "GET",
    path: "/table",
    doc: "the table in use: version, digest, source, age, last error, warnings",
    parameters: tableParameters,
    answer: tableAnswer,
  },
  {
    method: "GET",
    path: "/explain",
    doc: "where a request would go, and why",
    parameters: explainParameters,
    answer: explainAnswer,
  },
  {
    method: "GET",
    path: "/connections",
    doc: "connections per listener and per endpoint",
    parameters: [],
    answer: (backend) => jsonAnswer(200, backend.connections()),
  },
  {
    method: "GET",
    path: "/journal",
    doc: "the last exchanges that had to do with a routing key, newest first",
    parameters: journalParameters,
    answer: journalAnswer,
  },
  {
    method: "GET",
    path: "/lost-keys",
    doc: "which service loses the routing key on the way to whom, the worst first",
    parameters: [],
    answer: async (backend) => jsonAnswer(200, await backend.lostKeys()),
  },
  {
    method: "GET",
    path: "/config",
    doc: "the config in effect, defaults and environment filled in",
    parameters: [],
    answer: (backend) => jsonAnswer(200, backend.config()),
  },
  {
    method: "POST",
    path: "/drain",
    doc: "starts the drain: readiness fails, running exchanges finish, the process ends",
    parameters: [],
    answer: (backend) => {
      backend.drain();
      return jsonAnswer(202, { draining: true });
    },
  },
];

function readyAnswer(reasons: readonly NotReadyReason[]): Answer {
  if (reasons.length === 0) return jsonAnswer(200, { ready: true, reasons: [] });
  return jsonAnswer(503, {
    ready: false,
    reasons: reasons.map((reason) => ({ reason, detail: notReadyDetails[reason] })),
  });
}

function tableAnswer(backend: AdminBackend, query: Query): Answer {
  const full = query.get("full")?.[0] ?? "0";
  if (full !== "0" && full !== "1") {
    return badQuery(`full is 0 or 1, not ${JSON.stringify(full)}`, tableParameters);
  }
  const status = describeStatus(backend.tableStatus(), Date.now());
  return jsonAnswer(200, full === "1" ? { ...status, table: backend.describeTable() } : status);
}

function describeStatus(status: TableStatus, nowMs: number): object {
  const { version, digest, source, revision, feed, loadedAtMs, lastAttemptAtMs, lastError, warnings, counts } = status;
  return {
    version,
    digest,
    source,
    ...(revision === undefined ? {} : { revision }),
    ...(feed === undefined
      ? {}
      : {
          connected: feed.connected,
          [feed.connected ? "connectedSince" : "disconnectedSince"]: timeText(feed.sinceMs),
          ...(feed.problem === "" ? {} : { connectionProblem: feed.problem }),
        }),
    loadedAt: timeText(loadedAtMs),
    // The clock may have been set back meanwhile.
    ageSeconds: loadedAtMs === undefined ? null : Math.max(0, nowMs - loadedAtMs) / 1000,
    lastAttemptAt: timeText(lastAttemptAtMs),
    lastError:
      lastError === undefined
        ? null
        : {
            kind: lastError.kind,
            since: timeText(lastError.sinceMs),
            message: lastError.message,
            problems: lastError.problems,
          },
    counts,
    warnings,
  };
}

function timeText(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(ms).toISOString();
}

async function explainAnswer(backend: AdminBackend, query: Query): Promise<Answer> {
  const service = query.get("service")?.[0];
  const host = query.get("host")?.[0];
  const key = query.get("key")?.[0];
  const path = query.get("path")?.[0];
  const caller = query.get("caller")?.[0];
  if (service !== undefined && host !== undefined) {
    return badQuery("service and host are two ways to name one thing; give one of them", explainParameters);
  }
  const headers: (readonly [name: string, value: string])[] = [];
  for (const text of query.get("header") ?? []) {
    const field = parseField(text, explainParameters);
    if ("status" in field) return field;
    headers.push(field);
  }
  const answer = await backend.explain({
    headers,
    ...(service === undefined ? {} : { service }),
    ...(host === undefined ? {} : { host }),
    ...(key === undefined ? {} : { key }),
    ...(path === undefined ? {} : { path }),
    ...(caller === undefined ? {} : { caller }),
  });
  return answer.ok ? jsonAnswer(200, answer.explanation) : problemAnswer(400, answer.detail);
}
