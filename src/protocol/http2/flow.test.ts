import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ReceiveWindow } from "./flow.ts";

describe("ReceiveWindow", () => {
  test("RFC 9113 §6.9.1: more than the window is refused, to the byte", () => {
    const window = new ReceiveWindow(100);
    expect(window.receive(60)).toBe(true);
    expect(window.receive(41)).toBe(false);
    expect(window.receive(40)).toBe(true);
    expect(window.receive(1)).toBe(false);
    expect(window.receive(0)).toBe(true);
  });

  test("credit is given back by half windows", () => {
    const window = new ReceiveWindow(100);
    window.receive(100);
    expect(window.consume(49)).toBe(0);
    expect(window.consume(1)).toBe(50);
    expect(window.consume(20)).toBe(0);
    expect(window.flush()).toBe(20);
    expect(window.flush()).toBe(0);
    expect(window.available).toBe(70);
  });

  test("widening gives what is owed at once", () => {
    const window = new ReceiveWindow(100);
    window.receive(100);
    window.consume(10);
    expect(window.widen(100)).toBe(0);
    expect(window.widen(300)).toBe(210);
    expect([window.available, window.sizeBytes]).toEqual([210, 300]);
  });

  test("what is available, owed and unread is always the size", () => {
    const operation = fc.oneof(
      fc.record({ kind: fc.constant("receive"), bytes: fc.nat(200) }),
      fc.record({ kind: fc.constant("consume"), bytes: fc.nat(200) }),
      fc.record({ kind: fc.constant("widen"), bytes: fc.nat(1000) }),
      fc.record({ kind: fc.constant("flush"), bytes: fc.constant(0) }),
    );
    fc.assert(
      fc.property(fc.array(operation), (operations) => {
        const window = new ReceiveWindow(100);
        let sender = 100;
        let unread = 0;
        for (const { kind, bytes } of operations) {
          if (kind === "receive") {
            const allowed = window.receive(bytes);
            expect(allowed).toBe(bytes <= sender);
            if (allowed) {
              sender -= bytes;
              unread += bytes;
            }
          } else if (kind === "consume") {
            const read = Math.min(bytes, unread);
            unread -= read;
            sender += window.consume(read);
          } else sender += kind === "widen" ? window.widen(bytes) : window.flush();
          expect(window.available).toBe(sender);
          expect(window.available + window.owedBytes + unread).toBe(window.sizeBytes);
        }
      }),
    );
  });
});
