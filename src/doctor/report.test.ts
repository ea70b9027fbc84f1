import { expect, test } from "vitest";
import { reportText } from "./report.ts";

test("a report has a line for each finding and one for what to do", () => {
  const text = reportText([
    { level: "good", subject: "cluster a", message: "Kubernetes v1.34.4", advice: "" },
    { level: "error", subject: "namespace b", message: "has none", advice: "make one" },
  ]);
  expect(text).toBe(
    "ok       cluster a: Kubernetes v1.34.4\nERROR    namespace b: has none\n         -> make one\n\n1 good, 0 to look at, 1 wrong\n",
  );
});

test("a message of several lines stays readable, and nothing in it moves the cursor", () => {
  const message = "cannot be reached\nThat address is from --control.\u001B[2J";
  const [first, second] = reportText([{ level: "error", subject: "a", message, advice: "" }]).split("\n");
  expect(first).toBe("ERROR    a: cannot be reached");
  expect(second).toBe(`${" ".repeat(9)}That address is from --control.\\u{001b}[2J`);
});
