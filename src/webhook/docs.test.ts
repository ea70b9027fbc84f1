import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { webhookMetricInfos } from "./metrics.ts";
import { skipReasons } from "./pod/exclusion.ts";
import { podAnnotations } from "./pod/settings.ts";

// docs/injection.md lists what there is, all of it and nothing else.

const page = readFileSync(new URL("../../docs/injection.md", import.meta.url), "utf8");

/** First cells of the table that follows a heading. */
function rowsAfter(heading: string): readonly string[] {
  const [, section = ""] = page.split(`\n## ${heading}\n`);
  const [text = ""] = section.split("\n## ");
  return [...text.matchAll(/^\| `([^`]+)` \|/gmu)].map(([, cell = ""]) => cell);
}

test("every reason", () => expect(rowsAfter("Pods that are left alone")).toEqual(Object.keys(skipReasons)));
test("every annotation", () => expect(rowsAfter("Annotations")).toEqual(Object.keys(podAnnotations)));
test("every metric", () => expect(rowsAfter("Metrics")).toEqual(Object.keys(webhookMetricInfos)));

test("the meaning of every annotation", () => {
  for (const [name, meaning] of Object.entries(podAnnotations)) expect(page).toContain(`| \`${name}\` | ${meaning}`);
});
