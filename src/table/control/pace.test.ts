import { describe, expect, test } from "vitest";
import { Backoff } from "./backoff.ts";
import { Pace } from "./pace.ts";

test("however fast changes pour in, a fifth of the time is spent on loads", () => {
  const pace = new Pace();
  let nowMs = 0;
  let busyMs = 0;
  let loads = 0;
  while (nowMs < 100_000) {
    nowMs += pace.waitMs(nowMs);
    const tookMs = 30 + (loads % 7) * 20;
    pace.loaded(nowMs + tookMs, tookMs);
    nowMs += tookMs;
    busyMs += tookMs;
    loads++;
  }
  expect(busyMs / nowMs).toBeLessThan(0.21);
  expect(busyMs / nowMs).toBeGreaterThan(0.19);
});

test("a load after a pause does not wait", () => {
  const pace = new Pace();
  expect(pace.waitMs(0)).toBe(0);
  pace.loaded(100, 100);
  expect([pace.waitMs(100), pace.waitMs(300), pace.waitMs(500), pace.waitMs(1000)]).toEqual([400, 200, 0, 0]);
});

describe("reconnects", () => {
  test("come between 100 ms and a bound that doubles up to 10 s, and begin anew after a good connection", () => {
    const latest = new Backoff(() => 1);
    const earliest = new Backoff(() => 0);
    expect(Array.from({ length: 7 }, () => latest.nextMs())).toEqual([500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
    expect(Array.from({ length: 7 }, () => earliest.nextMs())).toEqual(Array.from({ length: 7 }, () => 100));
    latest.reset();
    expect(latest.nextMs()).toBe(500);
  });

  test("with refused credentials are rare; what the control plane asks for is done, within reason", () => {
    const backoff = new Backoff(() => 0.5);
    expect(backoff.refusedMs()).toBe(45_000);
    expect(backoff.askedMs(5000)).toBe(5050);
    expect(backoff.askedMs(2 ** 32 - 1)).toBe(600_050);
  });
});
