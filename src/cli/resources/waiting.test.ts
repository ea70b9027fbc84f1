import { RefusedError } from "../../base/refused-error.ts";
import { describe, expect, test } from "vitest";
import type { Condition, SandboxStatus, WaitEvent } from "../../control/api/backend.ts";
import type { ControlClient } from "../../client/client.ts";
import { waitFor } from "./waiting.ts";
import type { ProgressOutput } from "./waiting.ts";

const condition = (type: string, status: Condition["status"], message: string): Condition => ({
  type,
  status,
  message,
  reason: "Why",
  since: "2026-01-02T03:04:05.000Z",
});

const status = (...conditions: readonly Condition[]): SandboxStatus => ({ conditions });

/** A control plane that tells these, one list for each time it is asked; a connection that breaks is an error at its end. */
function telling(...streams: readonly (readonly (WaitEvent | Error)[])[]): ControlClient {
  let asked = 0;
  const client: Pick<ControlClient, "wait"> = {
    async *wait() {
      for (const event of streams[asked++] ?? []) {
        if (event instanceof Error) throw event;
        yield event;
      }
    },
  };
  return client as ControlClient;
}

function output(isTerminal: boolean): ProgressOutput & { readonly written: string[] } {
  const written: string[] = [];
  return { written, isTerminal, columns: 40, write: (text) => void written.push(text) };
}

const behind = status(
  condition("Ready", "false", "all of it"),
  condition("Applied", "false", "the sidecar of a has not acknowledged revision 3 for 0 s"),
  condition("Answered", "unknown", "not asked yet"),
);
const later = status(
  condition("Ready", "false", "all of it"),
  condition("Applied", "false", "the sidecar of a has not acknowledged revision 3 for 2 s"),
  condition("Answered", "unknown", "not asked yet"),
);
const ready = status(condition("Ready", "true", "good"));
const done: WaitEvent = { kind: "done", reached: true, message: "good", status: ready };

describe("progress", () => {
  test("in a log: a line per change, none for seconds that go by", async () => {
    const out = output(false);
    const client = telling([
      { kind: "progress", status: behind },
      { kind: "progress", status: later },
      { kind: "progress", status: status(condition("Answered", "false", "refused\u001b[2J")) },
      done,
    ]);
    expect(await waitFor(client, "pr-7", "ready", 1000, out)).toEqual({
      result: "reached",
      message: "good",
      status: ready,
    });
    expect(out.written).toEqual([
      "pr-7: the sidecar of a has not acknowledged revision 3 for 0 s; not asked yet\n",
      "pr-7: refused\\u{001b}[2J\n",
    ]);
  });

  test("on a terminal: one line, rewritten, never wrapped, gone at the end", async () => {
    const out = output(true);
    await waitFor(
      telling([{ kind: "progress", status: behind }, { kind: "progress", status: later }, done]),
      "pr-7",
      "ready",
      1000,
      out,
    );
    expect(out.written).toEqual([
      "\r\u001b[Kpr-7: the sidecar of a has not acknowl…",
      "\r\u001b[Kpr-7: the sidecar of a has not acknowl…",
      "\r\u001b[K",
    ]);
  });
});

describe("the connection breaks", () => {
  const broken = new RefusedError("the control plane cannot be reached");

  test("on the way: another replica, or the same one again, goes on", async () => {
    const client = telling(
      [{ kind: "progress", status: behind }, broken],
      [{ kind: "progress", status: behind }],
      [done],
    );
    expect(await waitFor(client, "pr-7", "ready", 60_000, output(false))).toMatchObject({ result: "reached" });
  });

  test("before the first word: it is told at once", async () => {
    await expect(waitFor(telling([broken]), "pr-7", "ready", 60_000, output(false))).rejects.toBe(broken);
  });

  test("and the time is up", async () => {
    const client = telling([{ kind: "progress", status: behind }, broken]);
    expect(await waitFor(client, "pr-7", "ready", 400, output(false))).toMatchObject({
      result: "not-reached",
      message: "the control plane cannot be reached",
    });
  });
});
