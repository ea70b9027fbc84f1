import { printable } from "../base/printable.ts";
import type { Finding } from "./finding.ts";

const marks: Readonly<Record<Finding["level"], string>> = { good: "ok     ", warning: "warning", error: "ERROR  " };

/** The findings for the terminal, in their order, with the sums; ends with a newline. */
export function reportText(findings: readonly Finding[]): string {
  const lines = findings.flatMap(({ level, subject, message, advice }) => {
    const first = `${marks[level]}  ${subject}: ${message}`;
    return (advice === "" ? [first] : [first, `         -> ${advice}`]).map((line) => printable(line));
  });
  const count = (level: Finding["level"]): number => findings.filter((one) => one.level === level).length;
  const sums = `${count("good")} good, ${count("warning")} to look at, ${count("error")} wrong`;
  return `${[...lines, "", sums].join("\n")}\n`;
}
