// What .ci/run makes of a test file that failed and ran again.
import { describe, expect, test } from "vitest";
import { countTests, filesToRunAgain } from "../../scripts/test-report.ts";
import type { TestFile, TestReport } from "../../scripts/test-report.ts";

type Result = TestFile["assertionResults"][number];

const result = (fullName: string, status: string, message = ""): Result => ({
  fullName,
  status,
  failureMessages: message === "" ? [] : [message],
});
const file = (name: string, ...results: readonly Result[]): TestFile => ({
  name,
  status: results.every(({ status }) => status === "passed") ? "passed" : "failed",
  message: "",
  assertionResults: results,
});
const broken = (name: string): TestFile => ({ name, status: "failed", message: "cannot load", assertionResults: [] });
const report = (...files: readonly TestFile[]): TestReport => ({ testResults: files });

const good = file("good", result("g", "passed"));
const late = file("late", result("a", "passed"), result("b", "failed", "timed out"));

describe("a file that failed", () => {
  test("runs again, and only that", () => {
    expect(filesToRunAgain(report(good, late))).toEqual(["late"]);
  });

  test("counts as passed when all of it passes then, and is named", () => {
    const second = report(file("late", result("a", "passed"), result("b", "passed")));
    expect(countTests(report(good, late), [second])).toEqual({ passed: 3, failed: 0, mended: ["late"] });
  });

  test("stays failed when another of its tests fails then", () => {
    const second = report(file("late", result("a", "failed"), result("b", "passed")));
    expect(countTests(report(good, late), [second])).toEqual({ passed: 2, failed: 1, mended: [] });
  });

  test("stays failed when a test is missing then", () => {
    const second = report(file("late", result("b", "passed")));
    expect(countTests(report(late), [second])).toEqual({ passed: 1, failed: 1, mended: [] });
  });

  test("stays failed when the second run says nothing", () => {
    expect(countTests(report(late), [report()])).toEqual({ passed: 1, failed: 1, mended: [] });
  });

  test("gets no second chance for a counterexample, whatever the second run says", () => {
    const found = report(file("p", result("holds", "failed", "Error: Property failed after 3 tests\n{ seed: 1 }")));
    expect(filesToRunAgain(found)).toEqual([]);
    expect(countTests(found, [report(file("p", result("holds", "passed")))]).failed).toBe(1);
  });

  test("gets no second chance among many", () => {
    const many = Array.from({ length: 6 }, (_, i) => file(`f${i}`, result("t", "failed")));
    expect(filesToRunAgain(report(...many))).toEqual([]);
    expect(filesToRunAgain(report(...many.slice(1)))).toHaveLength(5);
  });
});

describe("a file that cannot be loaded", () => {
  test("is one failure", () => {
    expect(countTests(report(good, broken("x")))).toEqual({ passed: 1, failed: 1, mended: [] });
  });

  test("is made good by tests that pass, not by none", () => {
    expect(countTests(report(broken("x")), [report(file("x", result("t", "passed")))]).failed).toBe(0);
    expect(countTests(report(broken("x")), [report(file("x"))]).failed).toBe(1);
  });
});

test("a test that did not run is a failure", () => {
  expect(countTests(report(file("f", result("t", "passed"), result("u", "pending")))).failed).toBe(1);
});
