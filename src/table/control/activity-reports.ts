import type { Activity, Busy } from "../../feed/messages.ts";
import type { FeedQuestions } from "./questions.ts";

const IDLE_MS = 10_000;
/** Somebody who deletes a sandbox waits for its last exchange. */
const BUSY_MS = 250;

/**
 * Tells the control plane what goes on, as long as it is connected: at once when it has connected, be it nothing (what ran before the
 * break may be over), then about every 10 s, and soon when `busy` changes.
 */
export class ActivityReports {
  readonly #questions: FeedQuestions;
  readonly #send: (activity: Activity) => void;
  #timer: NodeJS.Timeout | undefined = undefined;
  #running = false;
  /** As it was told last on this stream; undefined: not yet. */
  #busy: readonly Busy[] | undefined = undefined;

  constructor(questions: FeedQuestions, send: (activity: Activity) => void) {
    this.#questions = questions;
    this.#send = send;
  }

  /** A stream is there, which knows nothing yet. */
  start(): void {
    this.#running = true;
    this.#busy = undefined;
    this.report();
  }

  stop(): void {
    this.#running = false;
    clearTimeout(this.#timer);
  }

  /** Tells what there is to tell, now and from now on. */
  report(): void {
    if (!this.#running) return;
    clearTimeout(this.#timer);
    const { used = [], busy = [] } = this.#questions.activity() ?? {};
    const busyChanged = JSON.stringify(busy) !== JSON.stringify(this.#busy);
    this.#busy = busy;
    if (used.length > 0 || busyChanged) this.#send({ used, busy });
    this.#timer = setTimeout(() => this.report(), busy.length > 0 ? BUSY_MS : IDLE_MS).unref();
  }
}
