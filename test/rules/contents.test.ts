// Lists of what there is name all of it: a page that no list leads to is found by nobody.

import { describe, expect, test } from "vitest";
import { projectFiles, readProjectFile } from "./project.ts";

/** Files that a page links to, relative to its own folder, without anchors. */
function linkedFrom(page: string): ReadonlySet<string> {
  return new Set([...readProjectFile(page).matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/gu)].map(([, target = ""]) => target));
}

/** `docs/a.md` as a link in another page of its folder has it. */
function pagesIn(folder: string): readonly string[] {
  const names = projectFiles(folder, ".md").map((file) => file.slice(folder.length + 1));
  return names.filter((name) => !name.includes("/") && name !== "README.md" && name !== "template.md");
}

test.each(pagesIn("docs"))("docs/README.md names docs/%s", (page) => {
  expect(linkedFrom("docs/README.md").has(page)).toBe(true);
});

test.each(pagesIn("docs/decisions"))("docs/decisions/README.md names docs/decisions/%s", (page) => {
  expect(linkedFrom("docs/decisions/README.md").has(page)).toBe(true);
});

test("a page leads to each decision, for those who do not read lists", () => {
  const pages = projectFiles(".", ".md").filter((page) => !page.startsWith("docs/decisions/"));
  const linked = new Set(pages.flatMap((page) => [...linkedFrom(page)].map((target) => target.replace(/^.*\//u, ""))));
  expect(pagesIn("docs/decisions").filter((page) => !linked.has(page))).toEqual([]);
});

describe("docs/design.md", () => {
  const [, contract = ""] = readProjectFile("docs/design.md").split("### 3.1 Commands");
  const [section = ""] = contract.split("### 3.2");
  // The first word of each: `sandbox create` is one line with `sandbox delete`. How a shell completes says nothing about the product.
  const rows = [...readProjectFile("docs/commands.md").matchAll(/^\| \[`sidelane ([a-z]+)[^`]*`\]/gmu)];
  const commands = [...new Set(rows.map(([, word = ""]) => word))].filter((word) => word !== "completion");

  test("there are commands", () => {
    expect(commands.length).toBeGreaterThan(15);
  });

  test.each(commands)("has the command %s", (word) => {
    expect(section).toMatch(new RegExp(`[\`|\\\\ ]${word}\\b`, "u"));
  });
});

test.each(projectFiles("test/tools", ".tools.ts"))("CONTRIBUTING.md tells what %s is", (file) => {
  const name = file.replace(/^.*\/|\.tools\.ts$/gu, "");
  const [, section = ""] = readProjectFile("CONTRIBUTING.md").split("### Suites with programs of others");
  expect(section).toContain(`\`${name}\``);
});

test("sections of docs/design.md have a number each", () => {
  const numbers = [...readProjectFile("docs/design.md").matchAll(/^#{2,3} ([0-9.]+)/gmu)].map(([, number]) => number);
  expect(numbers).toEqual([...new Set(numbers)]);
});
