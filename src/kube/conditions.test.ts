import { expect, test } from "vitest";
import { conditionOf, withCondition } from "./conditions.ts";
import type { ConditionFinding } from "./conditions.ts";

const finding: ConditionFinding = {
  type: "Ready",
  status: "False",
  reason: "Waiting",
  message: "one sidecar is behind",
};

test("the time moves with the status alone, and nothing new is the same array", () => {
  const first = withCondition([], finding, "2026-11-23T10:00:00Z");
  expect(withCondition(first, finding, "2026-11-23T11:00:00Z")).toBe(first);
  const other = withCondition(first, { ...finding, message: "two are" }, "2026-11-23T11:00:00Z");
  expect(conditionOf(other, "Ready")).toMatchObject({ message: "two are", lastTransitionTime: "2026-11-23T10:00:00Z" });
  const ready = withCondition(other, { ...finding, status: "True", reason: "Ready" }, "2026-11-23T12:00:00Z");
  expect(conditionOf(ready, "Ready")).toMatchObject({ status: "True", lastTransitionTime: "2026-11-23T12:00:00Z" });
});

test("they stand in the order in which they come true; strangers stay, at the end", () => {
  const types = ["Ready", "Odd", "Forked", "Routed"];
  const all = types.reduce(
    (list, type) => withCondition(list, { ...finding, type }, "2026-11-23T10:00:00Z"),
    [] as ReturnType<typeof withCondition>,
  );
  expect(all.map(({ type }) => type)).toStrictEqual(["Forked", "Routed", "Ready", "Odd"]);
});

test("a message that Kubernetes would refuse is cut", () => {
  const [condition] = withCondition([], { ...finding, message: "x".repeat(40_000) }, "2026-11-23T10:00:00Z");
  expect(condition?.message).toHaveLength(2000);
});
