import { setImmediate as turn } from "node:timers/promises";
import { expect, test } from "vitest";
import { onTurnEnd, turnNowMs, wantTurnEnd } from "./clock.ts";

test("the time stands still within a turn and goes on in the next, whoever reads it", async () => {
  await turn();
  const first = turnNowMs();
  while (performance.now() - first < 2);
  expect(turnNowMs()).toBe(first);
  await turn();
  await turn();
  expect(turnNowMs()).toBeGreaterThan(first + 1);
});

test("what is wanted at the end of a turn happens once, and not without being wanted", async () => {
  let calls = 0;
  onTurnEnd(() => calls++);
  wantTurnEnd();
  wantTurnEnd();
  await turn();
  await turn();
  expect(calls).toBe(1);
  await turn();
  expect(calls).toBe(1);
});
