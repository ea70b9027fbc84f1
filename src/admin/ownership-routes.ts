import { checkName } from "../routing/names.ts";
import type { CompiledTable } from "../routing/compiled-table.ts";
import { NO_SERVICE } from "../routing/decide.ts";
import { BASELINE, claimPort, ownershipReason, ownerOfTarget, unknownService } from "../routing/ownership.ts";
import type { OwnershipReason } from "../routing/ownership.ts";
import type { TableCell } from "../routing/table-cell.ts";
import { jsonAnswer, problemAnswer } from "./answer.ts";
import type { Answer } from "./answer.ts";
import type { Header, MessageKeys } from "./message-keys.ts";
import { answerBatch } from "./ownership-batch.ts";
import type { OwnershipStreams } from "./ownership-streams.ts";
import { badQuery, parseField } from "./query.ts";
import type { Parameter, Query } from "./query.ts";
import { describeRoutes } from "./route.ts";
import type { Route, StreamAnswer } from "./route.ts";

/** What the answers are made from. */
export interface OwnershipBackend {
  /** The config's. */
  readonly service: string;
  /** `BASELINE` or the name of the config's sandbox: who this instance is. */
  readonly instance: string;
  readonly cell: TableCell;
  readonly keys: MessageKeys;
  readonly streams: OwnershipStreams;
  /** Messages of one batch. */
  readonly batchMax: number;
}

const service: Parameter = { name: "service", doc: "the consumer's service; without it the sidecar's own" };
const baggage = "the baggage of the message, as in sidelane=pr-7";
const tracestate = "the tracestate of the message";
const header: Parameter = {
  name: "header",
  doc: "any other header of the message that is a carrier, as in x-sandbox: pr-7",
  repeatable: true,
};

const messageParameters: readonly Parameter[] = [
  service,
  { name: "baggage", doc: baggage },
  { name: "tracestate", doc: tracestate },
  header,
];

const streamParameters: readonly Parameter[] = [
  service,
  // A context without a key is a context, and not the question for the rule.
  { name: "baggage", doc: `${baggage}; with it the stream tells of this one context`, keepsEmpty: true },
  { name: "tracestate", doc: `${tracestate}; as baggage`, keepsEmpty: true },
  { ...header, doc: `${header.doc}; as baggage` },
];

/** Every endpoint of `ownership.address`. */
export const ownershipRoutes: readonly Route<OwnershipBackend>[] = [
  {
    method: "GET",
    path: "/",
    doc: "this list",
    parameters: [],
    answer: () => jsonAnswer(200, { endpoints: describeRoutes(ownershipRoutes) }),
  },
  {
    method: "GET",
    path: "/owner",
    doc: "whether this instance handles a message with that context, and why",
    parameters: messageParameters,
    answer: ownerAnswer,
  },
  {
    method: "POST",
    path: "/owner",
    doc: 'the same for many: { "service"?, "messages": [{ "baggage"?, "tracestate"?, "headers"? }] }',
    parameters: [],
    answer: (backend, _, body) => noTable(backend) ?? answerBatch(backend, body),
  },
  {
    method: "GET",
    path: "/owner/stream",
    doc: "the rule for this instance now and whenever it changes, as server-sent events",
    parameters: streamParameters,
    answer: streamAnswer,
  },
];

/** The answer about one message, but for the table. */
interface OwnerDescription {
  readonly handle: boolean;
  readonly owner: string;
  readonly service: string;
  readonly key: string | null;
  readonly reason: OwnershipReason;
  readonly because: string;
}

function ownerAnswer(backend: OwnershipBackend, query: Query): Answer {
  const asked = readQuestion(backend, query, messageParameters);
  if ("status" in asked) return asked;
  const table = backend.cell.current;
  const { version, digest } = table;
  const missing = noTable(backend);
  if (missing !== undefined) return missing;
  return jsonAnswer(200, { ...describeOwner(backend, table, asked), table: { version, digest } });
}

function streamAnswer(backend: OwnershipBackend, query: Query): Answer | StreamAnswer {
  const asked = readQuestion(backend, query, streamParameters);
  if ("status" in asked) return asked;
  const { streams } = backend;
  if (streams.refusal !== undefined) return problemAnswer(503, streams.refusal);
  const about = ["baggage", "tracestate", "header"].some((name) => query.has(name));
  return {
    status: 200,
    contentType: "text/event-stream",
    stream(response) {
      if (about) streams.openOwner(response, (table) => describeOwner(backend, table, asked));
      else streams.openRule(response, asked.service);
    },
  };
}

interface Question {
  readonly service: string;
  readonly headers: readonly Header[];
}

function readQuestion(backend: OwnershipBackend, query: Query, known: readonly Parameter[]): Question | Answer {
  const name = query.get("service")?.[0] ?? backend.service;
  const wrong = checkName(name);
  if (wrong !== undefined) return badQuery(`service: ${wrong.problem}, ${wrong.hint}`, known);
  const headers: Header[] = [];
  for (const carrier of ["baggage", "tracestate"]) {
    for (const value of query.get(carrier) ?? []) headers.push([carrier, value]);
  }
  for (const text of query.get("header") ?? []) {
    const field = parseField(text, known);
    if ("status" in field) return field;
    headers.push(field);
  }
  return { service: name, headers };
}

/** Nobody owns anything before there is a table: guessing would lose messages or handle them twice. */
function noTable({ cell }: OwnershipBackend): Answer | undefined {
  if (cell.current.version > 0) return undefined;
  return problemAnswer(503, "no routing table has been loaded; ask again", {}, { "retry-after": "1" });
}

function describeOwner({ instance, keys }: OwnershipBackend, table: CompiledTable, asked: Question): OwnerDescription {
  const target = keys.findIn(asked.headers, table);
  const owner = ownerOfTarget(table, claimPort(table, asked.service), target);
  const reason = ownershipReason(target, owner);
  const why = whyOwned(table, asked.service, keys.key ?? "", target, owner, reason);
  const who = instance === BASELINE ? "the baseline's" : `of sandbox ${instance}`;
  return {
    handle: owner === instance,
    owner,
    service: asked.service,
    key: keys.key ?? null,
    reason,
    because: `${why}; this instance is ${who}`,
  };
}

function whyOwned(
  table: CompiledTable,
  name: string,
  key: string,
  target: number,
  owner: string,
  reason: OwnershipReason,
): string {
  if (table.serviceByName(name) === NO_SERVICE) return unknownService(name);
  if (reason === "no-key") return "the message carries no key";
  if (reason === "unknown-key") return `no sandbox or group has the key ${key}`;
  const group = table.groupMembers(target) === undefined ? undefined : table.targetName(target);
  if (reason === "not-in-sandbox") {
    return group === undefined
      ? `sandbox ${table.targetName(target)} does not have ${name}`
      : `no sandbox of group ${group} has ${name}`;
  }
  return group === undefined
    ? `sandbox ${owner} has ${name}`
    : `sandbox ${owner} is the first of group ${group} that has ${name}`;
}
