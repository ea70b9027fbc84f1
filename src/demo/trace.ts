import { styleText } from "node:util";
import type { OrderResult, Route } from "./order.ts";
import { services } from "./shop.ts";

type Style = Parameters<typeof styleText>[0];

const LABEL_WIDTH = 30;
const CELL_WIDTH = 11;

/** Colours where the terminal has them: `styleText` heeds NO_COLOR, FORCE_COLOR and pipes by itself. */
export function paint(style: Style, text: string): string {
  return styleText(style, text, { stream: process.stdout });
}

/** Prints one line. */
export function say(line = ""): void {
  process.stdout.write(`${line}\n`);
}

/** A line about the one above it. */
export function note(text: string): void {
  say(`    ${paint("dim", text)}`);
}

/** The head of the table of requests. */
export function traceHead(): void {
  const cells = services.map((service) => service.padEnd(CELL_WIDTH)).join("");
  say(paint("bold", `    ${"baggage of the request".padEnd(LABEL_WIDTH)}${cells}answer`));
}

/** One request: who answered at each service, and what came back. */
export function traceOrder(ok: boolean, label: string, result: OrderResult): void {
  const cells = services.map((service) => paintInstance(result.route[service])).join("");
  const answer =
    result.status === 200
      ? `${(result.cents / 100).toFixed(2)}${result.giftWrap ? " gift-wrapped" : ""} with ${result.recommended}`
      : paint("yellow", `${result.status} ${result.reason}`);
  say(`  ${verdict(ok)} ${label.padEnd(LABEL_WIDTH)}${cells}${answer}`);
}

/** One line of a load: how many orders took this way. */
export function traceCount(ok: boolean, label: string, route: Route, count: number): void {
  const cells = services.map((service) => paintInstance(route[service])).join("");
  say(`  ${verdict(ok)} ${label.padEnd(LABEL_WIDTH)}${cells}${count} orders`);
}

/** A finished check that has no route to show. */
export function traceCheck(ok: boolean, text: string): void {
  say(`  ${verdict(ok)} ${text}`);
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
