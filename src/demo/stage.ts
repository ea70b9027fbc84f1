import { styleText } from "node:util";
import type { OrderResult, Route } from "./order.ts";
import { services } from "./shop-plan.ts";

type Style = Parameters<typeof styleText>[0];

const LABEL_WIDTH = 30;
const CELL_WIDTH = 11;

/** Colours where the terminal has them: `styleText` heeds NO_COLOR, FORCE_COLOR and pipes by itself. */
export function paint(style: Style, text: string): string {
  return styleText(style, text, { stream: process.stdout });
}

/** Where the demo plays: takes its lines, and remembers what was not as it must be. */
export class Stage {
  /** One sentence each; empty: all as it should be. */
  readonly problems: string[] = [];
  readonly #say: (line: string) => void;

  constructor(say: (line: string) => void) {
    this.#say = say;
  }

  /** One line. */
  line(text = ""): void {
    this.#say(text);
  }

  /** What the next lines are about. */
  heading(text: string): void {
    this.line();
    this.line(paint("bold", `    ${text}`));
  }

  /** A line about the one above it. */
  note(text: string): void {
    this.line(`    ${paint("dim", text)}`);
  }

  /** The head of the table of requests. */
  tableHead(): void {
    const cells = services.map((service) => service.padEnd(CELL_WIDTH)).join("");
    this.line(paint("bold", `    ${"baggage of the request".padEnd(LABEL_WIDTH)}${cells}answer`));
  }

  /** One request: who answered at each service, and what came back. */
  order(label: string, result: OrderResult, differences: readonly string[], why: string): void {
    const recommended = result.recommended === "" ? "" : ` with ${result.recommended}`;
    const answer =
      result.status === 200
        ? `${(result.cents / 100).toFixed(2)}${result.giftWrap ? " gift-wrapped" : ""}${recommended}`
        : paint("yellow", `${result.status} ${result.reason}`);
    this.#row(differences.length === 0, label, result.route, answer);
    this.note(why);
    this.problems.push(...differences.map((difference) => `${label}: ${difference}`));
  }

  /** One line of a load: how many orders took this way. */
  count(ok: boolean, label: string, route: Route, count: number): void {
    this.#row(ok, label, route, `${count} orders`);
    if (!ok) this.problems.push(`${label} ${count} orders went ${Object.values(route).join(", ")}`);
  }

  /** A finished check that has no route to show. */
  check(ok: boolean, text: string): void {
    this.line(`  ${verdict(ok)} ${text}`);
    if (!ok) this.problems.push(text);
  }

  #row(ok: boolean, label: string, route: Route, answer: string): void {
    const cells = services.map((service) => paintInstance(route[service])).join("");
    this.line(`  ${verdict(ok)} ${label.padEnd(LABEL_WIDTH)}${cells}${answer}`);
  }
}

function verdict(ok: boolean): string {
  return ok ? paint("green", "✓") : paint(["red", "bold"], "✗");
}

function paintInstance(instance: string): string {
  const cell = (instance || "-").padEnd(CELL_WIDTH);
  if (instance === "pr-7") return paint("cyan", cell);
  if (instance === "pr-9") return paint("magenta", cell);
  if (instance === "pr-11") return paint("blue", cell);
  return paint("dim", cell);
}
