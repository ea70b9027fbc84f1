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
const run = (code: string, options: OffLoopOptions = {}) =>
  loadOffLoop(jobOf(TABLE), never, { program: ["-e", code, "--"], ...options });
const failed = (message: string) => ({ result: "failed", message });

describe("the process answers as the inline call does", () => {
  test("a good table, image and all", async () => {
    const answer = await loadOffLoop(jobOf(TABLE), never);
    const inline = loadBytes(jobOf(TABLE));
    if (answer.result !== "loaded" || inline.result !== "loaded") throw new Error("not loaded");
    expect(answer.digest).toBe(inline.digest);
    const table = new CompiledTable(answer.image, 1, answer.digest);
    expect(table.findTarget(Buffer.from("pr-1"), 0, 4)).toBe(0);
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

test("an image of many megabytes arrives as it was sent", async () => {
  const code = `
    const image = new Uint8Array(3_000_001).map((_, at) => at % 251);
    process.stdout.write('{"result":"loaded","digest":"d","warnings":[],"imageBytes":3000001}\\n');
    process.stdout.write(image);`;
  const answer = await run(code);
  if (answer.result !== "loaded") throw new Error("not loaded");
  const image = new Uint8Array(answer.image.buffer);
  expect(image.length).toBe(3_000_001);
  expect(image.findIndex((byte, at) => byte !== at % 251)).toBe(-1);
});

describe("a process that fails is an answer", () => {
  test("it throws", async () => {
    expect(await run("throw new TypeError('broken')")).toEqual(
      failed("the loading process ended with exit code 1: TypeError: broken"),
    );
  });

  test("it ends without a word, with half of one, or without reading", async () => {
    expect(await run("process.exit(3)")).toEqual(failed("the loading process ended with exit code 3"));
    const half = `process.stdout.write('{"result":"loaded","digest":"d","warnings":[],"imageBytes":9}\\nabc')`;
    expect(await run(half)).toEqual(failed("the loading process ended with exit code 0"));
    expect(await run("")).toEqual(failed("the loading process ended with exit code 0"));
  });

  test("it says too much, or what is no answer", async () => {
    const nonsense = failed("what the loading process says makes no sense");
    expect(await run(`console.log("hello"); setInterval(() => {}, 1000)`)).toEqual(nonsense);
    expect(await run(`console.log('{"result":"known","digest":"d"}'); console.log("more")`)).toEqual(nonsense);
    expect(await run(`console.log("x".repeat(17_000_000))`)).toEqual(nonsense);
  });

  test("it hangs", async () => {
    expect(await run("for (;;);", { timeoutMs: 300 })).toEqual(failed("no answer within 300 ms"));
  });

  test("it runs out of memory", async () => {
    const code = "const all = []; for (;;) all.push(new Array(1000).fill({}));";
    const answer = await run("", { program: ["--max-old-space-size=16", "-e", code, "--"] });
    expect(answer).toMatchObject({ result: "failed", message: expect.stringMatching(/: FATAL ERROR: .*memory/) });
  });

  test("its program is not there", async () => {
    const answer = await run("", { program: ["/nowhere/load-child.js"] });
    expect(answer).toMatchObject({
      result: "failed",
      message: expect.stringMatching(/exit code 1: Error: Cannot find/),
    });
  });

  test("it is stopped while it works, or before it began", async () => {
    const closing = new AbortController();
    const working = loadOffLoop(jobOf(TABLE), closing.signal, { program: ["-e", "for (;;);", "--"] });
    closing.abort();
    expect(await working).toEqual(failed("stopped"));
    expect(await loadOffLoop(jobOf(TABLE), closing.signal)).toEqual(failed("stopped"));
  });
});
