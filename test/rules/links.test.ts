import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { linkProblems } from "./links.ts";
import { anchors } from "./markdown.ts";
import { projectFiles, projectRoot, readProjectFile } from "./project.ts";

const pages = projectFiles(".", ".md");
const project = { exists: (path: string) => existsSync(join(projectRoot, path)), read: readProjectFile };

describe("the pages", () => {
  test("there are some", () => {
    expect(pages).toEqual(expect.arrayContaining(["CONTRIBUTING.md", "docs/decisions/README.md"]));
  });

  test.each(pages)("%s has no dead link", (page) => {
    expect(linkProblems(page, readProjectFile(page), project)).toEqual([]);
  });
});

describe("the rule", () => {
  const made = { exists: (path: string) => path === "docs/b.md" || path === "src", read: () => "# One\n## Two `x`" };
  const problemsOf = (markdown: string): string[] => linkProblems("docs/a.md", markdown, made);

  test.each([
    "[b](b.md) and [b](./b.md#one) and [b](b.md#two-x)",
    "# Here\n[up](#here)",
    "[out](https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1), [mail](mailto:a@b.c)",
    "[folder](../src)",
    "`[not](a-link.md)`",
    "[ref]: b.md",
  ])("lets pass %s", (markdown) => {
    expect(problemsOf(markdown)).toEqual([]);
  });

  test.each([
    ["[c](c.md)", "docs/a.md:1: c.md leads nowhere"],
    ["![c](c.png)", "docs/a.md:1: c.png leads nowhere"],
    ["\n[b](b.md#three)", "docs/a.md:2: docs/b.md has no heading #three"],
    ["[up](#gone)", "docs/a.md:1: docs/a.md has no heading #gone"],
    ["[x](../../x.md)", "docs/a.md:1: ../../x.md leads out of the project"],
    ["[ref]: c.md", "docs/a.md:1: c.md leads nowhere"],
    ["[x](/docs/b.md)", expect.stringContaining("differs from viewer to viewer")],
  ])("refuses %s", (markdown, problem) => {
    expect(problemsOf(markdown)).toEqual([problem]);
  });

  test("anchors are made as GitHub makes them", () => {
    const page = "# A `b.ts`: c & d\n## Same\n## Same\n```\n# not one\n```\n## With [link](x.md)";
    expect([...anchors(page)]).toEqual(["a-bts-c--d", "same", "same-1", "with-link"]);
  });
});
