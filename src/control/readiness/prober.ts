// Asks sidecars whether sandboxes answer, and remembers what they said. Guarantees: nothing is asked that nobody wants to know; an
// answer serves everybody who wants it for some seconds; no more than `RUNNING_MAX` are asked at one time, however many want to
// know; an endpoint that does not answer is asked less and less often.

import type { AnswerBody, Probe, ProbeResult, QuestionBody } from "../../feed/messages.ts";
import type { SidecarInfo } from "../feed/sidecars.ts";
import { sidecarText } from "./applied.ts";

/** An answer is as good as new for so long. */
const FRESH_MS = 10_000;
/** After an answer that was none, doubled with each further one. */
const AGAIN_MS = 500;
const AGAIN_MS_MAX = 5_000;
/** Questions on their way. */
const RUNNING_MAX = 32;
/** Sidecars that are asked for one answer, when those before cannot say. */
const ASKED_MAX = 3;
/** What nobody has looked at for so long is forgotten. */
const FORGET_MS = 60_000;
const TIDY_MS = 10_000;

/** One thing to be asked: a port of a service of a sandbox, with the endpoints that should answer. */
export interface Subject {
  readonly sandbox: string;
  /** Of the sandbox: what was answered for an earlier one says nothing. */
  readonly version: number;
  readonly endpoints: readonly string[];
  readonly probe: Probe;
}

/** What is known about a subject. */
export interface Outcome {
  /** Undefined: no sidecar could say. */
  readonly result: ProbeResult | undefined;
  /** Who was asked, and why none could say. */
  readonly detail: string;
  readonly atMs: number;
}

/** Asks a sidecar, whichever replica it is connected to; always resolves. */
export type Ask = (sidecar: SidecarInfo, question: QuestionBody, withinMs: number) => Promise<AnswerBody>;

interface Entry {
  outcome: Outcome | undefined;
  running: boolean;
  failures: number;
  lookedMs: number;
}

export class Prober {
  readonly #ask: Ask;
  readonly #withinMs: number;
  readonly #nowMs: () => number;
  readonly #entries = new Map<string, Entry>();
  readonly #listeners = new Set<() => void>();
  #running = 0;
  #tidiedMs = 0;

  constructor(ask: Ask, withinMs: number, nowMs: () => number = () => performance.now()) {
    this.#ask = ask;
    this.#withinMs = withinMs;
    this.#nowMs = nowMs;
  }

  /**
   * What is known, and sees to it that more will be, if what is known is old. Undefined until the first answer, and when it is
   * old and nobody can be asked any more, or somebody waits and would take it for the truth.
   *
   * @param candidates who can be asked, best first.
   * @param patient somebody waits: what failed is asked again soon.
   */
  look(subject: Subject, candidates: readonly SidecarInfo[], patient: boolean): Outcome | undefined {
    this.#tidy();
    const id = JSON.stringify([subject.sandbox, subject.version, subject.endpoints, subject.probe]);
    let entry = this.#entries.get(id);
    if (entry === undefined) {
      entry = { outcome: undefined, running: false, failures: 0, lookedMs: 0 };
      this.#entries.set(id, entry);
    }
    entry.lookedMs = this.#nowMs();
    if (this.#isDue(entry, patient) && candidates.length > 0 && this.#running < RUNNING_MAX) {
      void this.#run(entry, subject, candidates);
    }
    const { outcome } = entry;
    if (outcome === undefined || this.#nowMs() - outcome.atMs < FRESH_MS) return outcome;
    // Nobody can say any more, or somebody takes it for the truth.
    return candidates.length === 0 || (patient && outcome.result?.answered === true) ? undefined : outcome;
  }

  /** Called when there is an answer. Returns what takes the listener off again. */
  onAnswer(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #isDue({ outcome, running, failures }: Entry, patient: boolean): boolean {
    if (running) return false;
    if (outcome === undefined) return true;
    const ageMs = this.#nowMs() - outcome.atMs;
    if (!patient || failures === 0) return ageMs >= FRESH_MS;
    return ageMs >= Math.min(AGAIN_MS * 2 ** (failures - 1), AGAIN_MS_MAX);
  }

  async #run(entry: Entry, subject: Subject, candidates: readonly SidecarInfo[]): Promise<void> {
    entry.running = true;
    this.#running++;
    const { result, detail } = await this.#askInTurn(subject, candidates.slice(0, ASKED_MAX));
    this.#running--;
    entry.running = false;
    entry.outcome = { result, detail, atMs: this.#nowMs() };
    entry.failures = result?.answered === true ? 0 : entry.failures + 1;
    for (const listener of this.#listeners) listener();
  }

  async #askInTurn(
    { probe }: Subject,
    candidates: readonly SidecarInfo[],
  ): Promise<{ result: ProbeResult | undefined; detail: string }> {
    const reasons: string[] = [];
    for (const candidate of candidates) {
      const answer = await this.#ask(candidate, { kind: "probe", probe }, this.#withinMs).catch(
        (error: unknown): AnswerBody => ({ kind: "error", error: String(error) }),
      );
      if (answer.kind === "probe") return { result: answer.probe, detail: sidecarText(candidate) };
      const why = answer.kind === "error" ? answer.error : "it answered another question";
      reasons.push(`${sidecarText(candidate)}: ${why}`);
    }
    return { result: undefined, detail: reasons.join("; ") };
  }

  #tidy(): void {
    const now = this.#nowMs();
    if (now - this.#tidiedMs < TIDY_MS) return;
    this.#tidiedMs = now;
    for (const [id, { lookedMs, running }] of this.#entries) {
      if (!running && now - lookedMs > FORGET_MS) this.#entries.delete(id);
    }
  }
}
