import { expect, onTestFinished, test, vi } from "vitest";
import { silentLog } from "../../base/log.ts";
import { sandboxResource } from "../fixture.ts";
import { ControlState } from "../state.ts";
import type { Plan, Writer } from "../writer.ts";
import { startSweeper } from "./sweeper.ts";

const GRACE_MS = 30_000;

/** A state with one entry of a replica that is gone, and a clock that the test turns. */
function setUp(isAlive = false) {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const connection = { session: "s1", replica: "gone", by: "ada", machine: "desk", since: "2026-01-02T03:04:05Z" };
  const connected = { checkout: { ...connection, endpoints: ["control:16000"] } };
  const state = new ControlState();
  state.reset({ revision: 1, resources: [sandboxResource("pr-7", { connected })] });
  state.reachable(true, "");
  const plans: Plan[] = [];
  const writer = {
    async write(_actor: string, _action: string, plan: (state: ControlState) => Plan) {
      const planned = plan(state);
      plans.push(planned);
      return { revision: 2, resources: [] };
    },
  } as unknown as Pick<Writer, "write">;
  const options = { isAlive: () => isAlive, isHere: () => false, graceMs: GRACE_MS, log: silentLog };
  onTestFinished(startSweeper({ state, writer, replica: "r1", ...options }));
  return { state, plans };
}

test("an entry of a replica that is gone stays for the grace, and goes then", async () => {
  const { plans } = setUp();
  await vi.advanceTimersByTimeAsync(GRACE_MS - 1000);
  expect(plans).toEqual([]);
  await vi.advanceTimersByTimeAsync(3000);
  expect(plans[0]?.puts).toMatchObject([{ name: "pr-7", spec: { services: {} } }]);
});

test("while the store is down nobody is taken for gone, and the grace begins anew", async () => {
  const { plans, state } = setUp();
  await vi.advanceTimersByTimeAsync(GRACE_MS - 1000);
  state.reachable(false, "nobody answers");
  await vi.advanceTimersByTimeAsync(2 * GRACE_MS);
  expect(plans).toEqual([]);
  state.reachable(true, "");
  await vi.advanceTimersByTimeAsync(GRACE_MS - 1000);
  expect(plans).toEqual([]);
  await vi.advanceTimersByTimeAsync(3000);
  expect(plans).not.toEqual([]);
});

test("one of a replica that lives is its business", async () => {
  const { plans } = setUp(true);
  await vi.advanceTimersByTimeAsync(3 * GRACE_MS);
  expect(plans).toEqual([]);
});
