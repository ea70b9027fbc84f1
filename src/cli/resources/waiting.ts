// What goes on while somebody waits, on stderr: one line that changes on a terminal, a line per change elsewhere.

import { printable } from "../../base/printable.ts";
import { RefusedError } from "../../base/refused-error.ts";
import type { SandboxStatus } from "../../control/api/backend.ts";
import type { ControlClient } from "../../client/client.ts";
import { setTimeout as sleep } from "node:timers/promises";

/** Where progress goes; tests put something else there. */
export interface ProgressOutput {
  readonly write: (text: string) => void;
  readonly isTerminal: boolean;
  readonly columns: number;
}

export const stderrOutput: ProgressOutput = {
  write: (text) => void process.stderr.write(text),
  isTerminal: process.stderr.isTTY,
  columns: process.stderr.columns ?? 80,
};

/** How waiting ended. */
export interface WaitOutcome {
  readonly result: "reached" | "not-reached" | "interrupted";
  /** A sentence: how it is, or what is behind and why. */
  readonly message: string;
  readonly status: SandboxStatus | undefined;
}

/** After this long a connection that broke is tried again. */
const AGAIN_MS = 500;
/** The control plane lets nobody wait longer; then it is asked again. */
const ASKED_MS_MAX = 3_600_000;

/** Waits for a sandbox until it is ready or gone, until the time is up, or until Ctrl-C, which changes nothing about the sandbox. */
export async function waitFor(
  client: ControlClient,
  name: string,
  what: "ready" | "deleted",
  withinMs: number,
  output: ProgressOutput = stderrOutput,
): Promise<WaitOutcome> {
  const interrupted = new AbortController();
  const onSignal = (): void => interrupted.abort();
  process.once("SIGINT", onSignal);
  process.once("SIGTERM", onSignal);
  const line = new ProgressLine(output);
  try {
    return await follow(client, name, what, withinMs, interrupted.signal, line);
  } finally {
    line.end();
    process.off("SIGINT", onSignal);
    process.off("SIGTERM", onSignal);
  }
}

async function follow(
  client: ControlClient,
  name: string,
  what: "ready" | "deleted",
  withinMs: number,
  signal: AbortSignal,
  line: ProgressLine,
): Promise<WaitOutcome> {
  const endMs = performance.now() + withinMs;
  let status: SandboxStatus | undefined;
  for (;;) {
    const leftMs = Math.max(1, Math.min(ASKED_MS_MAX, Math.round(endMs - performance.now())));
    let broken = "the connection to the control plane broke";
    try {
      for await (const event of client.wait(name, what, leftMs, signal)) {
        status = event.status ?? status;
        if (event.kind === "done") {
          if (!event.reached && leftMs === ASKED_MS_MAX) break;
          return { result: event.reached ? "reached" : "not-reached", message: printable(event.message), status };
        }
        line.show(progressText(name, what, event.status));
      }
    } catch (error) {
      if (signal.aborted) return { result: "interrupted", message: "", status };
      // Before the first answer there is nothing to go on with.
      if (status === undefined || !(error instanceof RefusedError) || "status" in error) throw error;
      broken = error.message;
    }
    if (signal.aborted) return { result: "interrupted", message: "", status };
    // Another replica may take over, or this one comes back: the sandbox does not depend on it.
    if (performance.now() + AGAIN_MS >= endMs) return { result: "not-reached", message: broken, status };
    line.show(`${name}: the connection to the control plane broke, trying again`);
    await sleep(AGAIN_MS, undefined, { signal }).catch(() => undefined);
  }
}

/** `pr-7: 3 of 4 sidecars have it; waiting for …`: the sentences of what is not so yet. */
function progressText(name: string, what: "ready" | "deleted", status: SandboxStatus | undefined): string {
  const conditions = status?.conditions ?? [];
  const behind = conditions.filter(({ type, status: is }) => type !== "Ready" && type !== "Expiring" && is !== "true");
  const shown = behind.length > 0 ? behind : conditions.filter(({ type }) => type === "Ready");
  const text = [...new Set(shown.map(({ message }) => message))].filter(Boolean).join("; ");
  return printable(
    `${name}: ${text === "" ? (what === "ready" ? "waiting until it is ready" : "waiting until it is gone") : text}`,
  );
}

class ProgressLine {
  readonly #output: ProgressOutput;
  #shown = "";

  constructor(output: ProgressOutput) {
    this.#output = output;
  }

  show(text: string): void {
    const { write, isTerminal, columns } = this.#output;
    // In a log, a line for every second that goes by would be too many.
    const said = isTerminal ? text : text.replaceAll(/\d+ s\b/gu, "s");
    if (said === this.#shown) return;
    this.#shown = said;
    if (!isTerminal) return write(`${text}\n`);
    const width = Math.max(20, columns - 1);
    // Longer, it would wrap, and only its last line be rewritten.
    write(`\r\u001b[K${text.length > width ? `${text.slice(0, width - 1)}…` : text}`);
  }

  /** Leaves an empty line on a terminal: what is said last is said on stdout. */
  end(): void {
    if (this.#output.isTerminal && this.#shown !== "") this.#output.write("\r\u001b[K");
  }
}
