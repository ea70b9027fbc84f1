// What can be asked about the whole: the table, sidecars, the audit log, traces, decisions, and how the control plane is.

import { jsonAnswer, problemAnswer } from "../../admin/answer.ts";
import type { Answer } from "../../admin/answer.ts";
import { badQuery } from "../../admin/query.ts";
import type { Query } from "../../admin/query.ts";
import { documentOf } from "../../feed/convert.ts";
import { scoped, ScopeView } from "../../feed/scope.ts";
import { AUDIT_KEPT, StoreUnavailableError } from "../store/store.ts";
import { listAnswer } from "./answers.ts";
import { explainAnswer, explainParameters } from "./explain.ts";
import type { ApiAnswer, ApiCall, ApiParameter, ApiRoute } from "./route.ts";
import {
  auditSchema,
  explanationSchema,
  liveSchema,
  readySchema,
  sidecarsSchema,
  tableAnswerSchema,
  traceSchema,
} from "./schemas.ts";
import { waitAnswer, waitParameters } from "./wait.ts";

const json = (doc: string, schema: NonNullable<ApiAnswer["schema"]>, headers?: ApiAnswer["headers"]): ApiAnswer => ({
  doc,
  contentType: "application/json",
  schema,
  ...(headers === undefined ? {} : { headers }),
});

const auditParameters: readonly ApiParameter[] = [
  {
    name: "kind",
    doc: "only of services, sandboxes or groups",
    schema: { type: "string", enum: ["service", "sandbox", "group"] },
  },
  { name: "name", doc: "only of this resource", schema: { type: "string" } },
  {
    name: "limit",
    doc: `at most so many, 1 to ${AUDIT_KEPT}; default 100`,
    schema: { type: "integer", minimum: 1, maximum: AUDIT_KEPT },
  },
];

const tableParameters: readonly ApiParameter[] = [
  {
    name: "services",
    doc: "only what a sidecar sees that asks for these services, separated by commas",
    repeatable: true,
    schema: { type: "array", items: { type: "string" } },
  },
];

const sidecarsParameters: readonly ApiParameter[] = [
  { name: "here", doc: "1: only those of the replica that is asked", schema: { type: "string", enum: ["0", "1"] } },
];

