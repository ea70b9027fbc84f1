import type { ServerResponse } from "node:http";
import type { CompiledTable } from "../routing/compiled-table.ts";
import { EventStream } from "./event-stream.ts";

/** What is so with one table; equal contents with two tables mean that nothing has changed but the table. */
export interface State {
  readonly table: CompiledTable["version"];
  /** The table as it is written in answers, JSON. */
  readonly tableText: string;
  /** Members of a JSON object, without the braces. */
  readonly content: Buffer;
}

/** What streams tell of. */
export interface Subject {
  /** Name of the event that brings a new content. */
  readonly event: "rule" | "owner";
  readonly subscribers: Set<Subscription>;
  /** Undefined until it has been made for the first time. */
  readonly state: State | undefined;
}

/** The table behind an answer, as it is written there. */
export function tableText({ version, digest }: CompiledTable): string {
  return JSON.stringify({ version, digest });
}

/** One reader, what it is told of, and how much of that it knows. */
export class Subscription {
  readonly subject: Subject;
  readonly #stream: EventStream;
  readonly #closed: () => void;
  #sent: State | undefined = undefined;
  #open = true;

  /** `closed` is called once, when the stream has ended in whatever way. */
  constructor(response: ServerResponse, subject: Subject, closed: () => void) {
    this.subject = subject;
    this.#closed = closed;
    const onReady = (): void => this.catchUp();
    this.#stream = new EventStream(response, onReady, () => this.#close());
  }

  /** Sends what the reader does not know yet, if it can take it now; otherwise that comes when it can. */
  catchUp(): void {
    const { event, state } = this.subject;
    const sent = this.#sent;
    if (!this.#open || state === undefined || state.table === sent?.table || !this.#stream.ready) return;
    this.#sent = state;
    const { tableText: table, content } = state;
    if (sent !== undefined && sent.content.equals(content)) this.#stream.send("table", table);
    else this.#stream.send(event, `{"table":${table},`, content, "}");
  }

  /** As `EventStream.beat`. */
  beat(): boolean {
    return this.#stream.beat();
  }

  /** Says that no more messages should be taken, and ends the stream. */
  drain(): void {
    this.#stream.send("draining", '{"draining":true}');
    this.#stream.end();
    this.#close();
  }

  /** Ends the stream at once. */
  drop(): void {
    this.#stream.drop();
    this.#close();
  }

  #close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#closed();
  }
}
