// What replicas of the control plane ask each other over their APIs, with the secret of the one that is asked. Not part of the API
// for people: both sides are this code, and a version that answers something else is taken for one that does not answer.
//
//   GET  /v1/internal/sidecars        { revision, sidecars }: those connected here, and the last revision heard of
//   POST /v1/internal/ask             { instance, question, withinMs } -> AnswerBody of a sidecar that is connected here
//   GET  /v1/internal/traces?id=      { sidecars }: what the journals of those connected here have about a trace

import type { AnswerBody, QuestionBody } from "../feed/messages.ts";
import type { SidecarInfo, Sidecars } from "./feed/sidecars.ts";
import { SIDECARS_PATH } from "./readiness/sidecar-views.ts";
import type { Replicas } from "./replicas.ts";
import type { ControlState } from "./state.ts";
import { REPLICA_MS, TRACES_PATH, traceHere } from "./traces.ts";

const ASK_PATH = "/v1/internal/ask";
/** Beyond the time of the sidecar: for the way between the replicas. */
const WAY_MS = 500;
const WITHIN_MS_MAX = 60_000;

/** One of these routes, for the API to serve to other replicas (`Identity.replica`) and to nobody else. */
export interface InternalRoute {
  readonly method: "GET" | "POST";
  readonly path: string;
  /** @param body JSON, parsed; undefined with GET. Throws a `BadQuestionError` when it makes no sense: status 400. */
  answer(query: URLSearchParams, body: unknown): Promise<object>;
}

/** The question of another replica makes no sense. */
export class BadQuestionError extends Error {
  override readonly name = "BadQuestionError";
}

/** All of them. */
export function internalRoutes(
  sidecars: Sidecars,
  state: Pick<ControlState, "revision">,
  withinMs: number,
): readonly InternalRoute[] {
  return [
    {
      method: "GET",
      path: SIDECARS_PATH,
      answer: async () => ({ revision: state.revision, sidecars: sidecars.list() }),
    },
    {
      method: "POST",
      path: ASK_PATH,
      answer: async (_query, body) => {
        const { instance, question, withinMs: asked } = askedOf(body);
        return sidecars.ask(instance, question, asked);
      },
    },
    {
      method: "GET",
      path: TRACES_PATH,
      answer: async (query) => {
        const id = query.get("id") ?? "";
        if (id === "")
          throw new BadQuestionError("id is the trace's, write it as ?id=4bf92f3577b34da6a3ce929d0e0e4736");
        return { sidecars: await traceHere(sidecars, id, withinMs, REPLICA_MS) };
      },
    },
  ];
}

/** Asks a sidecar, whichever replica it is connected to. */
export function askAnywhere(
  sidecars: Pick<Sidecars, "replica" | "ask">,
  replicas: Pick<Replicas, "others" | "ask">,
): (sidecar: SidecarInfo, question: QuestionBody, withinMs: number) => Promise<AnswerBody> {
  return async ({ instance, replica }, question, withinMs) => {
    if (replica === sidecars.replica) return sidecars.ask(instance, question, withinMs);
    const record = replicas.others().find(({ id }) => id === replica);
    if (record === undefined) return { kind: "error", error: `its control replica ${replica} is gone` };
    const answer = await replicas.ask(record, ASK_PATH, { instance, question, withinMs }, withinMs + WAY_MS);
    if ("why" in answer) {
      return { kind: "error", error: `its control replica ${replica} cannot be asked: ${answer.why}` };
    }
    return answerOf(answer.answer) ?? { kind: "error", error: `its control replica ${replica} is another version` };
  };
}

function askedOf(body: unknown): { instance: string; question: QuestionBody; withinMs: number } {
  const { instance, question, withinMs } = (body ?? {}) as Readonly<Record<string, unknown>>;
  const { kind } = (question ?? {}) as { readonly kind?: unknown };
  const inTime = typeof withinMs === "number" && withinMs > 0 && withinMs <= WITHIN_MS_MAX;
  if (typeof instance !== "string" || !inTime || (kind !== "probe" && kind !== "journal")) {
    throw new BadQuestionError("the body is { instance, question, withinMs }, as replicas of this version send it");
  }
  return { instance, question: question as QuestionBody, withinMs };
}

function answerOf(answer: unknown): AnswerBody | undefined {
  const { kind } = (answer ?? {}) as { readonly kind?: unknown };
  return kind === "probe" || kind === "journal" || kind === "error" ? (answer as AnswerBody) : undefined;
}