export const overviewRoutes: readonly ApiRoute[] = [
  {
    method: "GET",
    path: "/v1/sandboxes/{name}/wait",
    operationId: "waitForSandbox",
    tag: "sandboxes",
    role: "viewer",
    doc: "server-sent events until a sandbox is ready or gone: progress whenever something changed, done at the end",
    parameters: waitParameters,
    answers: {
      200: {
        doc: "Events `progress` ({ status }) and one `done` ({ reached, message, status }).",
        contentType: "text/event-stream",
      },
    },
    answer: (call, query, _, asked) => waitAnswer(call, query, asked),
  },
  {
    method: "GET",
    path: "/v1/table",
    operationId: "getTable",
    tag: "table",
    role: "viewer",
    doc: "the table that sidecars get, as a table file",
    parameters: tableParameters,
    answers: {
      200: json("The table.", tableAnswerSchema, {
        etag: "Its revision.",
        "x-sidelane-revision": "The same, as a number.",
        "x-sidelane-source": "Names the history that revisions count in.",
      }),
    },
    answer: tableAnswer,
  },
  {
    method: "GET",
    path: "/v1/sidecars",
    operationId: "listSidecars",
    tag: "sidecars",
    role: "viewer",
    doc: "the sidecars that follow the table, at all replicas: what they have, what they lack, why",
    parameters: sidecarsParameters,
    answers: { 200: json("Sidecars.", sidecarsSchema) },
    answer: async ({ backend, identity }, query) => {
      const here = query.get("here")?.[0] === "1" || identity.replica;
      const { items, missing } = await backend.sidecars(!here);
      return listAnswer({ sidecars: items, missing }, items.length);
    },
  },
  {
    method: "GET",
    path: "/v1/audit",
    operationId: "listChanges",
    tag: "audit",
    role: "viewer",
    doc: "who changed what, newest first",
    parameters: auditParameters,
    answers: { 200: json("Entries of the audit log.", auditSchema) },
    answer: auditAnswer,
  },
  {
    method: "GET",
    path: "/v1/traces/{id}",
    operationId: "getTrace",
    tag: "sidecars",
    role: "viewer",
    doc: "what the journals of all sidecars have about one trace",
    parameters: [],
    answers: { 200: json("One entry for each sidecar that has something, or could not be asked.", traceSchema) },
    answer: async ({ backend, identity }, _, __, { path }) => {
      const id = path.get("id") ?? "";
      // W3C Trace Context §3.2.2.3
      if (!/^[0-9a-f]{32}$/iu.test(id)) {
        return problemAnswer(400, `${JSON.stringify(id.slice(0, 100))} is no trace id; it has 32 hexadecimal digits`);
      }
      const { items, missing } = await backend.trace(id.toLowerCase(), !identity.replica);
      return listAnswer({ sidecars: items, missing }, items.length);
    },
  },
  {
    method: "GET",
    path: "/v1/explain",
    operationId: "explain",
    tag: "table",
    role: "viewer",
    doc: "where a request would go, and why",
    parameters: explainParameters,
    answers: { 200: json("The decision.", explanationSchema) },
    answer: explainAnswer,
  },
  {
    method: "GET",
    path: "/live",
    operationId: "live",
    tag: "health",
    role: "anyone",
    doc: "200 while the process works: liveness probe",
    parameters: [],
    answers: { 200: json("It works.", liveSchema) },
    answer: () => jsonAnswer(200, { live: true }),
  },
  {
    method: "GET",
    path: "/ready",
    operationId: "ready",
    tag: "health",
    role: "anyone",
    doc: "200 when requests are taken, 503 when not; a store that cannot be reached is named, and reads go on",
    parameters: [],
    answers: { 200: json("It is ready.", readySchema), 503: json("It is not.", readySchema) },
    answer: ({ backend }) => {
      const reasons = backend.notReady();
      const { storeProblem } = backend.state;
      const problems = storeProblem === "" ? [] : [storeProblem];
      return jsonAnswer(reasons.length === 0 ? 200 : 503, { ready: reasons.length === 0, reasons, problems });
    },
  },
  {
    method: "GET",
    path: "/metrics",
    operationId: "metrics",
    tag: "health",
    role: "anyone",
    doc: "metrics in the text format of Prometheus",
    parameters: [],
    answers: { 200: { doc: "Metrics.", contentType: "text/plain; version=0.0.4; charset=utf-8" } },
    answer: async ({ backend }) => ({
      status: 200,
      contentType: "text/plain; version=0.0.4; charset=utf-8",
      body: await backend.metrics(),
    }),
  },
];

function tableAnswer({ backend }: ApiCall, query: Query): Answer {
  const { state, store } = backend;
  const services = (query.get("services") ?? []).flatMap((text) => text.split(",")).filter((name) => name !== "");
  const { table } = state;
  const document = documentOf(scoped(new ScopeView({ services, names: false }), table));
  const count = table.services.size + table.sandboxes.size + table.groups.size;
  return {
    ...listAnswer(document, count),
    headers: {
      etag: `"${state.revision}"`,
      "x-sidelane-revision": String(state.revision),
      "x-sidelane-source": store.source,
    },
  };
}

async function auditAnswer({ backend }: ApiCall, query: Query): Promise<Answer> {
  const kind = query.get("kind")?.[0];
  if (kind !== undefined && kind !== "service" && kind !== "sandbox" && kind !== "group") {
    return badQuery(`kind is ${JSON.stringify(kind.slice(0, 100))}; write service, sandbox or group`, auditParameters);
  }
  const text = query.get("limit")?.[0] ?? "100";
  const limit = Number(text);
  if (!/^[0-9]{1,5}$/u.test(text) || limit < 1 || limit > AUDIT_KEPT) {
    return badQuery(
      `limit is ${JSON.stringify(text.slice(0, 100))}, not a number from 1 to ${AUDIT_KEPT}`,
      auditParameters,
    );
  }
  const name = query.get("name")?.[0];
  try {
    const entries = await backend.store.audit({
      limit,
      ...(kind === undefined ? {} : { kind }),
      ...(name === undefined ? {} : { name }),
    });
    return listAnswer({ entries }, entries.length);
  } catch (error) {
    if (!(error instanceof StoreUnavailableError)) throw error;
    return problemAnswer(503, error.message, {}, { "retry-after": "5" });
  }
}
