// `GET /v1/explain`: where a caller's request would go with the table of the control plane. The table is compiled when somebody asks,
// and kept until it changes.

import { jsonAnswer, problemAnswer } from "../../admin/answer.ts";
import type { Answer } from "../../admin/answer.ts";
import { badQuery, parseField } from "../../admin/query.ts";
import type { Query } from "../../admin/query.ts";
import { compileFed } from "../../feed/compile-fed.ts";
import { findBaggageMember } from "../../protocol/context/baggage.ts";
import { Found } from "../../protocol/context/found.ts";
import { CompiledTable } from "../../routing/compiled-table.ts";
import { explain } from "../../routing/explain.ts";
import type { Question } from "../../routing/explain.ts";
import type { ControlState } from "../state.ts";
import type { ApiCall, ApiParameter } from "./route.ts";

const MEMBER = Buffer.from("sidelane");

export const explainParameters: readonly ApiParameter[] = [
  { name: "service", doc: "name of a service, or an authority as callers write it", schema: { type: "string" } },
  { name: "host", doc: "in place of service: the authority as a caller writes it", schema: { type: "string" } },
  { name: "key", doc: "routing key; goes before header", schema: { type: "string" } },
  {
    name: "header",
    doc: "a field of the request, as in baggage: sidelane=pr-7; the key is looked for in baggage",
    repeatable: true,
    schema: { type: "array", items: { type: "string" } },
  },
];

/** As `sidelane explain` without a config: an outbound request whose key is in the baggage member `sidelane`. */
export function explainAnswer({ backend }: ApiCall, query: Query): Answer {
  const service = query.get("service")?.[0] ?? query.get("host")?.[0];
  if (query.has("service") && query.has("host")) {
    return badQuery("service and host are two ways to name one thing; give one of them", explainParameters);
  }
  if (service === undefined) return badQuery("say which service is called, as in ?service=checkout", explainParameters);
  const baggage: string[] = [];
  for (const text of query.get("header") ?? []) {
    const field = parseField(text, explainParameters);
    if ("status" in field) return field;
    if (field[0].toLowerCase() === "baggage") baggage.push(field[1]);
  }
  const table = compiled(backend.state);
  if (typeof table === "string") return problemAnswer(500, table);
  const given = query.get("key")?.[0];
  const key = given ?? keyIn(baggage);
  const question: Question = {
    table,
    policy: { direction: "outbound", self: false, onUnknownKey: "baseline" },
    service,
    egress: "strip",
    ...(key === undefined ? {} : { key }),
    ...(key === undefined || given !== undefined ? {} : { carrier: "baggage: sidelane" }),
  };
  return jsonAnswer(200, explain(question));
}

function keyIn(baggage: readonly string[]): string | undefined {
  const found = new Found();
  let any = false;
  for (const field of baggage) {
    const bytes = Buffer.from(field);
    any = findBaggageMember(bytes, 0, bytes.length, MEMBER, found) || any;
  }
  return any ? Buffer.from(found.bytes.subarray(found.start, found.end)).toString() : undefined;
}

const kept = new WeakMap<ControlState, CompiledTable>();

/** Or why it cannot be compiled, which would be a bug of ours: nothing is written that does not fit. */
function compiled(state: ControlState): CompiledTable | string {
  const { revision } = state;
  const last = kept.get(state);
  if (last?.version === revision) return last;
  const result = compileFed(state.document());
  if (!result.ok) return `the table has problems: ${result.problems.slice(0, 5).join("; ")}`;
  const table = new CompiledTable(result.image, revision, result.digest);
  kept.set(state, table);
  return table;
}
