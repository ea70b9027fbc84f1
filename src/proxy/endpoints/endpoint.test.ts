import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { coarse } from "../../base/clock.ts";
import { Endpoint, type PoolMakers, pickEndpoint } from "./endpoint.ts";

const noPools: PoolMakers = {
  http1: () => {
    throw new Error("nothing here connects");
  },
  http2: () => {
    throw new Error("nothing here connects");
  },
  tcp: () => {
    throw new Error("nothing here connects");
  },
};
const times = { ejectBaseMs: 100, ejectMs: 450 };
let startMs = 0;

beforeEach(() => {
  startMs = coarse.nowMs;
});
afterEach(() => {
  coarse.nowMs = startMs;
});

function endpoint(name = "127.0.0.1:80"): Endpoint {
  return new Endpoint(name, "127.0.0.1", 80, true, noPools);
}

function several(count: number): Endpoint[] {
  return Array.from({ length: count }, (_, index) => endpoint(`127.0.0.1:${index}`));
}

/** How often each endpoint is picked. */
function tally(endpoints: readonly Endpoint[], picks: number): Map<Endpoint | undefined, number> {
  const counts = new Map<Endpoint | undefined, number>();
  for (let pick = 0; pick < picks; pick++) {
    const picked = pickEndpoint(endpoints, []);
    counts.set(picked, (counts.get(picked) ?? 0) + 1);
  }
  return counts;
}

describe("ejection", () => {
  test("at once when the connection is refused", () => {
    const one = endpoint();
    one.noteFailure(true, times);
    expect(one.ejected).toBe(true);
    coarse.nowMs += 100;
    expect(one.ejected).toBe(false);
  });

  test("after three failures in a row when the connection was made, and a success starts the count anew", () => {
    const one = endpoint();
    one.noteFailure(false, times);
    one.noteFailure(false, times);
    one.noteSuccess();
    one.noteFailure(false, times);
    one.noteFailure(false, times);
    expect(one.ejected).toBe(false);
    one.noteFailure(false, times);
    expect(one.ejected).toBe(true);
  });

  test("twice as long each time, up to the cap, and from the beginning after a success", () => {
    const one = endpoint();
    const ejectionMs = (): number => {
      one.noteFailure(true, times);
      const durationMs = one.ejectedUntilMs - coarse.nowMs;
      coarse.nowMs = one.ejectedUntilMs;
      return durationMs;
    };
    expect([ejectionMs(), ejectionMs(), ejectionMs(), ejectionMs(), ejectionMs()]).toEqual([100, 200, 400, 450, 450]);
    one.noteSuccess();
    expect(ejectionMs()).toBe(100);
  });

  test("is not prolonged by what fails within it", () => {
    const one = endpoint();
    one.noteFailure(true, times);
    const untilMs = one.ejectedUntilMs;
    coarse.nowMs += 50;
    one.noteFailure(true, times);
    expect(one.ejectedUntilMs).toBe(untilMs);
  });

  test("never, when it is switched off", () => {
    const one = endpoint();
    for (let n = 0; n < 10; n++) one.noteFailure(true, { ejectBaseMs: 100, ejectMs: 0 });
    expect(one.ejected).toBe(false);
  });
});

describe("the addresses of a name", () => {
  function named(...addresses: string[]): Endpoint {
    const one = new Endpoint("app:80", "app", 80, false, noPools);
    one.setAddresses(addresses);
    return one;
  }

  test("take turns", () => {
    const one = named("10.0.0.1", "10.0.0.2", "10.0.0.3");
    const order = Array.from({ length: 6 }, () => one.nextAddress());
    expect(new Set(order.slice(0, 3)).size).toBe(3);
    expect(order.slice(3)).toEqual(order.slice(0, 3));
  });

  test("are passed over alone while there are others, and then eject the endpoint", () => {
    const one = named("10.0.0.1", "10.0.0.2");
    one.noteUnreachable("10.0.0.1", times);
    expect(one.ejected).toBe(false);
    expect([one.nextAddress(), one.nextAddress(), one.nextAddress()]).toEqual(["10.0.0.2", "10.0.0.2", "10.0.0.2"]);
    one.noteUnreachable("10.0.0.2", times);
    expect(one.ejected).toBe(true);
    expect(new Set([one.nextAddress(), one.nextAddress()]).size).toBe(2);
    coarse.nowMs += 100;
    expect(new Set([one.nextAddress(), one.nextAddress()]).size).toBe(2);
  });

  test("are none before the first look-up", () => {
    expect(new Endpoint("app:80", "app", 80, false, noPools).nextAddress()).toBeUndefined();
  });
});

describe("the choice among several", () => {
  test("is even when all carry the same load", () => {
    const endpoints = several(4);
    const counts = tally(endpoints, 8000);
    for (const one of endpoints) expect(counts.get(one)).toBeGreaterThan(1700);
  });

  test("prefers the less loaded of two and never takes the most loaded of all", () => {
    const endpoints = several(4);
    endpoints.forEach((one, index) => (one.outstanding = index));
    const counts = tally(endpoints, 6000);
    const [first = 0, second = 0, third = 0, last = 0] = endpoints.map((one) => counts.get(one) ?? 0);
    expect(first).toBeGreaterThan(second);
    expect(second).toBeGreaterThan(third);
    expect(third).toBeGreaterThan(500);
    expect(last).toBe(0);
  });

  test("passes over the ejected and stays even among the rest", () => {
    const endpoints = several(4);
    endpoints[1]?.noteFailure(true, times);
    const counts = tally(endpoints, 6000);
    expect(counts.get(endpoints[1])).toBeUndefined();
    for (const at of [0, 2, 3]) expect(counts.get(endpoints[at])).toBeGreaterThan(1700);
  });

  test("takes the one that returns first when all are ejected", () => {
    const endpoints = several(3);
    for (const one of endpoints) one.noteFailure(true, times);
    (endpoints[2] as Endpoint).ejectedUntilMs -= 1;
    expect(pickEndpoint(endpoints, [])).toBe(endpoints[2]);
    expect(pickEndpoint(endpoints, endpoints.slice(2))).not.toBe(endpoints[2]);
  });

  test("never takes what was tried, and ends when all were", () => {
    const endpoints = several(3);
    const tried: Endpoint[] = [];
    for (let n = 0; n < 3; n++) {
      const picked = pickEndpoint(endpoints, tried) as Endpoint;
      expect(tried).not.toContain(picked);
      tried.push(picked);
    }
    expect(pickEndpoint(endpoints, tried)).toBeUndefined();
    expect(pickEndpoint(several(1), [])).toBeDefined();
    expect(pickEndpoint(endpoints.slice(0, 1), tried)).toBeUndefined();
    expect(pickEndpoint([], [])).toBeUndefined();
  });
});
