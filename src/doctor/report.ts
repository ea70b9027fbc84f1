import { printable } from "../base/printable.ts";
import type { Finding } from "./finding.ts";

const marks: Readonly<Record<Finding["level"], string>> = { good: "ok     ", warning: "warning", error: "ERROR  " };

const INDENT = " ".repeat(9);

/** The findings for the terminal, in their order, with the sums; ends with a newline. */
export function reportText(findings: readonly Finding[]): string {
  const all = findings.flatMap(({ level, subject, message, advice }) => {
    // What others have said may have several lines.
    const [first = "", ...more] = message.split("\n");
    const lines = [`${marks[level]}  ${subject}: ${first}`, ...more.map((line) => `${INDENT}${line}`)];
    return (advice === "" ? lines : [...lines, `${INDENT}-> ${advice}`]).map((line) => printable(line));
  });
  const count = (level: Finding["level"]): number => findings.filter((one) => one.level === level).length;
  const sums = `${count("good")} good, ${count("warning")} to look at, ${count("error")} wrong`;
  return `${[...all, "", sums].join("\n")}\n`;
}
