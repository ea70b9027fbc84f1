import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AbuseBudgets, Budget } from "./budgets.ts";

const limits = {
  http2ResetBurst: 10,
  http2ResetsPerSecond: 5,
  http2ControlBurst: 20,
  http2ControlsPerSecond: 10,
  http2EmptyFramesBurst: 3,
  http2EmptyFramesPerSecond: 1,
  http2ContinuationsMax: 4,
};

/** How often in a row `ask` says yes. */
function granted(ask: () => boolean): number {
  let count = 0;
  while (count < 10_000 && ask()) count++;
  return count;
}

describe("Budget", () => {
  test("a burst, then the rate", () => {
    const budget = new Budget(10, 5, 1000);
    expect(granted(() => budget.take(1, 1000))).toBe(10);
    expect(granted(() => budget.take(1, 1100))).toBe(0);
    expect(granted(() => budget.take(1, 1200))).toBe(1);
    expect(granted(() => budget.take(1, 2200))).toBe(5);
  });

  test("idle time fills it to the burst and not above", () => {
    const budget = new Budget(10, 5, 0);
    expect(granted(() => budget.take(1, 1e9))).toBe(10);
  });

  test("a clock that stands or goes back gives nothing", () => {
    const budget = new Budget(1, 1000, 500);
    expect(budget.take(1, 500)).toBe(true);
    expect(budget.take(1, 500)).toBe(false);
    expect(budget.take(1, 400)).toBe(false);
    expect(budget.take(1, 501)).toBe(true);
  });

  test("never grants more than burst + rate x time", () => {
    const arrival = fc.record({ afterMs: fc.nat(300), count: fc.integer({ min: 1, max: 5 }) });
    fc.assert(
      fc.property(fc.array(arrival), fc.nat(50), fc.nat(50), (arrivals, burst, perSecond) => {
        const budget = new Budget(burst, perSecond, 0);
        let nowMs = 0;
        let taken = 0;
        for (const { afterMs, count } of arrivals) {
          nowMs += afterMs;
          if (budget.take(count, nowMs)) taken += count;
          expect(taken).toBeLessThanOrEqual(burst + (perSecond * nowMs) / 1000);
        }
      }),
    );
  });
});

describe("AbuseBudgets", () => {
  test("resets, control frames and empty frames have budgets of their own", () => {
    const budgets = new AbuseBudgets(limits, 0);
    expect(granted(() => budgets.reset(0))).toBe(10);
    expect(granted(() => budgets.control(0))).toBe(20);
    expect(granted(() => budgets.emptyFrame(0))).toBe(3);
    expect(granted(() => budgets.reset(1000))).toBe(5);
  });

  test("WINDOW_UPDATE is free for DATA that we sent, else it is a control frame", () => {
    const budgets = new AbuseBudgets(limits, 0);
    for (let n = 0; n < 100; n++) budgets.dataSent(50, false);
    // Four that every connection begins with, four for each DATA frame, and the control budget.
    expect(granted(() => budgets.response(0))).toBe(4 + 400 + 20);
    expect(budgets.control(0)).toBe(false);
  });

  test("a download does not save up a flood for later", () => {
    const budgets = new AbuseBudgets(limits, 0);
    for (let n = 0; n < 1_000_000; n++) budgets.dataSent(50, false);
    expect(granted(() => budgets.response(0))).toBeLessThan(5000);
  });

  test("CONTINUATION frames count per header block", () => {
    const budgets = new AbuseBudgets(limits, 0);
    budgets.blockBegins();
    expect(granted(() => budgets.continuation())).toBe(4);
    budgets.blockBegins();
    expect(budgets.continuation()).toBe(true);
  });
});
