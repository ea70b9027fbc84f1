/** What one look found. */
export interface Finding {
  /** `error`: requests or changes do not arrive as they should. `warning`: they do, but something will bite. */
  readonly level: "good" | "warning" | "error";
  /** What was looked at: `compose.yaml: checkout`, `deployment sidelane/sidelane-webhook`. */
  readonly subject: string;
  /** What is so, a sentence without a full stop. */
  readonly message: string;
  /** What to do about it; "" when nothing. */
  readonly advice: string;
}

/** Collects what is found. */
export class Findings {
  readonly #all: Finding[] = [];

  get all(): readonly Finding[] {
    return this.#all;
  }

  good(subject: string, message: string): void {
    this.#all.push({ level: "good", subject, message, advice: "" });
  }

  warning(subject: string, message: string, advice: string): void {
    this.#all.push({ level: "warning", subject, message, advice });
  }

  error(subject: string, message: string, advice: string): void {
    this.#all.push({ level: "error", subject, message, advice });
  }
}
