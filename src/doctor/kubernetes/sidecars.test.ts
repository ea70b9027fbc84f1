import { expect, test } from "vitest";
import { Findings } from "../finding.ts";
import { examineSidecar } from "./sidecars.ts";

const nowMs = Date.parse("2026-01-01T00:01:00Z");

function found(status: object, of = "sidelane"): readonly string[] {
  const findings = new Findings();
  const statuses = [{ name: of, ready: false, restartCount: 0, ...status }];
  const metadata = { name: "back-1", namespace: "shop" };
  const pod = { metadata, spec: { containers: [] }, status: { initContainerStatuses: statuses } };
  examineSidecar(pod, "pod shop/back-1", nowMs, findings);
  return findings.all.map(({ level, message, advice }) => {
    expect(advice).toContain(`kubectl -n shop logs back-1 -c ${of}`);
    return `${level}: ${message}`;
  });
}

test("a sidecar that works, or only just starts, is not mentioned", () => {
  expect(found({ started: true, ready: true, state: { running: { startedAt: "2026-01-01T00:00:00Z" } } })).toEqual([]);
  expect(found({ started: false, state: { running: { startedAt: "2026-01-01T00:00:50Z" } } })).toEqual([]);
  expect(found({ state: { waiting: { reason: "PodInitializing" } } })).toEqual([]);
});

test("one that does not is told with its log", () => {
  expect(found({ started: false, state: { running: { startedAt: "2026-01-01T00:00:00Z" } } })).toEqual([
    expect.stringContaining("error: its sidecar has had no table for 60 s"),
  ]);
  expect(found({ state: { waiting: { reason: "ImagePullBackOff", message: "no such image" } } })).toEqual([
    "error: its sidecar does not run, ImagePullBackOff: no such image",
  ]);
  expect(found({ state: { waiting: { reason: "CrashLoopBackOff" } } }, "sidelane-intercept")).toEqual([
    expect.stringContaining("error: its traffic cannot be intercepted"),
  ]);
  expect(found({ started: true, restartCount: 4, state: { running: {} } })).toEqual([
    "warning: its sidecar was restarted 4 times",
  ]);
});
