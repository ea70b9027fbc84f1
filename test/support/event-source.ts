// A reader of server-sent events (WHATWG HTML §9.2) on a plain socket: what it does not ask for, it does not read.
import { type IncomingMessage, request } from "node:http";
import { onTestFinished } from "vitest";

/** One event; the data is JSON. */
export interface SentEvent {
  readonly event: string;
  readonly data: Record<string, unknown>;
}

/** An open stream; closed when the test is over. */
export class EventSource {
  readonly response: IncomingMessage;
  /** Comments that came so far. */
  comments = 0;
  /** "end": in good order; "aborted": broken off. */
  ended: "end" | "aborted" | undefined = undefined;
  readonly #events: SentEvent[] = [];
  #text = "";
  #wake = (): void => {};

  constructor(response: IncomingMessage) {
    this.response = response;
    response.setEncoding("utf8");
    response.on("data", (chunk: string) => this.#take(chunk));
    response.on("end", () => this.#end("end"));
    response.on("error", () => this.#end("aborted"));
  }

  /** The next event; rejects when the stream has ended before it. */
  async next(): Promise<SentEvent> {
    await this.#until(() => this.#events.length > 0 || this.ended !== undefined);
    const event = this.#events.shift();
    if (event === undefined) throw new Error(`the stream has ended: ${this.ended}`);
    return event;
  }

  /** How the stream ended, and the events that were left. */
  async end(): Promise<{ readonly how: "end" | "aborted" | undefined; readonly events: readonly SentEvent[] }> {
    await this.#until(() => this.ended !== undefined);
    return { how: this.ended, events: this.#events };
  }

  /** Resolves when so many comments have come. */
  async commented(times: number): Promise<void> {
    await this.#until(() => this.comments >= times);
  }

  #until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        if (condition()) resolve();
      };
      this.#wake();
    });
  }

  #take(chunk: string): void {
    this.#text += chunk;
    for (;;) {
      const end = this.#text.indexOf("\n\n");
      if (end === -1) break;
      const lines = this.#text.slice(0, end).split("\n");
      this.#text = this.#text.slice(end + 2);
      if (lines.some((line) => line.startsWith(":"))) this.comments++;
      const field = (name: string): string =>
        lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2) ?? "";
      if (field("data") === "") continue;
      this.#events.push({ event: field("event"), data: JSON.parse(field("data")) as Record<string, unknown> });
    }
    this.#wake();
  }

  #end(how: "end" | "aborted"): void {
    this.ended = how;
    this.#wake();
  }
}

/** Asks for a stream and resolves with the answer, whatever it is; nothing of its body is read yet. */
export function ask(url: string, headers: Record<string, string> = {}, method = "GET"): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { method, headers, agent: false }, resolve);
    sent.on("error", reject);
    sent.end();
    onTestFinished(() => void sent.destroy());
  });
}

/** Opens a stream; rejects when the answer is none. */
export async function openStream(url: string, headers: Record<string, string> = {}): Promise<EventSource> {
  const response = await ask(url, { accept: "text/event-stream", ...headers });
  if (response.statusCode === 200) return new EventSource(response);
  response.resume();
  throw new Error(`no stream, but ${response.statusCode}`);
}
