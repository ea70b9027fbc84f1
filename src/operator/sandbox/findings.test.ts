import { expect, test } from "vitest";
import { conditionsOf, found, foundInControl } from "./findings.ts";
import type { SandboxFindings } from "./findings.ts";

const EARLY = "2026-11-24T00:00:00Z";
const LATE = "2026-11-24T00:01:00Z";
const well: SandboxFindings = {
  Forked: found("True", "UpToDate", "forked"),
  Available: found("True", "PodsReady", "available"),
  Routed: { status: "True", reason: "Everywhere", message: "routed" },
  Answered: { status: "True", reason: "Answered", message: "answered" },
};

test("ready is what all are, and else what the first says that surely is not", () => {
  const ready = conditionsOf([], well, 3, EARLY);
  expect(ready.map(({ type, status }) => `${type} ${status}`)).toEqual([
    "Forked True",
    "Available True",
    "Routed True",
    "Answered True",
    "Ready True",
  ]);
  const unsure = {
    ...well,
    Forked: found("Unknown", "NotRouted", "who knows"),
    Available: found("False", "CrashLoop", "it ends"),
  };
  expect(conditionsOf([], unsure, 3, EARLY).at(-1)).toMatchObject({
    status: "False",
    reason: "CrashLoop",
    message: "it ends",
  });
});

test("a condition keeps its time as long as its status is the same, and the list is the same when nothing changed", () => {
  const before = conditionsOf([], well, 3, EARLY);
  expect(conditionsOf(before, well, 3, LATE)).toBe(before);
  const after = conditionsOf(before, { ...well, Answered: found("False", "NotRouted", "silent") }, 4, LATE);
  expect(after.find(({ type }) => type === "Routed")).toMatchObject({
    lastTransitionTime: EARLY,
    observedGeneration: 4,
  });
  expect(after.find(({ type }) => type === "Ready")).toMatchObject({ lastTransitionTime: LATE, status: "False" });
});

test("what the control plane says is said again, and what it does not say is not known", () => {
  const since = EARLY;
  const applied = { type: "Applied", status: "false", reason: "SidecarsBehind", message: "one lags", since } as const;
  expect(foundInControl({ conditions: [applied] }, "Applied")).toEqual({
    status: "False",
    reason: "SidecarsBehind",
    message: "one lags",
  });
  expect(foundInControl({ conditions: [applied] }, "Answered").status).toBe("Unknown");
  expect(foundInControl(undefined, "Applied").status).toBe("Unknown");
});
