import { expect, onTestFinished, test } from "vitest";
import type { Activity, Busy } from "../../feed/messages.ts";
import { ActivityReports } from "./activity-reports.ts";

test("each stream is told at once what runs, also when nothing does any more; then only what has changed", () => {
  let busy: readonly Busy[] = [{ sandbox: "pr-7", exchanges: 1 }];
  const told: Activity[] = [];
  const questions = { activity: () => ({ used: [], busy }), answer: () => Promise.reject(new Error("not asked")) };
  const reports = new ActivityReports(questions, (activity) => void told.push(activity));
  onTestFinished(() => reports.stop());
  reports.report();
  expect(told).toEqual([]);
  reports.start();
  reports.report();
  expect(told).toEqual([{ used: [], busy }]);
  reports.stop();
  busy = [];
  reports.start();
  reports.report();
  expect(told.slice(1)).toEqual([{ used: [], busy: [] }]);
});
