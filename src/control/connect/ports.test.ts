import { describe, expect, test } from "vitest";
import { Ports } from "./ports.ts";

describe("ports", () => {
  test("are used in turn, and rest after use", () => {
    let now = 0;
    const ports = new Ports(
      { first: 10, last: 12 },
      () => false,
      0.5,
      () => now,
    );
    expect([ports.take(), ports.take()]).toEqual([11, 12]);
    ports.release(11, true);
    expect([ports.take(), ports.take()]).toEqual([10, undefined]);
    now = 60_000;
    expect(ports.take()).toBe(11);
  });

  test("that were only tried out do not rest", () => {
    const ports = new Ports({ first: 10, last: 10 }, () => false, 0);
    ports.release(ports.take() ?? 0, false);
    expect(ports.take()).toBe(10);
  });

  test("that the table names go to nobody but whom it names", () => {
    const ports = new Ports({ first: 10, last: 12 }, (port) => port === 10, 0);
    expect([ports.take(), ports.take(10), ports.take(10)]).toEqual([11, 10, 12]);
  });
});
