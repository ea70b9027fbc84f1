import type { AskMessage, Question, Questions } from "./worker-messages.ts";

/** Sends a question; a worker that is gone hears nothing. */
export type SendQuestion = (message: AskMessage) => void;

/** The questions that one worker has not answered yet. */
export class PendingQuestions {
  readonly #send: SendQuestion;
  readonly #timeoutMs: number;
  readonly #pending = new Map<number, (answer: unknown) => void>();
  #lastId = 0;

  constructor(send: SendQuestion, timeoutMs: number) {
    this.#send = send;
    this.#timeoutMs = timeoutMs;
  }

  /** Undefined when there is no answer in time, or none any more. */
  async ask<Q extends Question>(
    question: Q,
    about: Questions[Q]["about"],
  ): Promise<Questions[Q]["answer"] | undefined> {
    const id = ++this.#lastId;
    const { promise, resolve } = Promise.withResolvers<unknown>();
    const timer = setTimeout(() => resolve(undefined), this.#timeoutMs);
    this.#pending.set(id, resolve);
    // TypeScript does not see that question and about belong together.
    this.#send({ kind: "ask", id, question, about } as AskMessage);
    const answer = await promise;
    clearTimeout(timer);
    this.#pending.delete(id);
    return answer as Questions[Q]["answer"] | undefined;
  }

  /** An answer has come; one that is too late is dropped. */
  answered(id: number, answer: unknown): void {
    this.#pending.get(id)?.(answer);
  }

  /** The worker is gone: nothing that was asked will be answered. */
  giveUp(): void {
    for (const resolve of this.#pending.values()) resolve(undefined);
  }
}
