import { describe, expect, test } from "vitest";
import { sandboxResource, serviceResource } from "../fixture.ts";
import { World, sidecarInfo } from "./fixture.ts";
import { Returning } from "./returning.ts";

function returningOf(startRevision: number, ...ids: readonly string[]) {
  let nowMs = 1000;
  let others = ids;
  let tell = (): void => {};
  const returning = new Returning({
    forMs: 15_000,
    startRevision,
    replicas: {
      others: () => others.map((id) => ({ id, url: "", secret: "", startedAt: "" })),
      onChange: (listener) => {
        tell = listener;
        return () => (tell = () => {});
      },
    },
    nowMs: () => nowMs,
  });
  return {
    returning,
    passMs: (ms: number) => (nowMs += ms),
    heard: (...now: readonly string[]) => {
      others = now;
      tell();
    },
  };
}

describe("sidecars may be on their way", () => {
  test("for a while after a start on a store with something in it", () => {
    const { returning, passMs } = returningOf(41);
    expect(returning.why()).toMatch(/^this control replica has just been started, .* another 15 s$/u);
    passMs(14_999);
    expect(returning.why()).toMatch(/another 1 s$/u);
    passMs(1);
    expect(returning.why()).toBeUndefined();
  });

  test("not after a start on an empty store", () => {
    expect(returningOf(0).returning.why()).toBeUndefined();
  });

  test("for a while after another replica has gone, not when one comes", () => {
    const { returning, passMs, heard } = returningOf(0);
    heard("r-2", "r-3");
    expect(returning.why()).toBeUndefined();
    heard("r-3");
    expect(returning.why()).toMatch(/^the control replica r-2 is gone, .* another 15 s$/u);
    passMs(15_000);
    expect(returning.why()).toBeUndefined();
    returning.close();
    heard();
    expect(returning.why()).toBeUndefined();
  });
});

test("meanwhile nothing is said to be in use everywhere, or gone", async () => {
  const world = new World();
  world.sidecars(sidecarInfo());
  world.put(serviceResource("checkout"), sandboxResource("pr-7", { services: { checkout: ["10.0.0.7:8080"] } }));
  world.returning = "sidecars may be on their way";
  expect((await world.wait("pr-7", "ready", 100)).at(-1)).toMatchObject({ reached: false });
  expect(world.conditions("pr-7")["Applied"]).toBe("unknown JustStarted: sidecars may be on their way");
  expect((await world.wait("pr-9", "deleted", 50)).at(-1)).toMatchObject({ reached: false });
  world.returning = undefined;
  expect((await world.wait("pr-7", "ready")).at(-1)).toMatchObject({ reached: true });
});
