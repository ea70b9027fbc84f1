import { printable } from "../../base/printable.ts";
import { styleText } from "node:util";

/** Columns with a heading, for the terminal: widths as needed, nothing behind the last one. Ends with a newline. */
export function tableText(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = rows.map((row) => row.map(printable));
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...cells.map((row) => (row[column] ?? "").length)),
  );
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
      .join("  ")
      .trimEnd();
  const heading = styleText("dim", line(headings), { stream: process.stdout });
  return `${[heading, ...cells.map(line)].join("\n")}\n`;
}
