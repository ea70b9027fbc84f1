import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { WorkQueue } from "./work-queue.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] }));
afterEach(() => void vi.useRealTimers());

/** Work that ends when the test says so. */
class Bench {
  readonly begun: string[] = [];
  #ends: (() => void)[] = [];

  readonly work = async (key: string): Promise<undefined> => {
    this.begun.push(key);
    await new Promise<void>((resolve) => this.#ends.push(resolve));
    return undefined;
  };

  async end(): Promise<void> {
    this.#ends.shift()?.();
    await vi.advanceTimersByTimeAsync(0);
  }
}

describe("a work queue", () => {
  test("has each key once, never works on it twice at a time, and does it again when it came meanwhile", async () => {
    const bench = new Bench();
    const queue = new WorkQueue({ work: bench.work, workers: 2 });
    for (const key of ["a", "b", "a", "c", "a"]) queue.add(key);
    expect(queue.depth).toBe(3);
    queue.start();
    expect(bench.begun).toEqual(["a", "b"]);
    queue.add("a");
    queue.add("a");
    await bench.end();
    expect(bench.begun).toEqual(["a", "b", "c"]);
    await bench.end();
    expect(bench.begun).toEqual(["a", "b", "c", "a"]);
    await bench.end();
    await bench.end();
    expect(queue.depth).toBe(0);
  });

  test("tries again what has failed, with pauses that grow and end with success", async () => {
    const tries: number[] = [];
    const problems: unknown[] = [];
    let fails = true;
    const queue = new WorkQueue({
      work: async () => {
        tries.push(performance.now());
        if (fails) throw new Error("no");
        return undefined;
      },
      workers: 1,
      backOff: { firstMs: 100, mostMs: 1000 },
      onDone: ({ error }) => problems.push(error),
    });
    queue.start();
    queue.add("a");
    await vi.advanceTimersByTimeAsync(20_000);
    const pauses = tries.slice(1).map((at, i) => at - (tries[i] ?? 0));
    expect(pauses[0]).toBeLessThanOrEqual(100);
    expect(Math.max(...pauses)).toBeLessThanOrEqual(1000);
    expect(Math.max(...pauses)).toBeGreaterThanOrEqual(500);
    expect(queue.failing).toBe(1);
    fails = false;
    await vi.advanceTimersByTimeAsync(1000);
    expect(problems.at(-1)).toBeUndefined();
    expect(queue.failing).toBe(0);
    const count = tries.length;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(tries).toHaveLength(count);
  });

  test("looks again when the work says so, at the earliest of all wishes", async () => {
    let looks = 0;
    const queue = new WorkQueue({ work: async () => ({ againMs: ++looks === 1 ? 1000 : 1_000_000 }), workers: 1 });
    queue.start();
    queue.addAfter("a", 50);
    queue.addAfter("a", 500);
    await vi.advanceTimersByTimeAsync(60);
    expect(looks).toBe(1);
    await vi.advanceTimersByTimeAsync(1000);
    expect(looks).toBe(2);
  });

  test("that is stopped tells the work, waits for it, and begins nothing more", async () => {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    let aborted = false;
    const queue = new WorkQueue({
      work: async (_, signal) => {
        signal.addEventListener("abort", () => (aborted = true));
        return promise;
      },
      workers: 1,
    });
    queue.start();
    queue.add("a");
    queue.add("b");
    const stopped = queue.stop();
    expect(aborted).toBe(true);
    resolve(undefined);
    await stopped;
    queue.add("c");
    expect(queue.depth).toBe(0);
  });
});
