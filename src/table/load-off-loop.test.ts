import { describe, expect, test } from "vitest";
import { CompiledTable } from "../routing/compiled-table.ts";
import { loadBytes } from "./load-bytes.ts";
import type { LoadJob } from "./load-bytes.ts";
import { loadOffLoop } from "./load-off-loop.ts";
import type { OffLoopOptions } from "./load-off-loop.ts";

const jobOf = (text: string, knownDigests: readonly string[] = []): LoadJob => ({
  file: "routes.yaml",
  bytes: Uint8Array.from(Buffer.from(text)),
  knownDigests,
});
const TABLE = 'sandboxes: { pr-1: { services: { checkout: ["10.0.0.7:8080"] } } }\n';
const never = new AbortController().signal;
const script = (code: string): URL => new URL(`data:text/javascript,${encodeURIComponent(code)}`);
const run = (code: string, options: OffLoopOptions = {}) =>
  loadOffLoop(jobOf(TABLE), never, { workerUrl: script(code), ...options });

describe("the thread answers as the inline call does", () => {
  test("a good table, whose image comes over by transfer", async () => {
    const job = jobOf(TABLE);
    const answer = await loadOffLoop(job, never);
    const inline = loadBytes(jobOf(TABLE));
    if (answer.result !== "loaded" || inline.result !== "loaded") throw new Error("not loaded");
    expect(answer.digest).toBe(inline.digest);
    const table = new CompiledTable(answer.image, 1, answer.digest);
    expect(table.findTarget(Buffer.from("pr-1"), 0, 4)).toBe(0);
    expect(job.bytes.length).toBe(0); // went over
  });

  test("a bad one, one that is known, and one that is not text", async () => {
    for (const text of ["nonsense: 1\n", "sandboxes: [\n", "\xff\xfe"]) {
      const job = (): LoadJob => ({ ...jobOf(text), bytes: Uint8Array.from(Buffer.from(text, "latin1")) });
      const inline = loadBytes(job());
      expect(inline.result).toBe("invalid");
      expect(await loadOffLoop(job(), never)).toEqual(inline);
    }
    const { digest } = loadBytes(jobOf(TABLE)) as { digest: string };
    expect(await loadOffLoop(jobOf(TABLE, [digest]), never)).toEqual({ result: "known", digest });
  });
});

describe("a thread that fails is an answer", () => {
  test("it throws", async () => {
    expect(await run("throw new Error('broken')")).toEqual({ result: "failed", message: "broken" });
  });

  test("it ends without a word", async () => {
    const answer = await run("process.exit(3)");
    expect(answer).toEqual({ result: "failed", message: "the worker thread ended without an answer (exit code 3)" });
  });

  test("it hangs", async () => {
    const answer = await run("for (;;);", { timeoutMs: 100 });
    expect(answer).toEqual({ result: "failed", message: "no answer within 100 ms" });
  });

  test("it runs out of memory", async () => {
    // A small heap for the test; without one the default of the process applies in the same way.
    const answer = await run("const all = []; for (;;) all.push(new Array(1000).fill({}));", { heapMibMax: 16 });
    expect(answer).toMatchObject({ result: "failed", message: expect.stringMatching(/memory/) });
  });

  test("it cannot be started", async () => {
    const answer = await loadOffLoop(jobOf(TABLE), never, { workerUrl: new URL("file:///nowhere/worker.js") });
    expect(answer).toMatchObject({ result: "failed", message: expect.stringMatching(/Cannot find module/) });
  });

  test("it is stopped while it works, or before it began", async () => {
    const closing = new AbortController();
    const working = loadOffLoop(jobOf(TABLE), closing.signal, { workerUrl: script("for (;;);") });
    closing.abort();
    expect(await working).toEqual({ result: "failed", message: "stopped" });
    expect(await loadOffLoop(jobOf(TABLE), closing.signal)).toEqual({ result: "failed", message: "stopped" });
  });
});
