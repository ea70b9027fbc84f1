// Checks with names for tests that are scripts: one line each, failed ones with their reason, the next one runs in any case.
import { once } from "node:events";
import { request } from "node:http";
import type { IncomingMessage } from "node:http";
import { setTimeout as delay } from "node:timers/promises";

/** Counts what it runs. */
export class NamedChecks {
  passed = 0;
  failed = 0;
  readonly #startedMs = performance.now();

  /** Runs one named check; a failed one is printed. */
  async check(name: string, body: () => void | Promise<void>): Promise<void> {
    const beganMs = performance.now();
    try {
      await body();
      this.passed += 1;
      console.log(`ok      ${name} (${seconds(beganMs, 1)} s)`);
    } catch (error) {
      this.failed += 1;
      console.log(`FAILED  ${name}\n${indent(error instanceof Error ? error.message : String(error))}`);
    }
  }

  /** The last line, and the exit code of the process. */
  conclude(test: string): void {
    const { passed, failed } = this;
    console.log(`${test}: ${passed} of ${passed + failed} checks passed in ${seconds(this.#startedMs, 0)} s`);
    process.exitCode = failed === 0 ? 0 : 1;
  }
}

/** What came back; status 0 and the reason when nobody answered. */
export interface Answer {
  readonly status: number;
  readonly text: string;
}

/** One request to a port of this machine, on a connection of its own. */
export async function get(port: number, path: string, headers: Record<string, string> = {}): Promise<Answer> {
  const sent = request({ host: "127.0.0.1", port, path, headers, agent: false, timeout: 10_000 });
  sent.on("timeout", () => sent.destroy(new Error("no answer within 10 s")));
  sent.end();
  try {
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    let text = "";
    for await (const chunk of response.setEncoding("utf8")) text += chunk as string;
    return { status: response.statusCode ?? 0, text };
  } catch (error) {
    return { status: 0, text: String(error) };
  }
}

/** Asks until it holds; throws after 30 s. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + 30_000;
  while (!(await holds())) {
    if (performance.now() > deadlineMs) throw new Error(`waited 30 s in vain until ${what}`);
    await delay(100);
  }
}

/** The text with every line four columns to the right. */
export function indent(text: string): string {
  return text.replaceAll(/^(?=.)/gm, "    ");
}

function seconds(sinceMs: number, digits: number): string {
  return ((performance.now() - sinceMs) / 1000).toFixed(digits);
}
