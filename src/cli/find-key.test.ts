import { expect, test } from "vitest";
import type { Carrier } from "../config/proxy-config.ts";
import { findKey } from "./find-key.ts";

const baggage: Carrier = { kind: "baggage", name: "sidelane" };
const tracestate: Carrier = { kind: "tracestate", name: "sidelane" };
const header: Carrier = { kind: "header", name: "x-sandbox" };

test("the first carrier that yields a key wins, whatever the order of the headers", () => {
  const headers = [
    ["X-Sandbox", "from-header"],
    ["baggage", "sidelane=from-baggage"],
  ] as const;
  expect(findKey([baggage, header], headers)).toEqual({ key: "from-baggage", carrier: "baggage: sidelane" });
  expect(findKey([header, baggage], headers)).toEqual({ key: "from-header", carrier: "header: x-sandbox" });
  expect(findKey([tracestate], headers)).toBeUndefined();
});

test("several fields are one list: baggage takes the last member, tracestate the first", () => {
  expect(
    findKey(
      [baggage],
      [
        ["baggage", "sidelane=a"],
        ["Baggage", "other=1"],
        ["baggage", "sidelane=pr%2D7;p=1"],
      ],
    )?.key,
  ).toBe("pr-7");
  expect(
    findKey(
      [tracestate],
      [
        ["tracestate", "sidelane=a"],
        ["tracestate", "sidelane=b"],
      ],
    )?.key,
  ).toBe("a");
});

test("an empty header yields no key", () => {
  expect(findKey([header], [["x-sandbox", "  "]])).toBeUndefined();
});
