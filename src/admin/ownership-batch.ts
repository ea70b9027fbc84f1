import { isUtf8 } from "node:buffer";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { CompiledTable } from "../routing/compiled-table.ts";
import { checkName } from "../routing/names.ts";
import { claimPort, ownerOfTarget, unknownService } from "../routing/ownership.ts";
import { problemAnswer } from "./answer.ts";
import type { Answer } from "./answer.ts";
import type { MessageKeys } from "./message-keys.ts";
import type { OwnershipBackend } from "./ownership-routes.ts";
import { tableText } from "./subscription.ts";

/** Messages looked at per turn of the event loop: below a millisecond. */
const MESSAGES_PER_TURN = 500;

const BATCH_EXAMPLE = '{"messages": [{"baggage": "sidelane=pr-7"}]}';

/** Answers `POST /owner`: one table decides on all messages. */
export async function answerBatch(backend: OwnershipBackend, body: Buffer): Promise<Answer> {
  const batch = readBatch(body, backend.batchMax);
  if ("status" in batch) return batch;
  const decisions = new BatchDecisions(backend, batch);
  for (;;) {
    const problem = decisions.decideSome();
    if (problem !== undefined) return problemAnswer(400, problem);
    if (decisions.complete) return { status: 200, contentType: "application/json", body: decisions.toJson() };
    await nextTurn();
  }
}

/** The decisions on a batch while they are made, with the table of the moment in which that began. */
export class BatchDecisions {
  readonly #backend: OwnershipBackend;
  readonly #table: CompiledTable;
  readonly #service: string;
  readonly #port: number;
  readonly #messages: readonly unknown[];
  readonly #handle: boolean[] = [];
  readonly #owners: string[] = [];

  constructor(backend: OwnershipBackend, batch: Batch) {
    this.#backend = backend;
    this.#table = backend.cell.current;
    this.#service = batch.service ?? backend.service;
    this.#port = claimPort(this.#table, this.#service);
    this.#messages = batch.messages;
  }

  get complete(): boolean {
    return this.#owners.length === this.#messages.length;
  }

  /** Decides as many as fit into one turn of the event loop; returns what is wrong with the shape of one. */
  decideSome(): string | undefined {
    const { keys, instance } = this.#backend;
    const first = this.#owners.length;
    const end = Math.min(first + MESSAGES_PER_TURN, this.#messages.length);
    for (let i = first; i < end; i++) {
      const problem = takeMessage(keys, this.#messages[i], i);
      if (problem !== undefined) return problem;
      const owner = ownerOfTarget(this.#table, this.#port, keys.find(this.#table));
      this.#handle.push(owner === instance);
      this.#owners.push(owner);
    }
    return undefined;
  }

  /** The answer; not indented, because programs read it. */
  toJson(): string {
    const table = tableText(this.#table);
    const because = this.#port === -1 ? `"because":${JSON.stringify(unknownService(this.#service))},` : "";
    const decisions = `"handle":${JSON.stringify(this.#handle)},"owner":${JSON.stringify(this.#owners)}`;
    return `{"table":${table},${because}${decisions}}\n`;
  }
}

/** A batch whose messages have not been looked at. */
export interface Batch {
  readonly service: string | undefined;
  readonly messages: readonly unknown[];
}

/** Reads the body of `POST /owner`, all but the messages. */
export function readBatch(body: Buffer, messagesMax: number): Batch | Answer {
  if (!isUtf8(body)) return problemAnswer(400, "the body is not UTF-8, so it is no JSON (RFC 8259 §8.1)");
  let value: unknown;
  try {
    value = JSON.parse(body.toString("utf8"));
  } catch (error) {
    const what = body.length === 0 ? "it is empty" : error instanceof Error ? error.message : String(error);
    return problemAnswer(400, `the body is not valid JSON: ${what}; write ${BATCH_EXAMPLE}`);
  }
  if (!isObject(value)) return problemAnswer(400, `the body is ${kindOf(value)}; write ${BATCH_EXAMPLE}`);
  const unknown = Object.keys(value).find((name) => name !== "service" && name !== "messages");
  if (unknown !== undefined) {
    return problemAnswer(400, `there is no field ${JSON.stringify(unknown)} here; there are service and messages`);
  }
  const { service, messages } = value;
  if (service !== undefined && typeof service !== "string") {
    return problemAnswer(400, `service is ${kindOf(service)}; write the name of a service, or leave it out`);
  }
  const wrong = service === undefined ? undefined : checkName(service);
  if (wrong !== undefined) return problemAnswer(400, `service: ${wrong.problem}, ${wrong.hint}`);
  if (!Array.isArray(messages)) {
    const what = messages === undefined ? "missing" : kindOf(messages);
    return problemAnswer(400, `messages is ${what}; write an array, as in ${BATCH_EXAMPLE}`);
  }
  if (messages.length > messagesMax) {
    const detail = `${messages.length} messages are too many at once; send at most ${messagesMax} (limits.ownerBatchMax)`;
    return problemAnswer(413, detail);
  }
  return { service, messages };
}

/** Hands a message's headers to the finder, in the order in which they stand; returns what is wrong with its shape. */
function takeMessage(keys: MessageKeys, message: unknown, index: number): string | undefined {
  keys.begin();
  if (!isObject(message)) return `messages[${index}] is ${kindOf(message)}; write {"baggage": "sidelane=pr-7"}`;
  for (const name of Object.keys(message)) {
    const value = message[name];
    switch (name) {
      case "baggage":
      case "tracestate":
        if (typeof value !== "string") return `messages[${index}].${name} is ${kindOf(value)}; write a string`;
        keys.add(name, value);
        break;
      case "headers": {
        const problem = takeHeaders(keys, value);
        if (problem !== undefined) return `messages[${index}].headers${problem}`;
        break;
      }
      default:
        return `messages[${index}] has no field ${JSON.stringify(name)}; there are baggage, tracestate and headers`;
    }
  }
  return undefined;
}

function takeHeaders(keys: MessageKeys, headers: unknown): string | undefined {
  if (!isObject(headers)) return ` is ${kindOf(headers)}; write an object, as in {"x-sandbox": "pr-7"}`;
  for (const name of Object.keys(headers)) {
    const value = headers[name];
    const values: readonly unknown[] = Array.isArray(value) ? value : [value];
    for (const one of values) {
      if (typeof one === "string") keys.add(name, one);
      else return `[${JSON.stringify(name)}] is ${kindOf(one)}; write a string, or an array of strings`;
    }
  }
  return undefined;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}
