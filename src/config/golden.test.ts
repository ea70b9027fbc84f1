import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { loadConfig } from "./load-config.ts";
import { loadTable } from "./load-table.ts";
import { formatProblem } from "./problem.ts";

// Every message that a table or a config can draw, as the reader sees it, with line and column. The inputs are
// `golden/*.yaml`, the messages `golden/*.txt`; update with `vitest run -u`.

const read = (name: string): string => readFileSync(new URL(`golden/${name}.yaml`, import.meta.url), "utf8");

test.each(["table-contradictions", "table-shapes"])("%s", async (name) => {
  const result = loadTable(read(name), "routes.yaml");
  if (result.ok) throw new Error("a bad table was accepted");
  await expect(lines(result.problems.map(formatProblem))).toMatchFileSnapshot(`golden/${name}.txt`);
});

test("table-warnings", async () => {
  const result = loadTable(read("table-warnings"), "routes.yaml");
  if (!result.ok) throw new Error("a good table was refused");
  await expect(lines(result.warnings.map(formatProblem))).toMatchFileSnapshot("golden/table-warnings.txt");
});

test.each(["config-contradictions", "config-shapes"])("%s", async (name) => {
  const result = loadConfig(read(name), "sidelane.yaml", {});
  if (result.ok) throw new Error("a bad config was accepted");
  await expect(lines(result.problems.map(formatProblem))).toMatchFileSnapshot(`golden/${name}.txt`);
});

function lines(messages: readonly string[]): string {
  return `${messages.join("\n")}\n`;
}
